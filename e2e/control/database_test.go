package control_test

import (
	"strings"
	"testing"

	"github.com/lib/pq"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store/storetest"
)

// demandPassword makes the server of the world demand a password from all roles but its administrator.
func (w *world) demandPassword() {
	w.T.Helper()
	file := w.Strings(`SHOW hba_file`)[0]
	w.Exec(`COPY (VALUES ('host all postgres 127.0.0.1/32 trust'), ('host all all 127.0.0.1/32 scram-sha-256'))
		TO ` + pq.QuoteLiteral(file))
	w.Exec(`SELECT pg_reload_conf()`)
}

// The password of the database changes while a controller runs. Its next connection is refused: it becomes unready and
// waits. A controller with the new password takes over as soon as the old one is stopped. The role of the controllers
// owns the database and has no other privilege.
func TestAnotherPassword(t *testing.T) {
	w := newWorld(t)
	server := w.OwnServer()
	w.Exec(`CREATE ROLE kontroler LOGIN PASSWORD 'first'`)
	w.Exec(`ALTER DATABASE postgres OWNER TO kontroler`)
	w.demandPassword()
	url := environment("DATABASE_URL=" + strings.Replace(server.URL(), "postgres@", "kontroler@", 1))
	first, second := environment("PGPASSWORD=first"), environment("PGPASSWORD=second")

	old := w.Controller(url, first)
	old.WaitLeads()
	w.ApplyDAG("dag", play("a", until("a")), play("b", "", after("a")))
	w.Start("run", "dag")
	w.WaitAttempt("run", "a", 1, "Running")
	w.Exec(`ALTER ROLE kontroler PASSWORD 'second'`)
	w.Strings(`SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE usename = 'kontroler'`)
	old.WaitUnready()
	w.WaitReason("run", v1alpha1.RunRunning, "DatabaseUnavailable")
	refused := w.Launch(url, first)
	checkRefusal(t, refused, 1, "password authentication failed", "PGPASSWORD")
	t.Log(refused.Log())

	next := w.Controller(url, second)
	w.Open("a")
	old.Stop()
	next.WaitLeads()
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a", "b"))
	w.CheckOnce("a", "b")
	w.CheckStarts("run")
	w.CheckEpochs("2")
}

// While the controller is stopped, its database moves to another server, with pg_dump and psql. The controller goes on
// there, because the epoch of the dump is that of the Lease. The old server is then behind the Lease, like a backup,
// and is refused.
func TestAnotherDatabaseServer(t *testing.T) {
	w := newWorld(t)
	before := w.OwnServer()
	old := w.Controller()
	w.ApplyDAG("dag", play("a", until("a")), play("b", once("b", "exit 1"), after("a"), retries(1)),
		play("c", until("c"), after("b")))
	w.Start("run", "dag")
	w.WaitAttempt("run", "a", 1, "Running")
	old.Stop()
	w.Open("a")
	w.WaitPod("run", "a", terminated)
	server := storetest.NewServer(t)
	if err := server.Restore(before); err != nil {
		t.Fatal(err)
	}

	w.MoveTo(server)
	c := w.Controller()
	c.WaitLeads()
	w.WaitAttempt("run", "c", 1, "Running")
	w.Open("c")
	w.CheckFinal("run", "Succeeded", map[string]string{"a": "Succeeded", "b": "Succeeded 2", "c": "Succeeded"})
	w.CheckOnce("a", "b", "c")
	w.CheckStarts("run")
	w.CheckEpochs("2")

	c.Stop()
	checkRefusal(t, w.Launch(environment("DATABASE_URL="+before.URL())), 1, "--accept-restored-database")
}

package control_test

import (
	"fmt"
	"testing"
	"time"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

const outage = 20 * time.Second

// outageRuns starts runs for an outage: the task a of one ends during it, the other one is quiet. The test starts a
// third one during it.
func (w *world) outageRuns() {
	w.T.Helper()
	w.ApplyDAG("dag", play("a", until("a")), play("b", "", after("a")), play("long", until("end")))
	w.ApplyDAG("later", play("first", ""), play("second", "", after("first")))
	w.ApplyDAG("quiet", play("hum", until("end")))
	w.Start("run", "dag")
	w.Start("quiet", "quiet")
	w.WaitAttempt("run", "a", 1, "Running")
	w.WaitAttempt("run", "long", 1, "Running")
	w.WaitAttempt("quiet", "hum", 1, "Running")
	w.WaitReason("run", v1alpha1.RunRunning, "")
	w.WaitReason("quiet", v1alpha1.RunRunning, "")
}

// passOutage waits until readiness and DagRuns show the outage, starts the third run, and ends the task a.
func (w *world) passOutage(c *harness.Controller) {
	w.T.Helper()
	c.WaitUnready()
	w.WaitReason("run", v1alpha1.RunRunning, "DatabaseUnavailable")
	w.WaitReason("quiet", v1alpha1.RunRunning, "DatabaseUnavailable")
	w.Start("later", "later")
	w.WaitReason("later", v1alpha1.RunPending, "DatabaseUnavailable")
	w.Open("a")
	w.WaitPod("run", "a", terminated)
}

func (w *world) checkOutageRuns() {
	w.T.Helper()
	w.WaitTask("run", "b", "Succeeded", "*")
	// The status no longer reports the outage, also of the quiet run.
	w.WaitReason("run", v1alpha1.RunRunning, "")
	w.WaitReason("quiet", v1alpha1.RunRunning, "")
	w.Open("end")
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a", "b", "long"))
	w.CheckFinal("later", "Succeeded", all("Succeeded", "first", "second"))
	w.CheckFinal("quiet", "Succeeded", all("Succeeded", "hum"))
	w.CheckOnce("a", "b", "long", "first", "second", "hum")
	w.CheckStarts("run", "later", "quiet")
	for _, run := range []string{"run", "later", "quiet"} {
		for _, task := range w.Tasks(run) {
			if task.Attempts != 1 {
				w.T.Errorf("task %s took %d attempts", task.Name, task.Attempts)
			}
		}
	}
}

func TestDatabaseStopped(t *testing.T) {
	w := newWorld(t)
	server := w.OwnServer()
	c := w.Controller(longLease)
	w.outageRuns()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	back := time.After(outage)
	w.passOutage(c)
	<-back
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	c.WaitReady()
	w.checkOutageRuns()
	w.CheckEpochs("1")
}

// A database that answers and takes no writes is unavailable, too.
func TestDatabaseReadOnly(t *testing.T) {
	w := newWorld(t)
	w.OwnServer()
	c := w.Controller(longLease)
	w.outageRuns()
	setReadOnly := func(value string) {
		w.Exec(`START TRANSACTION READ WRITE; ALTER DATABASE postgres SET default_transaction_read_only = ` + value +
			`; COMMIT`)
		w.Strings(`SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	setReadOnly("on")
	w.passOutage(c)
	setReadOnly("off")
	c.WaitReady()
	w.checkOutageRuns()
	w.CheckEpochs("1")
}

// If the database is unavailable for longer than a lease duration, the leader releases the Lease and takes it again.
func TestDatabaseAwayLongerThanTheLease(t *testing.T) {
	w := newWorld(t)
	server := w.OwnServer()
	c := w.Controller(flags("--lease-duration=10s"))
	w.outageRuns()
	if err := server.Crash(); err != nil {
		t.Fatal(err)
	}
	back := time.After(outage)
	c.WaitUnready()
	w.WaitReason("run", v1alpha1.RunRunning, "DatabaseUnavailable")
	w.WaitReason("quiet", v1alpha1.RunRunning, "DatabaseUnavailable")
	w.Open("a")
	c.WaitLog("released the Lease")
	w.Start("later", "later")
	w.WaitReason("later", v1alpha1.RunPending, "DatabaseUnavailable") // although no process leads
	if c.Leads() {
		t.Error("the controller says that it leads")
	}
	<-back
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	c.WaitReady()
	c.WaitLeads()
	w.checkOutageRuns()
	w.CheckEpochs("2")
}

// The database crashes in the middle of commits, so that the controller does not know what it has written.
func TestDatabaseCrashesAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	server := w.OwnServer()
	w.Controller(longLease)
	var tasks []v1alpha1.Task
	var names []string
	for i := range 15 {
		names = append(names, fmt.Sprintf("t%02d", i))
		task := play(names[i], once(names[i], "exit 1"), retries(1))
		if i >= 3 {
			task.RunAfter = []string{names[i-3]}
		}
		tasks = append(tasks, task)
	}
	w.ApplyDAG("dag", tasks...)
	w.Start("run", "dag")
	for n := 3; n <= 24; n += 3 {
		w.WaitStarted(n)
		if err := server.Crash(); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	w.CheckFinal("run", "Succeeded", all("Succeeded 2", names...))
	w.CheckOnce(names...)
	w.CheckStarts("run")
}

// A controller that starts without its database waits for it and says so.
func TestStartWithoutDatabase(t *testing.T) {
	w := newWorld(t)
	server := w.OwnServer()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	c := w.Launch()
	c.WaitUnready()
	c.WaitLog("waiting for the database")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	c.WaitReady()
	w.ApplyDAG("dag", play("a", ""))
	w.Start("run", "dag")
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a"))
	w.CheckOnce("a")
}

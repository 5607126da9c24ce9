package manifests_test

import (
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "github.com/lib/pq"

	"kontroler/e2e/readme"
	"kontroler/store/accounts"
	"kontroler/store/storetest"
)

// administrator is the role that runs the SQL and the commands of manifests/README.md. It is no superuser: that of a
// managed PostgreSQL is none either.
const administrator = "administrator"

// databaseServer is a PostgreSQL on which the SQL of section Database was run.
type databaseServer struct {
	*storetest.Server
	dir string // where commands run
}

// prepared starts a PostgreSQL and runs the SQL of section Database as the administrator.
func prepared(t *testing.T) databaseServer {
	t.Helper()
	server := storetest.NewServer(t)
	execute(t, server.URL(), "CREATE ROLE "+administrator+" LOGIN CREATEROLE CREATEDB")
	s := databaseServer{Server: server, dir: t.TempDir()}
	write(t, filepath.Join(s.dir, "database.sql"), commands(t, "Database"))
	s.shell(t, `psql --no-psqlrc --set=ON_ERROR_STOP=1 --file=database.sql "$ADMIN_URL"`,
		"ADMIN_URL="+strings.Replace(server.URL(), "postgres@", administrator+"@", 1))
	return s
}

// commands returns the commands of a section of manifests/README.md.
func commands(t *testing.T, section string) string {
	t.Helper()
	script, err := readme.Commands(filepath.Join(manifests, "README.md"), section)
	if err != nil {
		t.Fatal(err)
	}
	return script
}

// url returns the URL of database kontroler for a role.
func (s databaseServer) url(t *testing.T, role string) string {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.Path = url.User(role), "/kontroler"
	return u.String()
}

// shell runs commands of the README, which must succeed.
func (s databaseServer) shell(t *testing.T, script string, variables ...string) {
	t.Helper()
	if out, err := s.try(t, script, variables...); err != nil {
		t.Fatalf("%s\n%v\n%s", script, err, out)
	}
}

// try runs commands of the README with the programs of PostgreSQL. Their kubectl prints its arguments.
func (s databaseServer) try(t *testing.T, script string, variables ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "kubectl() { echo kubectl \"$@\"; }\n"+script)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+s.Programs()+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.Env = append(cmd.Env, variables...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// use does what controller and server do at their first start, and creates a user with a session and an API token.
func (s databaseServer) use(t *testing.T) {
	t.Helper()
	s.migrate(t)
	if _, err := storetest.Open(t, s.url(t, "kontroler")).Identity(t.Context()); err != nil {
		t.Fatal(err)
	}
	server, err := accounts.Open(s.url(t, "kontroler_server"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if isCreated, err := server.Users.CreateFirst(t.Context(), "admin", "hash", time.Now()); err != nil || !isCreated {
		t.Fatalf("creating a user: %t, %v", isCreated, err)
	}
	execute(t, s.url(t, "kontroler_server"),
		`INSERT INTO kontroler_server.sessions (id, user_id, address, created_at, expires_at, seen_at)
			SELECT 'session', id, '', now(), 'infinity', now() FROM kontroler_server.users`,
		`INSERT INTO kontroler_server.tokens (user_id, name, hash, admin, grants, created_at, expires_at)
			SELECT id, 'token', sha256('token'), true, '[]', now(), 'infinity' FROM kontroler_server.users`)
}

// migrate does what controller and server do with the database at each start, as their roles.
func (s databaseServer) migrate(t *testing.T) {
	t.Helper()
	controller := storetest.Open(t, s.url(t, "kontroler"))
	if err := controller.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := controller.GrantReaders(t.Context(), []string{"kontroler_server"}); err != nil {
		t.Fatal(err)
	}
	server, err := accounts.Open(s.url(t, "kontroler_server"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.text(t, "kontroler_server", `SELECT count(*) FROM kontroler_v1.runs`)
}

// execute runs statements, each in a transaction of its own.
func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// text returns the only value of a query, as a role.
func (s databaseServer) text(t *testing.T, role, query string) (value string) {
	t.Helper()
	db, err := sql.Open("postgres", s.url(t, role))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// rights returns what there is in the schemas of Kontroler, whom it belongs to, and what others may do with it.
func (s databaseServer) rights(t *testing.T) []string {
	t.Helper()
	return strings.Split(s.text(t, "postgres", `SELECT string_agg(line, E'\n' ORDER BY line) FROM (
SELECT concat_ws(' ', 'schema', nspname, nspowner::regrole, nspacl) FROM pg_namespace WHERE nspname ~ '^kontroler'
UNION ALL SELECT concat_ws(' ', c.relkind, n.nspname, c.relname, c.relowner::regrole, c.relacl)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname ~ '^kontroler'
UNION ALL SELECT concat_ws(' ', 'function', oid::regprocedure, proowner::regrole, proacl)
    FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^kontroler'
UNION ALL SELECT concat_ws(' ', 'default', defaclrole::regrole, defaclnamespace::regnamespace, defaclacl)
    FROM pg_default_acl
) rights (line)`), "\n")
}

const (
	sqlIdentity = `SELECT concat_ws(' ', controller_id, cluster_uid) FROM kontroler_v1.identity`
	// sqlAccounts counts users, sessions and API tokens.
	sqlAccounts = `SELECT concat_ws(' ', (SELECT count(*) FROM kontroler_server.users),
(SELECT count(*) FROM kontroler_server.sessions), (SELECT count(*) FROM kontroler_server.tokens))`
)

// The SQL of section Database is enough for controller and server, and their roles may do nothing else: neither may
// read what is the other's.
func TestDatabaseSQL(t *testing.T) {
	s := prepared(t)
	s.use(t)
	for role, foreign := range map[string]string{"kontroler": "kontroler_server", "kontroler_server": "kontroler"} {
		if got := s.text(t, role, `SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles
WHERE rolname = current_user`); got != "false" {
			t.Errorf("%s has attributes that it does not need", role)
		}
		if got := s.text(t, role, "SELECT has_schema_privilege('"+foreign+"', 'USAGE')"); got != "false" {
			t.Errorf("%s may use schema %s", role, foreign)
		}
	}
}

// The commands of section Another database server copy all that there is, whom it belongs to, and what others may do
// with it. Controller and server then work there, as before.
func TestMoveToAnotherDatabaseServer(t *testing.T) {
	before, after := prepared(t), prepared(t)
	before.use(t)
	// What is there already, of another release or a failed attempt, is replaced.
	execute(t, after.url(t, "kontroler"), "CREATE SCHEMA kontroler", "CREATE TABLE kontroler.later (id int)")
	before.shell(t, commands(t, "Another database server"),
		"OLD_ADMIN_URL="+before.url(t, administrator), "NEW_ADMIN_URL="+after.url(t, administrator))
	if diff := cmp.Diff(before.rights(t), after.rights(t)); diff != "" {
		t.Errorf("what there is, and rights (-old server +new server):\n%s", diff)
	}
	for role, query := range map[string]string{"kontroler": sqlIdentity, "kontroler_server": sqlAccounts} {
		if want, got := before.text(t, role, query), after.text(t, role, query); want != got {
			t.Errorf("%s is %q, then %q", query, want, got)
		}
	}
	after.migrate(t)
}

// A copy that fails leaves the new server as it was. The commands end with an error, and the new kustomization is not
// applied.
func TestFailedMoveToAnotherDatabaseServer(t *testing.T) {
	before, after := prepared(t), prepared(t)
	before.use(t)
	rights := after.rights(t)
	for name, urls := range map[string][2]string{
		"a role that cannot read":  {before.url(t, "kontroler"), after.url(t, administrator)},
		"a role that cannot write": {before.url(t, administrator), after.url(t, "kontroler_server")},
	} {
		out, err := before.try(t, commands(t, "Another database server"),
			"OLD_ADMIN_URL="+urls[0], "NEW_ADMIN_URL="+urls[1])
		if err == nil || !strings.Contains(out, "permission denied") && !strings.Contains(out, "must be owner") ||
			strings.Contains(out, "kubectl apply") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if diff := cmp.Diff(rights, after.rights(t)); diff != "" {
			t.Errorf("%s changes the new server (-before +after):\n%s", name, diff)
		}
	}
}

// checkRestored compares what there is, the rights, and the identity of the database with those before the backup.
func (s databaseServer) checkRestored(t *testing.T, rights []string, identity string) {
	t.Helper()
	if diff := cmp.Diff(rights, s.rights(t)); diff != "" {
		t.Errorf("what there is, and rights (-before +after):\n%s", diff)
	}
	if got := s.text(t, "kontroler", sqlIdentity); got != identity {
		t.Errorf("the identity is %s, want %s", got, identity)
	}
}

// The commands of sections Backups and Restoring bring the database back as it was, but for API tokens and sessions:
// nobody can say which of them was ended since.
func TestBackup(t *testing.T) {
	s := prepared(t)
	s.use(t)
	rights, identity := s.rights(t), s.text(t, "kontroler", sqlIdentity)
	s.shell(t, commands(t, "Backups"), "ADMIN_URL="+s.url(t, administrator))
	execute(t, s.url(t, "kontroler"), "CREATE TABLE kontroler.later (run bigint REFERENCES kontroler.runs)",
		"UPDATE kontroler.identity SET cluster_uid = 'another'")
	execute(t, s.url(t, "kontroler_server"), "DELETE FROM kontroler_server.users")
	s.shell(t, commands(t, "Restoring"), "ADMIN_URL="+s.url(t, administrator))
	s.checkRestored(t, rights, identity)
	if got := s.text(t, "kontroler_server", sqlAccounts); got != "1 0 0" {
		t.Errorf("%s users, sessions and API tokens, want 1 0 0", got)
	}
	s.migrate(t)
}

// Without the server, the commands of section Restoring bring the database back just as well: it has neither the tables
// of the server nor its role.
func TestBackupWithoutTheServer(t *testing.T) {
	s := prepared(t)
	execute(t, s.url(t, "postgres"), "DROP SCHEMA kontroler_server", "DROP ROLE kontroler_server")
	controller := storetest.Open(t, s.url(t, "kontroler"))
	if err := controller.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := controller.Identity(t.Context()); err != nil {
		t.Fatal(err)
	}
	rights, identity := s.rights(t), s.text(t, "kontroler", sqlIdentity)
	s.shell(t, commands(t, "Backups"), "ADMIN_URL="+s.url(t, administrator))
	execute(t, s.url(t, "kontroler"), "UPDATE kontroler.identity SET cluster_uid = 'another'")
	s.shell(t, commands(t, "Restoring"), "ADMIN_URL="+s.url(t, administrator))
	s.checkRestored(t, rights, identity)
}

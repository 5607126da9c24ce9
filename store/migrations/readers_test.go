package migrations_test

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"kontroler/store/migrations"
	"kontroler/store/storetest"
)

// exec runs a statement and returns its error.
func exec(t *testing.T, url, statement string) error {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec(statement)
	return err
}

func mustExec(t *testing.T, url, statement string) {
	t.Helper()
	if err := exec(t, url, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// views returns the names of the views of the read contract.
func views(t *testing.T, url string) []string {
	t.Helper()
	return strings.Split(text(t, url, `SELECT string_agg(viewname, ',') FROM pg_views
WHERE schemaname = 'kontroler_v1'`), ",")
}

// checkReader checks that a role reads every view, and that it can neither read a table nor write.
func checkReader(t *testing.T, url, asRole string) {
	t.Helper()
	for _, view := range views(t, url) {
		if err := exec(t, asRole, `SELECT * FROM kontroler_v1.`+view+` LIMIT 1`); err != nil {
			t.Errorf("reading view %s: %v", view, err)
		}
	}
	for _, statement := range []string{
		`SELECT * FROM kontroler.runs`, `DELETE FROM kontroler_v1.runs`,
		`UPDATE kontroler_v1.runs SET phase = 'Failed'`, `INSERT INTO kontroler_v1.changes (kind) VALUES ('dag')`,
		`CREATE VIEW kontroler_v1.own AS SELECT 1`,
	} {
		if err := exec(t, asRole, statement); pq.As(err, pqerror.InsufficientPrivilege) == nil {
			t.Errorf("%s: %v, want that the reader may not", statement, err)
		}
	}
}

// TestGrantReaders checks that roles can read the views that exist and those to come, and nothing else. Any number of
// processes may grant at the same time.
func TestGrantReaders(t *testing.T) {
	url := storetest.URL(t)
	one, asOne := storetest.NewRole(t, url)
	two, asTwo := storetest.NewRole(t, url)
	if err := exec(t, asOne, `SELECT * FROM kontroler_v1.runs`); pq.As(err, pqerror.InsufficientPrivilege) == nil {
		t.Fatalf("a role without a grant reads: %v", err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := migrations.GrantReaders(t.Context(), url, []string{one, two}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	mustExec(t, url, `CREATE VIEW kontroler_v1.later AS SELECT 1 AS one`)
	checkReader(t, url, asOne)
	checkReader(t, url, asTwo)
	if err := migrations.GrantReaders(t.Context(), url, []string{two}); err != nil {
		t.Fatal(err)
	}
	checkReader(t, url, asOne) // a role that is no longer named keeps its privileges
	mustExec(t, url, `DROP OWNED BY `+pq.QuoteIdentifier(one))
	if err := exec(t, asOne, `SELECT * FROM kontroler_v1.runs`); pq.As(err, pqerror.InsufficientPrivilege) == nil {
		t.Errorf("a role whose privileges were dropped reads: %v", err)
	}
	mustExec(t, url, `CREATE VIEW kontroler_v1.latest AS SELECT 1 AS one`)
	if err := exec(t, asOne, `SELECT * FROM kontroler_v1.latest`); pq.As(err, pqerror.InsufficientPrivilege) == nil {
		t.Errorf("a role whose privileges were dropped reads a later view: %v", err)
	}
	checkReader(t, url, asTwo)
}

func TestGrantReadersToMissingRoles(t *testing.T) {
	url := storetest.URL(t)
	role, asRole := storetest.NewRole(t, url)
	tests := map[string]struct {
		roles []string
		want  string
	}{
		"one is missing": {
			roles: []string{role, `report"ing`},
			want: `the database server has no role "report""ing". Create it as an administrator: ` +
				`CREATE ROLE "report""ing" LOGIN PASSWORD '…'`,
		},
		"two are missing": {
			roles: []string{"reporting", role, "audit"},
			want: `the database server has no roles "reporting", "audit". Create them as an administrator: ` +
				`CREATE ROLE "reporting" LOGIN PASSWORD '…'; CREATE ROLE "audit" LOGIN PASSWORD '…'`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := migrations.GrantReaders(t.Context(), url, tt.roles)
			missing, ok := errors.AsType[*migrations.MissingRolesError](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, missing.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if err := exec(
				t, asRole, `SELECT * FROM kontroler_v1.runs`); pq.As(err, pqerror.InsufficientPrivilege) == nil {
				t.Errorf("the role that exists was granted something: %v", err)
			}
		})
	}
}

// TestGrantReadersWithoutTheRight checks that a grant without effect, which PostgreSQL only warns of, is an error.
func TestGrantReadersWithoutTheRight(t *testing.T) {
	url := storetest.URL(t)
	reader, _ := storetest.NewRole(t, url)
	controller, asController := storetest.NewRole(t, url)
	quoted := pq.QuoteIdentifier(controller)
	mustExec(t, url, `GRANT USAGE ON SCHEMA kontroler_v1 TO `+quoted)
	mustExec(t, url, `GRANT SELECT ON ALL TABLES IN SCHEMA kontroler_v1 TO `+quoted)
	err := migrations.GrantReaders(t.Context(), asController, []string{reader})
	if err == nil || !strings.Contains(err.Error(), "may not grant them to") || !strings.Contains(err.Error(), reader) {
		t.Errorf("error %v", err)
	}
}

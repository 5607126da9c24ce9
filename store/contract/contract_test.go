package contract_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"kontroler/store"
	"kontroler/store/contract"
	"kontroler/store/storetest"
)

func TestCheck(t *testing.T) {
	needs := contract.Needs{"runs": {"uid", "phase"}, "tasks": nil}
	tests := map[string]struct {
		empty   bool
		prepare string // %s is the role
		needs   contract.Needs
		want    []string // parts of the fault; none means none
	}{
		"a database without the schema": {
			empty: true, needs: needs, want: []string{"has no schema kontroler_v1", "start the controller"},
		},
		"a role without privileges": {
			needs: needs, want: []string{"GRANT USAGE ON SCHEMA kontroler_v1 TO ", "GRANT SELECT ON ALL TABLES"},
		},
		"a role that may use the schema, but not read all views": {
			prepare: `GRANT USAGE ON SCHEMA kontroler_v1 TO %[1]s; GRANT SELECT ON kontroler_v1.runs TO %[1]s`, needs: needs,
			want: []string{"may not read schema kontroler_v1"},
		},
		"a role that may read what is needed": {
			prepare: `GRANT USAGE ON SCHEMA kontroler_v1 TO %[1]s; GRANT SELECT ON kontroler_v1.runs, kontroler_v1.tasks TO %[1]s`,
			needs:   needs,
		},
		"a schema without a view and a column": {
			needs: contract.Needs{"runs": {"uid", "mood"}, "tasks": nil, "weather": {"rain"}},
			want:  []string{"it lacks runs.mood, weather. Upgrade the controller first"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			base := storetest.URL(t)
			if test.empty {
				base = storetest.EmptyURL(t)
			}
			db, err := contract.Open(asRole(t, base, test.prepare), 1)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			err = db.Check(t.Context(), test.needs)
			_, isFault := err.(*contract.Fault)
			if isFault != (test.want != nil) || err != nil && !isFault {
				t.Fatalf("error %v", err)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("fault %q lacks %q", err, part)
				}
			}
		})
	}
}

func TestCheckWithoutADatabase(t *testing.T) {
	db, err := contract.Open("postgres://127.0.0.1:1/x?sslmode=disable", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Check(t.Context(), nil); !store.IsUnavailable(err) {
		t.Errorf("got %v", err)
	}
}

// asRole returns the URL of a new role, after the statements of prepare.
func asRole(t *testing.T, base, prepare string) string {
	t.Helper()
	pool, err := sql.Open("postgres", base)
	if err != nil {
		t.Fatal(err)
	}
	role := fmt.Sprint("reader_", time.Now().UnixNano())
	statements := []string{`CREATE ROLE ` + role + ` LOGIN PASSWORD 'x'`}
	if prepare != "" {
		statements = append(statements, fmt.Sprintf(prepare, role))
	}
	for _, statement := range statements {
		if _, err := pool.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if _, err := pool.Exec(`DROP OWNED BY ` + role + `; DROP ROLE ` + role); err != nil {
			t.Error(err)
		}
		pool.Close()
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "x")
	return u.String()
}

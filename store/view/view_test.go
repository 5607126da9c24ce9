package view_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/view"
)

var t0 = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// fixture is a database that a role of --reader-roles reads. raw and owner reach it as its owner.
type fixture struct {
	*testing.T
	db    *view.DB
	owner *store.DB
	raw   *sql.DB
	role  string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	url := storetest.URL(t)
	owner := storetest.Open(t, url)
	role, asRole := storetest.NewRole(t, url)
	if err := owner.GrantReaders(t.Context(), []string{role}); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return &fixture{T: t, db: open(t, asRole), owner: owner, raw: raw, role: role}
}

func open(t *testing.T, url string) *view.DB {
	t.Helper()
	db, err := view.Open(view.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func (f *fixture) exec(statement string, args ...any) {
	f.Helper()
	if _, err := f.raw.Exec(statement, args...); err != nil {
		f.Fatalf("%v\n%s", err, statement)
	}
}

// uid returns the UUID for a number.
func uid(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// fillRuns inserts n runs in four namespaces and seven DAGs, of all phases and triggers. Several are admitted at the
// same time, and the order of their ids is not that of their admission.
func (f *fixture) fillRuns(n int) {
	f.Helper()
	f.exec(`
INSERT INTO kontroler.dags (namespace, name, uid, created_at)
SELECT 'team-' || d % 3, 'dag-' || d % 4, gen_random_uuid(), $1 FROM generate_series(1, 7) d;`, t0)
	f.exec(`
INSERT INTO kontroler.dag_versions (dag_id, version, hash, spec, tasks, created_at)
SELECT id, 1, sha256(id::text::bytea), '{}', 1, $1 FROM kontroler.dags`, t0)
	random := rand.New(rand.NewPCG(3, 4))
	phases := []string{"Pending", "Running", "Succeeded", "Succeeded", "Failed", "Cancelled"}
	for i := range n {
		phase, trigger := phases[random.IntN(6)], []string{"Schedule", "API", "Manual", ""}[random.IntN(4)]
		var requester, finished any
		if trigger == "API" {
			requester = []string{"alice", "bob"}[random.IntN(2)]
		}
		at := t0.Add(time.Duration(random.IntN(n/4)) * time.Second)
		if phase != "Pending" && phase != "Running" {
			finished = at.Add(time.Minute)
		}
		dag := 1 + random.IntN(8) // the eighth has no row
		f.exec(`
INSERT INTO kontroler.runs (uid, namespace, name, dag_name, dag_id, dag_version_id, phase, total, ready, succeeded,
    failed, cancelled, created_at, admitted_at, finished_at, trigger, requested_by)
SELECT $1, coalesce(d.namespace, 'alone'), coalesce(d.name, 'none') || '-' || $2, coalesce(d.name, 'none'), d.id,
       coalesce(v.id, (SELECT min(id) FROM kontroler.dag_versions)), p, 1, (p IN ('Pending', 'Running'))::int,
       (p = 'Succeeded')::int, (p = 'Failed')::int, (p = 'Cancelled')::int, $4, $4, $5, nullif($6, ''), $7
FROM (SELECT $3::text AS p) p LEFT JOIN kontroler.dags d ON d.id = $8
LEFT JOIN kontroler.dag_versions v ON v.dag_id = d.id`,
			uid(i), fmt.Sprintf("%x", i), phase, at, finished, trigger, requester, dag)
	}
}

// allRuns reads all runs in the order of lists.
func (f *fixture) allRuns() []view.Run {
	f.Helper()
	var all []view.Run
	rows, err := f.raw.Query(`SELECT id, uid, namespace, name, dag_name, coalesce(dag_id, 0), phase,
coalesce(trigger, ''), coalesce(requested_by, ''), admitted_at
FROM kontroler.runs ORDER BY admitted_at DESC, id DESC`)
	if err != nil {
		f.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r view.Run
		err := rows.Scan(&r.ID, &r.UID, &r.Namespace, &r.Name, &r.DAG, &r.DAGID, &r.Phase, &r.Trigger, &r.RequestedBy,
			&r.AdmittedAt)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		f.Fatal(err)
	}
	return all
}

// ids returns the ids of runs.
func ids(runs []view.Run) []int64 {
	all := make([]int64, len(runs))
	for i, r := range runs {
		all[i] = r.ID
	}
	return all
}

// pages reads all pages from the beginning to the end, and then back. It returns the ids of each way, newest first.
func (f *fixture) pages(filter view.RunFilter, limit int) (there, back []int64) {
	f.Helper()
	read := func(cursor view.Cursor) view.Page[view.Run] {
		f.Helper()
		page, err := f.db.Runs(f.Context(), filter, view.PageRequest{Cursor: cursor, Limit: limit})
		if err != nil {
			f.Fatal(err)
		}
		if len(page.Rows) > limit {
			f.Fatalf("a page of %d rows, at most %d", len(page.Rows), limit)
		}
		return page
	}
	page := read("")
	if page.Previous != "" {
		f.Error("the first page has a cursor to the rows before it")
	}
	for there = ids(page.Rows); page.Next != ""; there = append(there, ids(page.Rows)...) {
		page = read(page.Next)
	}
	for back = ids(page.Rows); page.Previous != ""; back = append(ids(page.Rows), back...) {
		page = read(page.Previous)
	}
	return there, back
}

// TestRuns compares lists with filters, read page by page in both directions, with a search of all rows.
func TestRuns(t *testing.T) {
	f := newFixture(t)
	f.fillRuns(600)
	all := f.allRuns()
	teams := view.Namespaces("team-2", "team-0", "no-such", "team-2")
	isTeam := func(r view.Run) bool { return r.Namespace == "team-0" || r.Namespace == "team-2" }
	since, until := t0.Add(30*time.Second), t0.Add(90*time.Second)
	tests := map[string]struct {
		filter  view.RunFilter
		matches func(view.Run) bool
	}{
		"all namespaces": {
			view.RunFilter{Scope: view.AllNamespaces()}, func(view.Run) bool { return true },
		},
		"the zero scope has no runs": {
			view.RunFilter{}, func(view.Run) bool { return false },
		},
		"no namespaces have no runs, whatever else matches": {
			view.RunFilter{Scope: view.Namespaces(), DAG: "dag-1"}, func(view.Run) bool { return false },
		},
		"one namespace": {
			view.RunFilter{Scope: view.Namespaces("alone")}, func(r view.Run) bool { return r.Namespace == "alone" },
		},
		"several namespaces": {view.RunFilter{Scope: teams}, isTeam},
		"a DAG in all namespaces": {
			view.RunFilter{Scope: view.AllNamespaces(), DAG: "dag-1"},
			func(r view.Run) bool { return r.DAG == "dag-1" },
		},
		"a DAG in several namespaces": {
			view.RunFilter{Scope: teams, DAG: "dag-1"}, func(r view.Run) bool { return isTeam(r) && r.DAG == "dag-1" },
		},
		"a DAG without a row": {
			view.RunFilter{Scope: view.AllNamespaces(), DAG: "none"}, func(view.Run) bool { return false },
		},
		"one phase": {
			view.RunFilter{Scope: teams, Phases: []string{"Failed"}},
			func(r view.Run) bool { return isTeam(r) && r.Phase == "Failed" },
		},
		"several phases": {
			view.RunFilter{Scope: view.AllNamespaces(), Phases: []string{"Cancelled", "Running", "Failed", "Running"}},
			func(r view.Run) bool { return r.Phase != "Pending" && r.Phase != "Succeeded" },
		},
		"all phases": {
			view.RunFilter{Scope: teams, Phases: []string{"Pending", "Cancelled", "Running", "Failed", "Succeeded"}},
			isTeam,
		},
		"the live phases of a DAG": {
			view.RunFilter{Scope: teams, DAG: "dag-2", Phases: []string{"Pending", "Running"}},
			func(r view.Run) bool {
				return isTeam(r) && r.DAG == "dag-2" && (r.Phase == "Pending" || r.Phase == "Running")
			},
		},
		"a phase that does not exist": {
			view.RunFilter{Scope: teams, Phases: []string{"Odd"}}, func(view.Run) bool { return false },
		},
		"a trigger": {
			view.RunFilter{Scope: teams, Trigger: "Schedule"},
			func(r view.Run) bool { return isTeam(r) && r.Trigger == "Schedule" },
		},
		"a trigger that does not exist": {
			view.RunFilter{Scope: teams, Trigger: "Odd"}, func(view.Run) bool { return false },
		},
		"a requester of runs with another trigger": {
			view.RunFilter{Scope: teams, Trigger: "Manual", RequestedBy: "alice"}, func(view.Run) bool { return false },
		},
		"a requester": {
			view.RunFilter{Scope: view.AllNamespaces(), RequestedBy: "alice"},
			func(r view.Run) bool { return r.RequestedBy == "alice" },
		},
		"a prefix of the name": {
			view.RunFilter{Scope: teams, NamePrefix: "dag-1-2"},
			func(r view.Run) bool { return isTeam(r) && strings.HasPrefix(r.Name, "dag-1-2") },
		},
		"a prefix that ends with the separator": {
			view.RunFilter{Scope: view.AllNamespaces(), NamePrefix: "dag-1-"},
			func(r view.Run) bool { return strings.HasPrefix(r.Name, "dag-1-") },
		},
		"a prefix that no name can have": {
			view.RunFilter{Scope: teams, NamePrefix: "%"}, func(view.Run) bool { return false },
		},
		"a time": {
			view.RunFilter{Scope: teams, Since: since, Until: until},
			func(r view.Run) bool { return isTeam(r) && !r.AdmittedAt.Before(since) && r.AdmittedAt.Before(until) },
		},
		"all of it": {
			view.RunFilter{
				Scope: teams, DAG: "dag-1", Phases: []string{"Failed", "Succeeded"}, Trigger: "API", RequestedBy: "bob",
				NamePrefix: "dag-1", Since: since, Until: until.Add(time.Minute),
			},
			func(r view.Run) bool {
				return isTeam(r) && r.DAG == "dag-1" && (r.Phase == "Failed" || r.Phase == "Succeeded") &&
					r.RequestedBy == "bob" && !r.AdmittedAt.Before(since) && r.AdmittedAt.Before(until.Add(time.Minute))
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want := ids(slices.DeleteFunc(slices.Clone(all), func(r view.Run) bool { return !tt.matches(r) }))
			for _, limit := range []int{7, 200} {
				there, back := (&fixture{T: t, db: f.db}).pages(tt.filter, limit)
				if diff := cmp.Diff(want, there); diff != "" && len(want)+len(there) > 0 {
					t.Errorf("pages of %d (-want +got):\n%s", limit, diff)
				}
				if diff := cmp.Diff(want, back); diff != "" && len(want)+len(back) > 0 {
					t.Errorf("pages of %d, backwards (-want +got):\n%s", limit, diff)
				}
			}
		})
	}
}

// TestRunsThatAppear checks that a cursor keeps its place while runs appear and are removed, and that the first page
// leads to the runs that appear after it.
func TestRunsThatAppear(t *testing.T) {
	f := newFixture(t)
	f.fillRuns(40)
	filter := view.RunFilter{Scope: view.AllNamespaces()}
	all := f.allRuns()
	read := func(cursor view.Cursor) view.Page[view.Run] {
		t.Helper()
		page, err := f.db.Runs(t.Context(), filter, view.PageRequest{Cursor: cursor, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	first := read("")
	f.exec(`DELETE FROM kontroler.runs WHERE id = $1`, all[9].ID)                              // the last of the page
	f.exec(`UPDATE kontroler.runs SET admitted_at = $2 WHERE id = $1`, all[30].ID, time.Now()) // as if it was new
	second := read(first.Next)
	if diff := cmp.Diff(ids(all[10:20]), ids(second.Rows)); diff != "" {
		t.Errorf("the second page (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(append([]int64{all[30].ID}, ids(all[:9])...), ids(read(second.Previous).Rows)); diff != "" {
		t.Errorf("the page before it (-want +got):\n%s", diff)
	}
	// The pages around the second one become empty. Each leads back to it.
	f.exec(`DELETE FROM kontroler.runs WHERE id <> ALL ($1)`, ids(second.Rows))
	after := read(second.Next)
	if diff := cmp.Diff(ids(second.Rows), ids(read(after.Previous).Rows)); diff != "" || len(after.Rows) != 0 {
		t.Errorf("the page before an empty one, of %d rows (-want +got):\n%s", len(after.Rows), diff)
	}
	before := read(second.Previous)
	if diff := cmp.Diff(ids(second.Rows), ids(read(before.Next).Rows)); diff != "" || len(before.Rows) != 0 {
		t.Errorf("the page after an empty one, of %d rows (-want +got):\n%s", len(before.Rows), diff)
	}
	if only := read(""); only.Next != "" || only.Previous != "" || after.Next != "" || before.Previous != "" {
		t.Errorf("a cursor leads beyond the only page: %+v, %+v, %+v", only, after, before)
	}
}

// TestOneRun checks that a run is found by its UID for ever, and by its name as the newest of that name.
func TestOneRun(t *testing.T) {
	f := newFixture(t)
	f.fillRuns(40)
	f.exec(`UPDATE kontroler.runs SET namespace = 'n', name = 'same' WHERE id IN (3, 5, 4)`)
	for name, tt := range map[string]struct {
		read func() (view.Run, bool, error)
		want int64
	}{
		"by UID":             {func() (view.Run, bool, error) { return f.db.Run(t.Context(), uid(6)) }, 7},
		"by an unknown UID":  {func() (view.Run, bool, error) { return f.db.Run(t.Context(), uid(999)) }, 0},
		"by what is no UID":  {func() (view.Run, bool, error) { return f.db.Run(t.Context(), "' OR true") }, 0},
		"by name":            {func() (view.Run, bool, error) { return f.db.NewestRun(t.Context(), "n", "same") }, 5},
		"by an unknown name": {func() (view.Run, bool, error) { return f.db.NewestRun(t.Context(), "m", "same") }, 0},
	} {
		run, found, err := tt.read()
		if err != nil || run.ID != tt.want || found != (tt.want != 0) {
			t.Errorf("%s: run %d, found %t, %v; want %d", name, run.ID, found, err, tt.want)
		}
	}
}

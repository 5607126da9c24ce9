package view_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store/view"
)

// fillMany inserts 200,000 runs of one task in 40 namespaces and 200 DAGs, one per minute. Half of them are of one DAG.
// The last 300 are live; of the others, one in 500 has failed and one was cancelled. Somebody requested one in 1,000.
func (f *fixture) fillMany() view.Sample {
	f.Helper()
	f.exec(`
SET session_replication_role = replica; -- no checks of foreign keys: they hold
INSERT INTO kontroler.dags (namespace, name, uid, created_at)
SELECT 'team-' || d % 40, 'dag-' || d, gen_random_uuid(), now() FROM generate_series(1, 200) d;
INSERT INTO kontroler.dag_versions (dag_id, version, hash, spec, tasks, created_at)
SELECT d.id, v, sha256((d.id || '/' || v)::bytea), '{"task": []}', 5, now() FROM kontroler.dags d,
       generate_series(1, 20) v;
INSERT INTO kontroler.runs (uid, namespace, name, dag_name, dag_id, dag_version_id, phase, total, ready, succeeded,
    failed, cancelled, created_at, admitted_at, finished_at, trigger, requested_by)
SELECT gen_random_uuid(), d.namespace, d.name || '-' || substr(md5(n::text), 1, 10), d.name, d.id, d.id * 20, phase, 1,
       (phase = 'Running')::int, (phase = 'Succeeded')::int, (phase = 'Failed')::int, (phase = 'Cancelled')::int,
       at, at, CASE WHEN phase <> 'Running' THEN at + interval '1 minute' END,
       CASE WHEN n % 1000 = 9 THEN 'API' ELSE 'Schedule' END,
       CASE WHEN n % 1000 = 9 THEN 'alice' END
FROM (SELECT n, now() - (200000 - n) * interval '1 minute' AS at,
             CASE WHEN n % 2 = 0 THEN 1 ELSE 1 + n / 2 % 200 END AS dag,
             CASE WHEN n > 199700 THEN 'Running' WHEN n % 500 = 7 THEN 'Failed' WHEN n % 500 = 8 THEN 'Cancelled'
             ELSE 'Succeeded' END AS phase FROM generate_series(1, 200000) n) n
JOIN kontroler.dags d ON d.id = n.dag ORDER BY n;
INSERT INTO kontroler.tasks (run_id, position, name, phase, unmet, attempts, due_at, finished_at)
SELECT r.id, 0, 'a', CASE WHEN r.phase = 'Running' THEN 'Ready' ELSE 'Succeeded' END, 0, 1,
       CASE WHEN r.phase = 'Running' THEN now() END, r.finished_at FROM kontroler.runs r;
INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name, decided_at, finished_at)
SELECT t.run_id, t.id, 1, 'Succeeded', 'p', t.finished_at, t.finished_at
FROM kontroler.tasks t WHERE t.phase = 'Succeeded';
INSERT INTO kontroler.pod_events (attempt_id, at, key, container, type, reason, message, source, count, first_at,
    last_at)
SELECT a.id, a.decided_at, gen_random_uuid(), '', 'Normal', 'Started', 'm', 'kubelet', 1, a.decided_at, a.decided_at
FROM kontroler.attempts a;
INSERT INTO kontroler.logs (attempt_id, at, state, chunks, captured_at)
SELECT a.id, a.finished_at, 'Captured', 2, a.finished_at FROM kontroler.attempts a WHERE a.id % 8 = 0;
INSERT INTO kontroler.log_chunks (attempt_id, at, seq, size, data)
SELECT l.attempt_id, l.at, n, 1, 'x' FROM kontroler.logs l, generate_series(0, 1) n;
INSERT INTO kontroler.ticks (dag_id, due_from, due_to, count, outcome, decided_at)
SELECT n % 200, now() - n * interval '1 minute', now() - n * interval '1 minute', 1, 'Ran', now()
FROM generate_series(1, 100000) n;
INSERT INTO kontroler.changes (xid, run_id, kind, at)
SELECT (1000 + n)::text::xid8, n / 3, 'run', now() FROM generate_series(1, 300000) n;
SET session_replication_role = DEFAULT`)
	f.exec(`VACUUM ANALYZE`)
	s := view.Sample{Now: time.Now()}
	err := f.raw.QueryRow(`SELECT r.uid, r.namespace, r.dag_name, r.name, r.id, t.id, a.id, r.dag_id, r.dag_version_id,
       a.finished_at
FROM kontroler.runs r JOIN kontroler.tasks t ON t.run_id = r.id JOIN kontroler.attempts a ON a.task_id = t.id
WHERE r.id = 100001`).
		Scan(&s.RunUID, &s.Namespace, &s.DAG, &s.Name, &s.RunID, &s.TaskID, &s.AttemptID, &s.DAGID, &s.VersionID,
			&s.FinishedAt)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

func (f *fixture) plan(q view.Query) string {
	f.Helper()
	rows, err := f.raw.Query("EXPLAIN "+q.SQL, q.Args...)
	if err != nil {
		f.Fatalf("%v\n%s", err, q.SQL)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			f.Fatal(err)
		}
		plan = append(plan, line)
	}
	if err := rows.Err(); err != nil {
		f.Fatal(err)
	}
	return strings.Join(plan, "\n")
}

var seqScan = regexp.MustCompile(`Seq Scan on (runs|tasks|attempts|changes|ticks|pod_events|logs|log_chunks)`)

// TestPlans reads the plan of every query, with default settings and fresh statistics. None scans a table that grows.
// Lists of runs use the index of their filter, also where they merge many namespaces.
func TestPlans(t *testing.T) {
	if testing.Short() {
		t.Skip("fills 200,000 runs")
	}
	f := newFixture(t)
	s := f.fillMany()
	queries := view.Queries(s)
	covered(t, queries)
	for name, q := range queries {
		t.Run(name, func(t *testing.T) {
			if plan := (&fixture{T: t, raw: f.raw}).plan(q); seqScan.MatchString(plan) {
				t.Errorf("the query scans a table that grows:\n%s\n%s", q.SQL, plan)
			}
		})
	}
	one, many := view.Namespaces(s.Namespace), view.Namespaces("team-1", "team-2", "team-3", "team-4", "team-5")
	lists := map[string]struct {
		filter view.RunFilter
		index  string
	}{
		"all namespaces":          {view.RunFilter{Scope: view.AllNamespaces()}, "runs_by_namespace"},
		"one namespace":           {view.RunFilter{Scope: one}, "runs_by_namespace"},
		"many namespaces":         {view.RunFilter{Scope: many}, "runs_by_namespace"},
		"a time":                  {view.RunFilter{Scope: many, Until: s.Now.AddDate(0, -1, 0)}, "runs_by_namespace"},
		"a DAG":                   {view.RunFilter{Scope: one, DAG: s.DAG}, "runs_by_dag"},
		"a DAG of all namespaces": {view.RunFilter{Scope: view.AllNamespaces(), DAG: s.DAG}, "runs_by_dag"},
		"failed": {
			view.RunFilter{Scope: many, Phases: []string{"Failed"}}, "runs_unsuccessful_by_namespace",
		},
		"failed or cancelled": {
			view.RunFilter{Scope: one, Phases: []string{"Failed", "Cancelled"}}, "runs_unsuccessful_by_namespace",
		},
		"failed of a DAG": {
			view.RunFilter{Scope: one, DAG: s.DAG, Phases: []string{"Failed"}}, "runs_unsuccessful_by_dag",
		},
		"a rare trigger": {
			view.RunFilter{Scope: view.AllNamespaces(), Trigger: "API"}, "runs_requested_by_namespace",
		},
		"a requester":  {view.RunFilter{Scope: one, RequestedBy: "alice"}, "runs_requested_by_namespace"},
		"live of many": {view.RunFilter{Scope: many, Phases: []string{"Running"}}, "runs_live_by_namespace"},
		"live":         {view.RunFilter{Scope: one, Phases: []string{"Pending", "Running"}}, "runs_live_by_namespace"},
		"succeeded":    {view.RunFilter{Scope: one, Phases: []string{"Succeeded"}}, "runs_by_namespace"},
		"a rare prefix of the name": {
			view.RunFilter{Scope: one, NamePrefix: s.Name[:len(s.Name)-4]}, "runs_by_name",
		},
		"a common prefix of the name": {view.RunFilter{Scope: one, NamePrefix: "dag-"}, "runs_by_namespace"},
	}
	for name, tt := range lists {
		for _, isBackward := range []bool{false, true} {
			t.Run("runs of "+name, func(t *testing.T) {
				request := view.PageRequest{Limit: 50}
				if isBackward {
					request.Cursor = "AQEABjfgqFjAAAAAAAAAAAAB" // newer than a time in 2025
				}
				q, err := view.RunsQuery(tt.filter, request)
				if err != nil {
					t.Fatal(err)
				}
				plan := (&fixture{T: t, raw: f.raw}).plan(q)
				index := regexp.MustCompile(`(using|Bitmap Index Scan on) ` + tt.index + `[ \n]`)
				if seqScan.MatchString(plan) || !index.MatchString(plan) {
					t.Errorf("the list does not use index %s:\n%s\n%s", tt.index, q.SQL, plan)
				}
			})
		}
	}
}

// covered checks that Queries lists every constant whose name begins with sql.
func covered(t *testing.T, queries map[string]view.Query) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok {
				for _, name := range spec.Names {
					if strings.HasPrefix(name.Name, "sql") {
						want = append(want, name.Name)
					}
				}
			}
			return true
		})
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(queries))); diff != "" {
		t.Errorf("queries with a plan (-want +got):\n%s", diff)
	}
}

package store_test

import (
	"database/sql"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
	"kontroler/store/transition"
)

// fill inserts 100,000 runs of 5 tasks each, in 20 DAGs. The last 300 runs are live. They have Active, Ready and
// Waiting tasks, one attempt that is due and one that is Decided. Of the others, one in 97 has failed and one was
// cancelled, although their tasks have succeeded.
func (f *fixture) fill() store.Sample {
	f.Helper()
	f.exec(`
SET session_replication_role = replica; -- no checks of foreign keys: they hold
INSERT INTO kontroler.dags (namespace, name, uid, created_at)
SELECT 'default', 'dag-' || d, gen_random_uuid(), now() FROM generate_series(1, 20) d;
INSERT INTO kontroler.dag_versions (dag_id, version, hash, spec, tasks, created_at)
SELECT d.id, v, sha256((d.id || '/' || v)::bytea), '{"task": []}', 5, now() FROM kontroler.dags d, generate_series(2,
       6) v;
INSERT INTO kontroler.runs (uid, namespace, name, dag_name, dag_id, dag_version_id, phase, parameters, total, waiting,
    ready, active, succeeded,
                            created_at, admitted_at, started_at, finished_at)
SELECT gen_random_uuid(), 'default', 'run-' || r, v.name, v.dag_id, v.id,
       CASE WHEN live THEN 'Running' WHEN r.r % 97 = 7 THEN 'Failed' WHEN r.r % 97 = 50 THEN 'Cancelled'
       ELSE 'Succeeded' END, '[]', 5,
       CASE WHEN live THEN 2 ELSE 0 END, CASE WHEN live THEN 1 ELSE 0 END, CASE WHEN live THEN 2 ELSE 0 END,
           CASE WHEN live THEN 0 ELSE 5 END,
       at, at, at, CASE WHEN NOT live THEN at END
FROM (SELECT r, r > 99700 AS live, now() - (100000 - r) * interval '1 minute' AS at FROM generate_series(1, 100000) r) r
JOIN (SELECT v.id, v.dag_id, d.name, row_number() OVER (ORDER BY v.id) - 1 AS n
    FROM kontroler.dag_versions v JOIN kontroler.dags d ON d.id = v.dag_id) v ON v.n = r.r % 100;
INSERT INTO kontroler.tasks (run_id, position, name, phase, unmet, attempts, cascade, due_at, ready_at, started_at,
    finished_at)
SELECT r.id, p, 'task-' || p, s.phase, CASE WHEN s.phase = 'Waiting' THEN 1 ELSE 0 END,
       CASE WHEN p < 2 OR s.phase = 'Succeeded' THEN 1 ELSE 0 END,
       false, CASE WHEN s.phase = 'Ready' THEN r.admitted_at END, r.admitted_at, r.admitted_at,
           CASE WHEN s.phase = 'Succeeded' THEN r.admitted_at END
FROM kontroler.runs r, generate_series(0, 4) p,
     LATERAL (SELECT CASE WHEN r.phase <> 'Running' THEN 'Succeeded' WHEN p < 2 THEN 'Active' WHEN p = 2 THEN 'Ready'
         ELSE 'Waiting' END AS phase) s;
INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name, pod_uid, node, exit_code, due_at, decided_at,
    created_at, started_at, finished_at)
SELECT t.run_id, t.id, 1, s.phase, 'run-' || t.run_id || '-' || t.position, gen_random_uuid(), 'node-1',
       CASE WHEN s.phase = 'Succeeded' THEN 0 END,
       CASE WHEN s.phase = 'Running' THEN now() END, t.started_at, t.started_at, t.started_at, t.finished_at
FROM kontroler.tasks t,
     LATERAL (SELECT CASE WHEN t.phase = 'Succeeded' THEN 'Succeeded' WHEN t.position = 0 THEN 'Running' ELSE 'Decided'
         END AS phase) s
WHERE t.attempts = 1;
INSERT INTO kontroler.dag_tasks (namespace, name, uid, generation, version, created_at)
SELECT 'default', 'task-' || n, gen_random_uuid(), 1, 5, now() FROM generate_series(1, 2000) n;
INSERT INTO kontroler.dag_task_versions (dag_task_id, version, hash, spec, created_at)
SELECT t.id, v, sha256((t.id || '/' || v)::bytea), '{"image": "i"}', now() FROM kontroler.dag_tasks t,
       generate_series(1, 5) v;
INSERT INTO kontroler.changes (xid, run_id, kind, at)
SELECT (1000 + n)::text::xid8, n / 3, 'run', now() FROM generate_series(1, 300000) n;
INSERT INTO kontroler.ticks (dag_id, due_from, due_to, count, outcome, run_id, decided_at)
SELECT n % 20, now() - n * interval '1 minute', now() - n * interval '1 minute', 1, 'Ran', n, now()
       FROM generate_series(1, 100000) n;
INSERT INTO kontroler.pod_events (attempt_id, at, key, container, type, reason, message, source, count, first_at,
    last_at)
SELECT a.id, a.decided_at, gen_random_uuid(), '', 'Normal', 'Started', 'm', 'kubelet', 1, a.decided_at, a.decided_at
FROM kontroler.attempts a, generate_series(1, 3) WHERE a.id % 5 = 0 OR a.phase <> 'Succeeded';
INSERT INTO kontroler.notifications (run_id, dag_id, task_id, event, state, tries, due_at, created_at, settled_at)
SELECT t.run_id, r.dag_id, t.id, 'TaskSucceeded', CASE WHEN old THEN 'Delivered' ELSE 'Pending' END, 1,
       CASE WHEN NOT old AND t.position = 0 THEN t.started_at END, t.started_at, CASE WHEN old THEN t.started_at END
FROM kontroler.tasks t JOIN kontroler.runs r ON r.id = t.run_id, LATERAL (SELECT r.id <= 98000 AS old) o
WHERE r.id > 90000;
INSERT INTO kontroler.deliveries (notification_id, try, at, status, duration_ms)
SELECT id, 1, created_at, 200, 5 FROM kontroler.notifications WHERE state = 'Delivered';
INSERT INTO kontroler.logs (attempt_id, at, state, bytes, chunks, captured_at)
SELECT n, now() - n * interval '1 minute', 'Captured', 1, 1, now() FROM generate_series(1, 100000) n;
INSERT INTO kontroler.log_chunks (attempt_id, at, seq, size, data)
SELECT n, now() - n * interval '1 minute', 0, 1, 'x' FROM generate_series(1, 100000) n;
ANALYZE;
SET session_replication_role = DEFAULT`)
	s := store.Sample{Namespace: "default", DAG: "dag-7", Now: time.Now(), Old: time.Now().AddDate(0, 0, -60)}
	err := f.raw.QueryRow(`SELECT r.id, r.uid, r.dag_version_id, t.id, a.id, a.pod_name FROM kontroler.runs r
JOIN kontroler.tasks t ON t.run_id = r.id AND t.position = 0 JOIN kontroler.attempts a ON a.task_id = t.id
WHERE r.phase = 'Running'
    ORDER BY r.id OFFSET 100 LIMIT 1`).Scan(&s.RunID, &s.RunUID, &s.VersionID, &s.TaskID, &s.AttemptID, &s.Pod)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// readers returns queries of the read contract that a server runs all the time.
func readers(s store.Sample) map[string]store.Query {
	return map[string]store.Query{
		"view: changes": {SQL: newChanges, Args: []any{"290000:290100:290000,290007"}},
		"view: a run":   {SQL: `SELECT id FROM kontroler_v1.runs WHERE uid = $1`, Args: []any{s.RunUID}},
		"view: tasks": {SQL: `SELECT name, reason, message FROM kontroler_v1.tasks WHERE run_id = $1
ORDER BY position, index`, Args: []any{s.RunID}},
		"view: attempts": {SQL: `SELECT id, phase FROM kontroler_v1.attempts WHERE task_id = $1
ORDER BY number`, Args: []any{s.TaskID}},
		"view: newest runs": {SQL: `SELECT id, phase FROM kontroler_v1.runs ORDER BY id DESC LIMIT 50`},
		"view: Events of an attempt": {SQL: `SELECT reason, message FROM kontroler_v1.pod_events WHERE attempt_id = $1
ORDER BY first_at`, Args: []any{s.AttemptID}},
		"view: Events of a run": {SQL: `SELECT reason, message FROM kontroler_v1.pod_events WHERE run_id = $1
ORDER BY first_at`, Args: []any{s.RunID}},
		"view: ticks": {SQL: `SELECT due_from, outcome FROM kontroler_v1.ticks WHERE dag_id = $1
ORDER BY due_from DESC LIMIT 50`, Args: []any{7}},
		"view: DagTasks": {SQL: `SELECT name, version FROM kontroler_v1.dag_tasks WHERE namespace = $1
AND name = $2`, Args: []any{s.Namespace, "task-7"}},
		"view: its versions": {SQL: `SELECT version, spec FROM kontroler_v1.dag_task_versions WHERE dag_task_id = $1
ORDER BY version DESC LIMIT 50`, Args: []any{7}},
		"view: notifications": {SQL: `SELECT event, state, error FROM kontroler_v1.notifications WHERE run_id = $1
ORDER BY id`, Args: []any{s.RunID}},
		"view: deliveries": {SQL: `SELECT try, status, error FROM kontroler_v1.deliveries WHERE notification_id = $1
ORDER BY try`, Args: []any{7}},
		"trim: notifications": {SQL: `DELETE FROM kontroler.notifications
WHERE run_id = $1`, Args: []any{s.RunID}}, // the foreign key does this when a run is deleted
		"view: logs": {SQL: `SELECT l.state, l.message FROM kontroler_v1.attempts a
JOIN kontroler_v1.logs l ON l.attempt_id = a.id AND l.at = a.finished_at WHERE a.task_id = $1`, Args: []any{s.TaskID}},
		"view: a log": {SQL: `SELECT data FROM kontroler_v1.log_chunks WHERE attempt_id = $1
ORDER BY seq`, Args: []any{s.AttemptID}},
	}
}

// TestPlans reads the plan of every query, with default settings and fresh statistics. None scans a table that grows.
func TestPlans(t *testing.T) {
	if testing.Short() {
		t.Skip("fills 100,000 runs")
	}
	f := newFixture(t)
	f.checkPrepared("empty")
	s := f.fill()
	f.checkPrepared("full")
	queries := store.Queries(s)
	covered(t, queries)
	maps.Copy(queries, readers(s))
	for _, name := range slices.Sorted(maps.Keys(queries)) {
		t.Run(name, func(t *testing.T) {
			q := queries[name]
			checkPlan(t, q.SQL, f.plan(f.raw, "EXPLAIN "+q.SQL, q.Args...))
		})
	}
	f.checkFilters(s)
}

// checkFilters reads the plans of lists of runs. Each is served by the index that was made for it. But for names, the
// index has the rows in the order of the list, so that a page costs the same wherever it is. Few runs have the names
// that are looked for: of many, the planner may find a page sooner in the order of the list, as the sample of its
// statistics falls out.
func (f *fixture) checkFilters(s store.Sample) {
	const order = ` ORDER BY admitted_at DESC, id DESC LIMIT 20`
	tests := map[string]struct {
		where string
		args  []any
		index string
		sorts bool
	}{
		"of a namespace": {
			where: `namespace = $1 AND (admitted_at, id) < ($2, $3)`, args: []any{s.Namespace, s.Now, 70000},
			index: "runs_by_namespace",
		},
		"of a DAG": {
			where: `dag_id = $1 AND (admitted_at, id) < ($2, $3)`, args: []any{7, s.Now, 70000}, index: "runs_by_dag",
		},
		"of a namespace that have failed": {
			where: `namespace = $1 AND phase = $2 AND (admitted_at, id) < ($3, $4)`,
			args:  []any{s.Namespace, "Failed", s.Now, 70000}, index: "runs_unsuccessful_by_namespace",
		},
		"of a DAG that were cancelled": {
			where: `dag_id = $1 AND phase = $2 AND (admitted_at, id) < ($3, $4)`,
			args:  []any{7, "Cancelled", s.Now, 70000}, index: "runs_unsuccessful_by_dag",
		},
		"whose names begin alike": {
			where: `namespace = $1 AND name ~>=~ $2 AND name ~<~ $3`, args: []any{s.Namespace, "run-43217", "run-43218"},
			index: "runs_by_name", sorts: true,
		},
		"whose names are LIKE a prefix": {
			where: `namespace = $1 AND name LIKE $2`, args: []any{s.Namespace, "run-43217%"}, index: "runs_by_name",
			sorts: true,
		},
		"with one name": {
			where: `namespace = $1 AND name = $2`, args: []any{s.Namespace, "run-43217"}, index: "runs_by_name", sorts: true,
		},
	}
	for name, tt := range tests {
		f.Run("runs "+name, func(t *testing.T) {
			query := `SELECT id, uid, phase FROM kontroler_v1.runs WHERE ` + tt.where + order
			plan := f.plan(f.raw, "EXPLAIN "+query, tt.args...)
			if !regexp.MustCompile(`Index Scan (Backward )?using ` + tt.index + ` `).MatchString(plan) {
				t.Errorf("the query does not use index %s:\n%s\n%s", tt.index, query, plan)
			}
			if strings.Contains(plan, "Sort") != tt.sorts || strings.Contains(plan, "Filter: ((namespace") {
				t.Errorf("the index does not have the rows in order:\n%s\n%s", query, plan)
			}
		})
	}
}

// checkPrepared reads the plans that a leader makes once for all arguments. Plans made while the tables are empty must
// serve later, too.
func (f *fixture) checkPrepared(tables string) {
	url := f.url
	for name, value := range store.PlanSettings {
		url += "&" + name + "=" + value
	}
	raw := openRaw(f.T, url)
	parameter := regexp.MustCompile(`\$(\d+)`)
	for i, statement := range store.PreparedStatements() {
		f.Run(fmt.Sprintf("prepared/%s/%d", tables, i), func(t *testing.T) {
			most := 0
			for _, match := range parameter.FindAllStringSubmatch(statement, -1) {
				n, err := strconv.Atoi(match[1])
				if err != nil {
					t.Fatal(err)
				}
				most = max(most, n)
			}
			nulls := strings.TrimSuffix(strings.Repeat("NULL, ", most), ", ")
			plan := f.plan(raw, fmt.Sprintf("PREPARE p AS %s; EXPLAIN EXECUTE p(%s)", statement, nulls))
			checkPlan(t, statement, plan)
		})
	}
}

// halfIndexed matches a plan that reads all rows of a run and drops most of them.
var halfIndexed = regexp.MustCompile(`Index Cond: \(run_id = .+\)\n\s+Filter: .*(pod_name|position|'Failed')`)

var seqScan = regexp.MustCompile(`Seq Scan on (runs|tasks|attempts|changes|ticks|pod_events|dag_tasks|` +
	`dag_task_versions|notifications|deliveries|logs|log_chunks)`)

// checkPlan checks that a statement scans no growing table and no run, and that it finds rows given by id through the
// primary key.
func checkPlan(t *testing.T, statement, plan string) {
	t.Helper()
	if seqScan.MatchString(plan) {
		t.Errorf("the statement scans a table that grows:\n%s\n%s", statement, plan)
	}
	if halfIndexed.MatchString(plan) {
		t.Errorf("the statement scans a run:\n%s\n%s", statement, plan)
	}
	byID := regexp.MustCompile(
		`Index Scan using (attempts|tasks)_pkey on (attempts a|tasks t)\s.*\n\s+Index Cond: \(id = c.id\)`)
	if strings.Contains(statement, "json_to_recordset") && !byID.MatchString(plan) {
		t.Errorf("the statement does not find rows by primary key:\n%s\n%s", statement, plan)
	}
	if testing.Verbose() {
		t.Log("\n" + plan)
	}
}

// plan returns the output of an EXPLAIN, which is the last of the statements.
func (f *fixture) plan(raw *sql.DB, statements string, args ...any) string {
	f.Helper()
	tx, err := raw.Begin()
	if err != nil {
		f.Fatal(err)
	}
	defer tx.Rollback()
	if prepare, execute, ok := strings.Cut(statements, "; "); ok {
		if _, err := tx.Exec(prepare); err != nil {
			f.Fatalf("%v\n%s", err, prepare)
		}
		defer tx.Exec("DEALLOCATE p")
		statements = execute
	}
	rows, err := tx.Query(statements, args...)
	if err != nil {
		f.Fatalf("%v\n%s", err, statements)
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

// covered checks that Queries lists every constant whose name begins with sql, in this package and in those below it,
// except for NotExplained. Packages view and accounts have tests of their own.
func covered(t *testing.T, queries map[string]store.Query) {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.go", "*/*.go", "internal/*/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	files = slices.DeleteFunc(files, func(name string) bool {
		return slices.Contains([]string{"accounts", "view"}, filepath.Dir(name))
	})
	var want []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok {
				for _, name := range spec.Names {
					if strings.HasPrefix(name.Name, "sql") && !slices.Contains(store.NotExplained, name.Name) {
						want = append(want, name.Name)
					}
				}
			}
			return true
		})
	}
	slices.Sort(want)
	got := slices.DeleteFunc(slices.Sorted(maps.Keys(queries)),
		func(name string) bool { return strings.Contains(name, "(") })
	if diff := cmp.Diff(slices.Compact(want), got); diff != "" {
		t.Errorf("queries with a plan (-want +got):\n%s", diff)
	}
}

// TestRowsTouched checks that an outcome reads and writes as many rows in a run of 10 tasks as in one of 10,000, also
// with plans that were made for empty tables without statistics.
func TestRowsTouched(t *testing.T) {
	f := newFixture(t)
	f.exec(`ALTER TABLE kontroler.runs SET (autovacuum_enabled = false); ALTER TABLE kontroler.tasks
SET (autovacuum_enabled = false);
ALTER TABLE kontroler.attempts SET (autovacuum_enabled = false)`)
	var want string
	for _, size := range []int{10, 1_000, 10_000} {
		got := f.touched(f.wide(size))
		t.Logf("%6d tasks: %s", size, got)
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("a run of %d tasks: %s, one of 10: %s", size, got, want)
		}
	}
}

// wide inserts a run. A quarter of its tasks each is Active (at most 2,000), Ready, Waiting and Succeeded. Active tasks
// are due one after the other, so that the same one is next at every size.
func (f *fixture) wide(size int) int64 {
	f.Helper()
	run := f.admit(make([]int, size)...).ID
	f.exec(fmt.Sprintf(`
UPDATE kontroler.tasks SET phase = 'Active', due_at = NULL, attempts = 1 WHERE run_id = %[1]d AND position %% 4 = 0
       AND position < 8000;
UPDATE kontroler.tasks SET phase = 'Waiting', due_at = NULL, unmet = 2 WHERE run_id = %[1]d AND position %% 4 = 1;
UPDATE kontroler.tasks SET phase = 'Succeeded', due_at = NULL, finished_at = now(), attempts = 1 WHERE run_id = %[1]d
       AND position %% 4 = 2;
INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name, pod_uid, due_at, decided_at, started_at,
    finished_at)
SELECT run_id, id, 1, CASE WHEN phase = 'Active' THEN 'Running' ELSE 'Succeeded' END, 'pod-' || position,
       gen_random_uuid(),
       CASE WHEN phase = 'Active' THEN now() + interval '1 hour' + position * interval '1 second' END, now(), now(),
           finished_at
FROM kontroler.tasks WHERE run_id = %[1]d AND attempts = 1;
UPDATE kontroler.runs r SET phase = 'Running', started_at = now(), ready = n.ready, waiting = n.waiting,
       active = n.active, succeeded = n.succeeded
FROM (SELECT count(*) FILTER (WHERE phase = 'Ready') AS ready, count(*) FILTER (WHERE phase = 'Waiting') AS waiting,
             count(*) FILTER (WHERE phase = 'Active') AS active,
                 count(*) FILTER (WHERE phase = 'Succeeded') AS succeeded
      FROM kontroler.tasks WHERE run_id = %[1]d) n WHERE r.id = %[1]d`, run))
	return run
}

// touched gathers for one Pod, commits its success, and returns how many rows that read and wrote.
func (f *fixture) touched(run int64) string {
	f.Helper()
	var touched string
	uid := f.text(`SELECT uid FROM kontroler.runs WHERE id = $1`, run)
	err := f.leader.InTx(f.Context(), func(tx *sql.Tx) error {
		const count = `SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), sum(n_tup_ins + n_tup_upd + n_tup_del)
FROM pg_stat_xact_user_tables WHERE schemaname = 'kontroler'`
		var read, written [2]int64
		if err := tx.QueryRow(count).Scan(&read[0], &written[0]); err != nil {
			return err
		}
		slice, err := f.leader.GatherIn(f.Context(), tx, uid,
			store.GatherRequest{Pods: []string{"pod-4"}, Now: time.Now(), MaxAttempts: 500, MaxReady: 1,
				MaxChildrenPending: 100})
		if err != nil {
			return err
		}
		if len(slice.Attempts) != 1 || len(slice.Tasks) != 2 {
			return fmt.Errorf("gathered %d attempts, %d tasks", len(slice.Attempts), len(slice.Tasks))
		}
		transitions := outcome(slice)
		if err := f.leader.ApplyIn(f.Context(), tx, run, transitions); err != nil {
			return err
		}
		if err := tx.QueryRow(count).Scan(&read[1], &written[1]); err != nil {
			return err
		}
		touched = fmt.Sprintf("%d rows read, %d written", read[1]-read[0], written[1]-written[0])
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	return touched
}

// outcome ends the slice's one attempt and starts its first Ready task.
func outcome(slice store.Snapshot) []transition.Transition {
	attempt, now, zero := slice.Attempts[0], time.Now(), int32(0)
	next := slice.Tasks[slices.IndexFunc(slice.Tasks, func(t store.Task) bool { return t.Phase == "Ready" })]
	return []transition.Transition{
		transition.AttemptEnded{
			Attempt: attempt.ID, Phase: "Succeeded", ExitCode: &zero, Node: "node-1", FinishedAt: now,
		},
		transition.TaskSucceeded{Task: attempt.TaskID, At: now},
		transition.TaskActive{Task: next.ID, At: now},
		transition.AttemptDecided{
			Task: next.ID, Number: next.Attempts + 1, PodName: fmt.Sprintf("pod-%d", next.Position), At: now,
		},
	}
}

package bench_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"kontroler/store/storetest"
)

// The shape of a history: namespaces, DAGs of ten tasks in them, and one DAG with many tasks.
const (
	namespaces = 40
	smallDAGs  = 400
	// bigTasks and bigRuns make a grid of 50,000 cells.
	bigTasks, bigRuns = 1000, 50
	bigDAG, bigPlace  = "big", "team-0"
	// detailedRuns of the server's history have rows for their tasks and attempts. Nothing reads those of older runs in
	// bulk.
	detailedRuns = 20_000
)

// database is a database of a controller, with a role for a server.
type database struct {
	b        testing.TB
	raw      *sql.DB
	owner    string // URL
	readerAs string // URL of a role that reads the views
}

// newDatabase migrates a database and makes the role.
func newDatabase(b testing.TB, owner string) *database {
	b.Helper()
	d := &database{b: b, owner: owner}
	store := storetest.Open(b, owner)
	if err := store.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	var err error
	if d.raw, err = sql.Open("postgres", owner); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.raw.Close() })
	var role string
	role, d.readerAs = storetest.NewRole(b, owner)
	if err := store.GrantReaders(b.Context(), []string{role}); err != nil {
		b.Fatal(err)
	}
	return d
}

func (d *database) exec(statement string, args ...any) {
	d.b.Helper()
	if _, err := d.raw.Exec(statement, args...); err != nil {
		d.b.Fatalf("%v\n%s", err, statement)
	}
}

// strings reads a column.
func (d *database) strings(query string, args ...any) (all []string) {
	d.b.Helper()
	rows, err := d.raw.Query(query, args...)
	if err != nil {
		d.b.Fatalf("%v\n%s", err, query)
	}
	defer rows.Close()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			d.b.Fatal(err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		d.b.Fatal(err)
	}
	return all
}

// history is a database with the runs of a year.
type history struct {
	*database
	server               *storetest.Server
	runs, live, detailed int
}

// newHistory fills a database with n runs. A run began about every 31 s if there are a million. One in 50 has failed,
// one in 500 was cancelled, the last 300 are live, and alice requested one in 1,000.
func newHistory(b testing.TB, n int) *history {
	b.Helper()
	dir := b.TempDir()
	openDirectories(b, dir)
	server, err := storetest.Start(filepath.Join(dir, "postgres"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := server.Crash(); err != nil {
			b.Error(err)
		}
	})
	h := &history{database: newDatabase(b, server.URL()), server: server, runs: n, live: 300, detailed: detailedRuns}
	h.fill()
	return h
}

// fill inserts the rows, also beside rows that exist. The triggers that check foreign keys are off: the keys hold.
func (h *history) fill() {
	h.b.Helper()
	small, big := make([]string, 10), make([]string, bigTasks)
	for i := range small {
		small[i] = taskSpec(i, 4)
	}
	for i := range big {
		big[i] = taskSpec(i, 10)
	}
	triggersOff := `SET session_replication_role = replica; `
	triggersOn := `; SET session_replication_role = DEFAULT`
	h.exec(triggersOff + fmt.Sprintf(`
INSERT INTO kontroler.dags (namespace, name, uid, created_at)
SELECT 'team-' || d %% %d, 'dag-' || d, gen_random_uuid(), now() - interval '1 year' FROM generate_series(1, %d) d;
INSERT INTO kontroler.dags (namespace, name, uid, created_at) VALUES ('%s', '%s', gen_random_uuid(), now());
INSERT INTO kontroler.dag_versions (dag_id, version, hash, spec, tasks, created_at)
SELECT d.id, 1, sha256(d.name::bytea), CASE WHEN d.name = '%s' THEN '{"task": [%s]}'::jsonb ELSE '{"task": [%s]}' END,
       CASE WHEN d.name = '%[5]s' THEN %[8]d ELSE 10 END, d.created_at
FROM kontroler.dags d WHERE NOT EXISTS (SELECT FROM kontroler.dag_versions v WHERE v.dag_id = d.id)`,
		namespaces, smallDAGs, bigPlace, bigDAG, bigDAG, strings.Join(big, ","), strings.Join(small, ","),
		bigTasks) + triggersOn)
	h.exec(triggersOff + fmt.Sprintf(`
INSERT INTO kontroler.runs (uid, namespace, name, dag_name, dag_id, dag_version_id, phase, total, waiting, ready,
    succeeded, failed, skipped, cancelled, created_at, admitted_at, started_at, finished_at, trigger, requested_by, parameters)
SELECT gen_random_uuid(), d.namespace, d.name || '-' || substr(md5(n::text), 1, 10), d.name, d.id, v.id, phase, 10,
       CASE phase WHEN 'Running' THEN 9 ELSE 0 END, (phase = 'Running')::int,
       CASE phase WHEN 'Succeeded' THEN 10 ELSE 0 END, (phase = 'Failed')::int,
       CASE phase WHEN 'Failed' THEN 9 ELSE 0 END, CASE phase WHEN 'Cancelled' THEN 10 ELSE 0 END,
       at, at, at + interval '1 s', CASE WHEN phase <> 'Running' THEN at + interval '1 minute' * (1 + n %% 17) END,
       CASE WHEN n %% 1000 = 9 THEN 'API' ELSE 'Schedule' END, CASE WHEN n %% 1000 = 9 THEN 'alice' END,
       '[{"name": "day", "value": "2026-07-01"}, {"name": "bucket", "value": "s3://warehouse/raw"}]'
FROM (SELECT n, now() - (%[1]d - n + 1) * (interval '1 year' / %[1]d) AS at,
             1 + (hashint4(n) & 2147483647) %% %[2]d AS dag,
             CASE WHEN n > %[1]d - %[5]d THEN 'Running' WHEN n %% 50 = 7 THEN 'Failed'
             WHEN n %% 500 = 8 THEN 'Cancelled' ELSE 'Succeeded' END AS phase FROM generate_series(1, %[1]d) n) n
JOIN kontroler.dags d ON d.name = 'dag-' || n.dag JOIN kontroler.dag_versions v ON v.dag_id = d.id ORDER BY n;
INSERT INTO kontroler.runs (uid, namespace, name, dag_name, dag_id, dag_version_id, phase, total, succeeded, created_at,
    admitted_at, started_at, finished_at, trigger)
SELECT gen_random_uuid(), d.namespace, d.name || '-' || n, d.name, d.id, v.id, 'Succeeded', v.tasks, v.tasks, at, at, at,
       at + interval '5 minutes', 'Manual'
FROM (SELECT n, now() - (%[3]d - n) * interval '6 hours' - interval '1 day' AS at FROM generate_series(1, %[3]d) n) n
JOIN kontroler.dags d ON d.name = '%[4]s' JOIN kontroler.dag_versions v ON v.dag_id = d.id`,
		h.runs, smallDAGs, bigRuns, bigDAG, h.live) + triggersOn)
	h.exec(triggersOff + fmt.Sprintf(`
WITH t AS (INSERT INTO kontroler.tasks (run_id, position, name, phase, unmet, parents, attempts, due_at, started_at, finished_at)
SELECT r.id, p, 'task-' || p, state, CASE state WHEN 'Waiting' THEN 1 ELSE 0 END, '{}', (state = 'Succeeded')::int,
       CASE state WHEN 'Ready' THEN r.admitted_at END, CASE state WHEN 'Succeeded' THEN r.started_at END,
       CASE WHEN state NOT IN ('Ready', 'Waiting') THEN r.finished_at END
FROM ((SELECT * FROM kontroler.runs ORDER BY id DESC LIMIT %d + %d)) r, generate_series(0, r.total - 1) p,
     LATERAL (SELECT CASE r.phase WHEN 'Running' THEN CASE p WHEN 0 THEN 'Ready' ELSE 'Waiting' END
              WHEN 'Failed' THEN CASE p WHEN 0 THEN 'Failed' ELSE 'Skipped' END ELSE r.phase END AS state) t
RETURNING *)
INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name, decided_at, started_at, finished_at)
SELECT t.run_id, t.id, 1, 'Succeeded', 'pod-' || t.id, t.started_at, t.started_at, t.finished_at
FROM t WHERE t.phase = 'Succeeded'`, h.detailed, bigRuns) + triggersOn)
	h.exec(`VACUUM ANALYZE`)
}

// taskSpec returns a task of a DAG. Each level has a number of tasks, which need one of the level before.
func taskSpec(i, level int) string {
	after := ""
	if i >= level {
		after = fmt.Sprintf(`"task-%d"`, i-level)
	}
	return fmt.Sprintf(`{"name": "task-%d", "image": "busybox:1.36", "command": ["true"], "runAfter": [%s]}`, i, after)
}

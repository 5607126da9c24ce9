package web_test

import (
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
)

// What there is much of. A grid has gridRuns columns and gridTasks rows.
const (
	manyDAGs            = 3000
	gridTasks, gridRuns = 200, 50
	layeredTasks        = 1000
	tasksOfLayer        = 25
	logLines            = 100_000
	endlessLine         = 100_000_000 // bytes
)

// many is a namespace with many rows, which are inserted directly. The triggers that check foreign keys are off: the
// keys hold. Everything in it is older than what the other namespaces have.
type many struct {
	testing.TB
	leader    *store.Leader
	raw       *sql.DB
	namespace string
	known     map[string]any
}

// fillMany fills a namespace. It returns what the browser tests need to know.
func fillMany(t testing.TB, leader *store.Leader, database, namespace string) map[string]any {
	t.Helper()
	raw, err := sql.Open("postgres", database)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	m := &many{TB: t, leader: leader, raw: raw, namespace: namespace, known: map[string]any{"many": namespace}}
	m.fill()
	return m.known
}

func (m *many) exec(statement string, args ...any) {
	m.Helper()
	tx, err := m.raw.Begin()
	if err != nil {
		m.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if _, err := tx.Exec(`SET LOCAL session_replication_role = replica`); err != nil {
		m.Fatal(err)
	}
	if _, err := tx.Exec(statement, args...); err != nil {
		m.Fatalf("%v\n%s", err, statement)
	}
	if err := tx.Commit(); err != nil {
		m.Fatal(err)
	}
}

// one reads a value.
func (m *many) one(into any, query string, args ...any) {
	m.Helper()
	if err := m.raw.QueryRow(query, args...).Scan(into); err != nil {
		m.Fatalf("%v\n%s", err, query)
	}
}

func (m *many) fill() {
	m.dag("etl", manyDAGs, 2, 1)
	m.runs("etl", 1, "Succeeded")
	m.dag("grid", 1, gridTasks, 10)
	m.runs("grid", gridRuns, "Succeeded")
	m.dag("layered", 1, layeredTasks, tasksOfLayer)
	m.runs("layered", 1, "Running")
	m.tasks()
	var uid string
	m.one(&uid, `SELECT uid FROM kontroler.runs WHERE namespace = $1 AND dag_name = 'layered-0001'`, m.namespace)
	m.known["layered"] = uid
	lines := make([]string, logLines)
	for i := range lines {
		lines[i] = logLine(i)
	}
	m.known["long"] = m.log(0, strings.Join(lines, "\n")+"\n")
	const progress = "\x1b[36mimporting\x1b[0m 12,345 rows of /var/lib/orders; "
	m.known["endless"] = m.log(1, strings.Repeat(progress, endlessLine/len(progress)))
}

// dag inserts DAGs of a number of tasks. Each needs the one that is a layer before it.
func (m *many) dag(name string, count, tasks, layer int) {
	m.Helper()
	specs := make([]string, tasks)
	for i := range specs {
		after := ""
		if i >= layer {
			after = fmt.Sprintf(`"%s"`, taskName(i-layer))
		}
		specs[i] = fmt.Sprintf(`{"name": %q, "image": "registry.internal/import:5.2", "runAfter": [%s]}`,
			taskName(i), after)
	}
	m.exec(`
WITH made AS (
    INSERT INTO kontroler.dags (namespace, name, uid, created_at)
    SELECT $1, $2 || '-' || to_char(n, 'FM0000'), gen_random_uuid(), now() - interval '90 days'
    FROM generate_series(1, $3::int) n
    RETURNING id, name, created_at)
INSERT INTO kontroler.dag_versions (dag_id, version, hash, spec, tasks, created_at)
SELECT id, 1, sha256(name::bytea), $4::jsonb, $5, created_at FROM made`,
		m.namespace, name, count, `{"task": [`+strings.Join(specs, ",")+`]}`, tasks)
}

func taskName(i int) string { return fmt.Sprintf("step-%04d", i) }

// runs inserts runs of the DAGs of a name, a day apart. The last ends a week ago.
func (m *many) runs(name string, count int, phase string) {
	m.Helper()
	m.exec(`
INSERT INTO kontroler.runs (uid, namespace, name, dag_name, dag_id, dag_version_id, phase, total, succeeded, failed,
    skipped, waiting, active, created_at, admitted_at, started_at, finished_at, trigger, parameters)
SELECT gen_random_uuid(), d.namespace, d.name || '-' || to_char(n, 'FM0000'), d.name, d.id, v.id, phase, v.tasks,
       CASE phase WHEN 'Succeeded' THEN v.tasks WHEN 'Failed' THEN v.tasks - 2 ELSE v.tasks / 2 END,
       (phase = 'Failed')::int, (phase = 'Failed')::int,
       CASE phase WHEN 'Running' THEN v.tasks - v.tasks / 2 - $4 ELSE 0 END,
       CASE phase WHEN 'Running' THEN $4 ELSE 0 END,
       at, at, at, CASE WHEN phase <> 'Running' THEN at + interval '1 second' * (60 + (n * 37) % 240) END,
       'Manual', '[]'
FROM kontroler.dags d JOIN kontroler.dag_versions v ON v.dag_id = d.id, generate_series(1, $3::int) n,
     LATERAL (SELECT now() - (7 + $3 - n) * interval '1 day' AS at,
              CASE WHEN $5 = 'Succeeded' AND (n % 7 = 3 OR d.id % 11 = 4) THEN 'Failed' ELSE $5 END AS phase) s
WHERE d.namespace = $1 AND d.name LIKE $2 || '-%' ORDER BY n, d.id`, m.namespace, name, count, tasksOfLayer, phase)
}

// tasks inserts the tasks of the runs, and an attempt for each that has begun.
func (m *many) tasks() {
	m.Helper()
	m.exec(`
INSERT INTO kontroler.tasks (run_id, position, name, phase, unmet, parents, attempts, retries,
    ready_at, started_at, finished_at)
SELECT r.id, p, 'step-' || to_char(p, 'FM0000'), state, (state = 'Waiting')::int,
       CASE WHEN p < layer THEN '{}'::int[] ELSE ARRAY[p - layer] END, (state NOT IN ('Waiting', 'Skipped'))::int, 0,
       CASE WHEN state <> 'Waiting' THEN r.started_at + interval '1 second' * (p / layer) END,
       CASE WHEN state NOT IN ('Waiting', 'Skipped') THEN r.started_at + interval '1 second' * (p / layer + 1) END,
       CASE WHEN state NOT IN ('Waiting', 'Active')
            THEN r.started_at + interval '1 second' * (p / layer + 2 + p % 5) END
FROM kontroler.runs r, generate_series(0, r.total - 1) p,
     LATERAL (SELECT CASE r.total WHEN $2 THEN $3 WHEN $4 THEN 10 ELSE 1 END AS layer) l,
     LATERAL (SELECT CASE r.phase WHEN 'Running' THEN
                          CASE WHEN p < r.succeeded THEN 'Succeeded'
                               WHEN p < r.succeeded + r.active THEN 'Active' ELSE 'Waiting' END
                      WHEN 'Failed' THEN
                          CASE r.total - p WHEN 2 THEN 'Failed' WHEN 1 THEN 'Skipped' ELSE 'Succeeded' END
                      ELSE 'Succeeded' END AS state) s
WHERE r.namespace = $1`, m.namespace, layeredTasks, tasksOfLayer, gridTasks)
	m.exec(`
INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name, pod_uid, node,
    decided_at, started_at, finished_at)
SELECT t.run_id, t.id, 1, CASE t.phase WHEN 'Active' THEN 'Running' ELSE t.phase END, 'pod-' || t.id, gen_random_uuid(),
       'worker-' || t.id % 12, t.ready_at, t.started_at, t.finished_at
FROM kontroler.tasks t JOIN kontroler.runs r ON r.id = t.run_id WHERE r.namespace = $1 AND t.attempts = 1`, m.namespace)
	m.exec(`ANALYZE kontroler.runs, kontroler.tasks, kontroler.attempts`)
}

// logLine is a line of the long log. Some have colours, markup or several bytes a character.
func logLine(i int) string {
	switch i % 10 {
	case 3:
		return fmt.Sprintf("\x1b[36mINFO\x1b[0m  order %d: 250 rows", i)
	case 7:
		return fmt.Sprintf("order %d: <b>größer</b> & 中文", i)
	default:
		return fmt.Sprintf("order %d is imported from /var/lib/orders/%d.json", i, i%977)
	}
}

// log stores the log of a task of the newest run of the grid, and returns where it is.
func (m *many) log(position int, text string) (place string) {
	m.Helper()
	var at time.Time
	var run, attempt int64
	var uid string
	const newest = ` FROM kontroler.attempts a JOIN kontroler.tasks t ON t.id = a.task_id
JOIN kontroler.runs r ON r.id = t.run_id
WHERE r.namespace = $1 AND r.dag_name = 'grid-0001' AND t.position = $2 ORDER BY r.id DESC LIMIT 1`
	m.one(&run, `SELECT r.id`+newest, m.namespace, position)
	m.one(&uid, `SELECT r.uid`+newest, m.namespace, position)
	m.one(&attempt, `SELECT a.id`+newest, m.namespace, position)
	m.one(&at, `SELECT a.finished_at`+newest, m.namespace, position)
	storeLog(m.TB, m.leader, run, attempt, at, text)
	return fmt.Sprintf("#/runs/%s/log/%s/1", uid, taskName(position))
}

// many creates DAGs, whose rows the other many has, as objects.
func (o *objects) many(namespace, name string, count int) {
	o.Helper()
	numbers, work := make(chan int), sync.WaitGroup{}
	failures := make(chan error, count)
	for range 8 {
		work.Go(func() {
			for n := range numbers {
				_, err := o.client.KontrolerV1alpha1().DAGs(namespace).Create(o.Context(), &v1alpha1.DAG{
					ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%04d", name, n)},
					Spec: v1alpha1.DAGSpec{Task: []v1alpha1.Task{
						{Name: taskName(0), TaskTemplate: v1alpha1.TaskTemplate{Image: "registry.internal/import:5.2"}},
					}},
				}, metav1.CreateOptions{})
				if err != nil {
					failures <- err
				}
			}
		})
	}
	for n := 1; n <= count; n++ {
		numbers <- n
	}
	close(numbers)
	work.Wait()
	close(failures)
	for err := range failures {
		o.Fatal(err)
	}
}

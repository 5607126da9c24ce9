package e2e_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store/storetest"
)

// database is one controller's database, read through the views of the read contract.
type database struct {
	t   *testing.T
	w   *world
	url string
	db  *sql.DB
}

// newDatabase makes an empty database: its controller migrates it.
func (w *world) newDatabase() *database {
	w.t.Helper()
	return w.openDatabase(storetest.EmptyURL(w.t))
}

// openDatabase reads a database that the test has made, as one on a server of its own.
func (w *world) openDatabase(url string) *database {
	w.t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { db.Close() })
	return &database{t: w.t, w: w, url: url, db: db}
}

type runRow struct {
	ID                                                                   int64
	UID, Name, DAG, Phase, Reason, Message, Stop                         string
	Version                                                              int64
	Total, Waiting, Ready, Active, Succeeded, Failed, Skipped, Cancelled int
	Spec                                                                 []byte // of its version
	Finished                                                             time.Time
}

type taskRow struct {
	ID                             int64
	Position                       int
	Name, Phase, Reason, Message   string
	Attempts, Retries, Restarts    int
	ReadyAt, StartedAt, FinishedAt time.Time
}

type attemptRow struct {
	ID, TaskID                                           int64
	Task                                                 string
	Number                                               int
	Phase, Reason, Message, Stop, PodName, PodUID, Stray string
	ExitCode                                             *int
	DecidedAt, CreatedAt, StartedAt, FinishedAt          time.Time
}

// query calls scan for each row of a query.
func (d *database) query(scan func(*sql.Rows) error, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	rows, err := d.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// tryRun is the row of the newest run with a name; false: there is none, or nothing to read it from.
func (d *database) tryRun(name string) (runRow, bool) {
	var r runRow
	found := false
	err := d.query(func(rows *sql.Rows) error {
		found = true
		return rows.Scan(&r.ID, &r.UID, &r.Name, &r.DAG, &r.Phase, &r.Reason, &r.Message, &r.Stop, &r.Version,
			&r.Total, &r.Waiting, &r.Ready, &r.Active, &r.Succeeded, &r.Failed, &r.Skipped, &r.Cancelled, &r.Spec, &r.Finished)
	}, `SELECT r.id, r.uid, r.name, r.dag_name, r.phase, r.reason, r.message, r.stop, coalesce(v.version, 0),
		r.total, r.waiting, r.ready, r.active, r.succeeded, r.failed, r.skipped, r.cancelled, v.spec, coalesce(r.finished_at, 'epoch')
		FROM kontroler_v1.runs r LEFT JOIN kontroler_v1.versions v ON v.id = r.dag_version_id
		WHERE r.namespace = $1 AND r.name = $2 ORDER BY r.id DESC LIMIT 1`, d.w.namespace, name)
	return r, found && err == nil
}

// run is the row of the newest run with a name.
func (d *database) run(name string) runRow {
	d.t.Helper()
	r, ok := d.tryRun(name)
	if !ok {
		d.t.Fatalf("there is no row of run %s", name)
	}
	return r
}

// tasks are the rows of a run's tasks by position; none while there is no run.
func (d *database) tasks(run string) []taskRow {
	d.t.Helper()
	r, ok := d.tryRun(run)
	if !ok {
		return nil
	}
	var tasks []taskRow
	err := d.query(func(rows *sql.Rows) error {
		var t taskRow
		defer func() { tasks = append(tasks, t) }()
		return rows.Scan(&t.ID, &t.Position, &t.Name, &t.Phase, &t.Reason, &t.Message, &t.Attempts, &t.Retries, &t.Restarts,
			&t.ReadyAt, &t.StartedAt, &t.FinishedAt)
	}, `SELECT id, position, name, phase, reason, message, attempts, retries, restarts,
		coalesce(ready_at, 'epoch'), coalesce(started_at, 'epoch'), coalesce(finished_at, 'epoch')
		FROM kontroler_v1.tasks WHERE run_id = $1 ORDER BY position, index`, r.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	return tasks
}

// tryTask is the row of a task; false: there is none yet.
func (d *database) tryTask(run, name string) (taskRow, bool) {
	d.t.Helper()
	tasks := d.tasks(run)
	at := slices.IndexFunc(tasks, func(t taskRow) bool { return t.Name == name })
	if at < 0 {
		return taskRow{}, false
	}
	return tasks[at], true
}

// task is the row of a task.
func (d *database) task(run, name string) taskRow {
	d.t.Helper()
	row, ok := d.tryTask(run, name)
	if !ok {
		d.t.Fatalf("there is no row of task %s of run %s", name, run)
	}
	return row
}

// attempts are the rows of a run's attempts, those of one task in their order.
func (d *database) attempts(run string) []attemptRow {
	d.t.Helper()
	r, ok := d.tryRun(run)
	if !ok {
		return nil
	}
	var attempts []attemptRow
	err := d.query(func(rows *sql.Rows) error {
		var a attemptRow
		defer func() { attempts = append(attempts, a) }()
		return rows.Scan(&a.ID, &a.TaskID, &a.Task, &a.Number, &a.Phase, &a.Reason, &a.Message, &a.Stop, &a.PodName, &a.PodUID, &a.Stray,
			&a.ExitCode, &a.DecidedAt, &a.CreatedAt, &a.StartedAt, &a.FinishedAt)
	}, `SELECT a.id, a.task_id, t.name, a.number, a.phase, a.reason, a.message, a.stop, a.pod_name,
		coalesce(a.pod_uid::text, ''), coalesce(a.stray_uid::text, ''), a.exit_code,
		a.decided_at, coalesce(a.created_at, 'epoch'), coalesce(a.started_at, 'epoch'), coalesce(a.finished_at, 'epoch')
		FROM kontroler_v1.attempts a JOIN kontroler_v1.tasks t ON t.id = a.task_id
		WHERE a.run_id = $1 ORDER BY t.position, a.number`, r.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	return attempts
}

// attemptsOf are the rows of a task's attempts, in their order.
func (d *database) attemptsOf(run, task string) []attemptRow {
	d.t.Helper()
	return slices.DeleteFunc(d.attempts(run), func(a attemptRow) bool { return a.Task != task })
}

// text is everything the database holds, as text.
func (d *database) text() string {
	d.t.Helper()
	var tables []string
	err := d.query(func(rows *sql.Rows) error {
		var table string
		defer func() { tables = append(tables, table) }()
		return rows.Scan(&table)
	}, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		d.t.Fatal(err)
	}
	var all strings.Builder
	for _, table := range tables {
		err := d.query(func(rows *sql.Rows) error {
			var row string
			defer func() { all.WriteString(table + ": " + row + "\n") }()
			return rows.Scan(&row)
		}, `SELECT t::text FROM `+table+` t`)
		if err != nil {
			d.t.Fatal(err)
		}
	}
	return all.String()
}

// parents are the parents of each task of a run's version.
func (r runRow) parents(t *testing.T) map[string][]string {
	t.Helper()
	var spec v1alpha1.DAGSpec
	if err := json.Unmarshal(r.Spec, &spec); err != nil {
		t.Fatal(err)
	}
	parents := map[string][]string{}
	for _, task := range spec.Task {
		parents[task.Name] = task.RunAfter
	}
	return parents
}

// outcome is how a task's row tells its end: "Succeeded", or "Succeeded 3" when it took another number of attempts than
// one, and "Cancelled 1" and "Skipped 1" when it took any.
func (t taskRow) outcome() string {
	usual := 1
	if t.Phase == "Skipped" || t.Phase == "Cancelled" {
		usual = 0
	}
	if t.Attempts == usual {
		return t.Phase
	}
	return fmt.Sprintf("%s %d", t.Phase, t.Attempts)
}

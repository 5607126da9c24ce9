package harness

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

// Database is the database of a controller. Tests read it through the views of schema kontroler_v1.
type Database struct {
	t   *testing.T
	w   *World
	URL string
	DB  *sql.DB
}

// NewDatabase makes an empty database, which its controller migrates.
func (w *World) NewDatabase() *Database {
	w.T.Helper()
	return w.openDatabase(storetest.EmptyURL(w.T))
}

// openDatabase opens a database.
func (w *World) openDatabase(url string) *Database {
	w.T.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { db.Close() })
	return &Database{t: w.T, w: w, URL: url, DB: db}
}

// RunRow is a run.
type RunRow struct {
	ID                                                                   int64
	UID, Name, DAG, Phase, Reason, Message, Stop                         string
	Version                                                              int64
	Total, Waiting, Ready, Active, Succeeded, Failed, Skipped, Cancelled int
	Spec                                                                 []byte // of its version
	Finished                                                             time.Time
}

// TaskRow is a task of a run.
type TaskRow struct {
	ID                             int64
	Position                       int
	Name, Phase, Reason, Message   string
	Attempts, Retries, Restarts    int
	ReadyAt, StartedAt, FinishedAt time.Time
}

// AttemptRow is an attempt of a task.
type AttemptRow struct {
	ID, TaskID                                           int64
	Task                                                 string
	Number                                               int
	Phase, Reason, Message, Stop, PodName, PodUID, Stray string
	ExitCode                                             *int
	DecidedAt, CreatedAt, StartedAt, FinishedAt          time.Time
}

// Query calls scan for each row of a query.
func (d *Database) Query(scan func(*sql.Rows) error, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	rows, err := d.DB.QueryContext(ctx, query, args...)
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

// TryRun returns the row of the newest run with a name. It returns false if there is none or the database does not
// answer.
func (d *Database) TryRun(name string) (RunRow, bool) {
	var r RunRow
	found := false
	err := d.Query(func(rows *sql.Rows) error {
		found = true
		return rows.Scan(&r.ID, &r.UID, &r.Name, &r.DAG, &r.Phase, &r.Reason, &r.Message, &r.Stop, &r.Version,
			&r.Total, &r.Waiting, &r.Ready, &r.Active, &r.Succeeded, &r.Failed, &r.Skipped, &r.Cancelled,
			&r.Spec, &r.Finished)
	}, `SELECT r.id, r.uid, r.name, r.dag_name, r.phase, r.reason, r.message, r.stop, coalesce(v.version, 0),
		r.total, r.waiting, r.ready, r.active, r.succeeded, r.failed, r.skipped, r.cancelled,
		v.spec, coalesce(r.finished_at, 'epoch')
		FROM kontroler_v1.runs r LEFT JOIN kontroler_v1.versions v ON v.id = r.dag_version_id
		WHERE r.namespace = $1 AND r.name = $2 ORDER BY r.id DESC LIMIT 1`, d.w.Namespace, name)
	return r, found && err == nil
}

// Run returns the row of the newest run with a name.
func (d *Database) Run(name string) RunRow {
	d.t.Helper()
	r, ok := d.TryRun(name)
	if !ok {
		d.t.Fatalf("run %s has no row", name)
	}
	return r
}

// Tasks returns the rows of the tasks of a run, by position.
func (d *Database) Tasks(run string) []TaskRow {
	d.t.Helper()
	r, ok := d.TryRun(run)
	if !ok {
		return nil
	}
	var tasks []TaskRow
	err := d.Query(func(rows *sql.Rows) error {
		var t TaskRow
		defer func() { tasks = append(tasks, t) }()
		return rows.Scan(&t.ID, &t.Position, &t.Name, &t.Phase, &t.Reason, &t.Message,
			&t.Attempts, &t.Retries, &t.Restarts, &t.ReadyAt, &t.StartedAt, &t.FinishedAt)
	}, `SELECT id, position, name, phase, reason, message, attempts, retries, restarts,
		coalesce(ready_at, 'epoch'), coalesce(started_at, 'epoch'), coalesce(finished_at, 'epoch')
		FROM kontroler_v1.tasks WHERE run_id = $1 ORDER BY position, index`, r.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	return tasks
}

// TryTask returns the row of a task, or false if there is none yet.
func (d *Database) TryTask(run, name string) (TaskRow, bool) {
	d.t.Helper()
	tasks := d.Tasks(run)
	at := slices.IndexFunc(tasks, func(t TaskRow) bool { return t.Name == name })
	if at < 0 {
		return TaskRow{}, false
	}
	return tasks[at], true
}

// Task returns the row of a task.
func (d *Database) Task(run, name string) TaskRow {
	d.t.Helper()
	row, ok := d.TryTask(run, name)
	if !ok {
		d.t.Fatalf("task %s of run %s has no row", name, run)
	}
	return row
}

// Attempts returns the rows of the attempts of a run, by task and number.
func (d *Database) Attempts(run string) []AttemptRow {
	d.t.Helper()
	r, ok := d.TryRun(run)
	if !ok {
		return nil
	}
	var attempts []AttemptRow
	err := d.Query(func(rows *sql.Rows) error {
		var a AttemptRow
		defer func() { attempts = append(attempts, a) }()
		return rows.Scan(
			&a.ID,
			&a.TaskID,
			&a.Task,
			&a.Number,
			&a.Phase,
			&a.Reason,
			&a.Message,
			&a.Stop,
			&a.PodName,
			&a.PodUID,
			&a.Stray,
			&a.ExitCode,
			&a.DecidedAt,
			&a.CreatedAt,
			&a.StartedAt,
			&a.FinishedAt,
		)
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

// AttemptsOf returns the rows of the attempts of a task, by number.
func (d *Database) AttemptsOf(run, task string) []AttemptRow {
	d.t.Helper()
	return slices.DeleteFunc(d.Attempts(run), func(a AttemptRow) bool { return a.Task != task })
}

// Contents returns all rows of all tables, as text.
func (d *Database) Contents() string {
	d.t.Helper()
	var tables []string
	err := d.Query(func(rows *sql.Rows) error {
		var table string
		defer func() { tables = append(tables, table) }()
		return rows.Scan(&table)
	}, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		d.t.Fatal(err)
	}
	var all strings.Builder
	for _, table := range tables {
		err := d.Query(func(rows *sql.Rows) error {
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

// parents returns the parents of each task, from the version of the run.
func (r RunRow) parents(t *testing.T) map[string][]string {
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

// outcome returns the phase of a task. If its number of attempts is unusual, the number follows: "Succeeded 3". One
// attempt is usual, but none for a task that was skipped or cancelled.
func (t TaskRow) outcome() string {
	usual := 1
	if t.Phase == "Skipped" || t.Phase == "Cancelled" {
		usual = 0
	}
	if t.Attempts == usual {
		return t.Phase
	}
	return fmt.Sprintf("%s %d", t.Phase, t.Attempts)
}

// ControllerID returns the id of the controller that owns the database.
func (d *Database) ControllerID() string {
	d.t.Helper()
	ids := d.Strings(`SELECT controller_id FROM kontroler.identity`)
	if len(ids) != 1 {
		d.t.Fatalf("the database has controller ids %v, want one", ids)
	}
	return ids[0]
}

// Exec changes rows without the controller and returns how many it has changed.
func (d *Database) Exec(statement string, args ...any) int64 {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	result, err := d.DB.ExecContext(ctx, statement, args...)
	if err != nil {
		d.t.Fatal(err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

// Strings returns the rows of a query with one column of text.
func (d *Database) Strings(query string, args ...any) []string {
	d.t.Helper()
	var all []string
	err := d.Query(func(rows *sql.Rows) error {
		var one string
		defer func() { all = append(all, one) }()
		return rows.Scan(&one)
	}, query, args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// dump returns the rows of all runs, or why they cannot be read.
func (d *Database) dump() string {
	var lines []string
	for _, view := range []string{"runs", "tasks", "attempts"} {
		err := d.Query(func(rows *sql.Rows) error {
			var line string
			defer func() { lines = append(lines, view+": "+line) }()
			return rows.Scan(&line)
		}, `SELECT v::text FROM kontroler_v1.`+view+` v ORDER BY id`)
		if err != nil {
			lines = append(lines, err.Error())
		}
	}
	return strings.Join(lines, "\n")
}

// OwnServer moves the world to a database on a server of its own, which the test may stop.
func (w *World) OwnServer() *storetest.Server {
	w.T.Helper()
	server := storetest.NewServer(w.T)
	w.MoveTo(server)
	w.T.Cleanup(func() {
		if w.T.Failed() { // when explain runs, the server has ended
			w.T.Logf("database\n%s", Tail(w.dump(), 300))
		}
	})
	return server
}

// MoveTo makes the database of a server the first one of the world.
func (w *World) MoveTo(server *storetest.Server) {
	w.T.Helper()
	w.Database = w.openDatabase(server.URL())
}

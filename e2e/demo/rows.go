package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// snapshot is the state of a run in the database at one time.
type snapshot struct {
	Now      time.Time
	Run      runRow
	Tasks    []taskRow // in the order of the DAG
	Attempts []attemptRow
	// Schedules are the schedules of all DAGs.
	Schedules []scheduleRow
}

type runRow struct {
	ID                     int64
	Name                   string
	Phase, Reason, Message string
	Done, Total            int
	Admitted, Finished     time.Time
}

type taskRow struct {
	Name                   string
	Phase, Reason, Message string
	Attempts               int
	Due, Started, Finished time.Time
	// Live is the phase of the live attempt, or empty.
	Live string
}

type attemptRow struct {
	Task                   string
	Number                 int
	Phase, Reason, Message string
	ExitCode               sql.NullInt32
	Started, Finished      time.Time
}

type scheduleRow struct {
	DAG, Expression string
	Ran             int // due times that ran
	LastDue         time.Time
}

func (r *runRow) ended() bool { return !r.Finished.IsZero() }

const (
	sqlRun = `
SELECT id, name, phase, reason, message, succeeded + failed + skipped + cancelled, total, admitted_at, finished_at
FROM kontroler_v1.runs WHERE uid = $1`
	sqlTasks = `
SELECT t.name, t.phase, t.reason, t.message, t.attempts, t.due_at, t.started_at, t.finished_at, coalesce(a.phase, '')
FROM kontroler_v1.tasks t
LEFT JOIN kontroler_v1.attempts a ON a.task_id = t.id AND a.number = t.attempts AND a.finished_at IS NULL
WHERE t.run_id = $1 ORDER BY t.position`
	sqlAttempts = `
SELECT t.name, a.number, a.phase, a.reason, a.message, a.exit_code, a.started_at, a.finished_at
FROM kontroler_v1.attempts a JOIN kontroler_v1.tasks t ON t.id = a.task_id
WHERE a.run_id = $1 ORDER BY a.finished_at NULLS LAST, a.id`
	sqlSchedules = `
SELECT d.name, s.schedule, s.last_due,
       (SELECT count(*) FROM kontroler_v1.ticks t WHERE t.dag_id = s.dag_id AND t.outcome = 'Ran')
FROM kontroler_v1.schedules s JOIN kontroler_v1.dags d ON d.id = s.dag_id ORDER BY d.name`
)

// read reads a run by the UID of its DagRun, in one transaction. It returns nil if the run does not exist yet.
func (db *database) read(ctx context.Context, uid string) (*snapshot, error) {
	tx, err := db.sql.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("reading the run: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	s := &snapshot{Now: time.Now()}
	var finished sql.NullTime
	err = tx.QueryRowContext(ctx, sqlRun, uid).Scan(&s.Run.ID, &s.Run.Name, &s.Run.Phase, &s.Run.Reason, &s.Run.Message,
		&s.Run.Done, &s.Run.Total, &s.Run.Admitted, &finished)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the run: %w", err)
	}
	s.Run.Finished = finished.Time
	if s.Tasks, err = query(ctx, tx, sqlTasks, scanTask, s.Run.ID); err != nil {
		return nil, fmt.Errorf("reading the tasks: %w", err)
	}
	if s.Attempts, err = query(ctx, tx, sqlAttempts, scanAttempt, s.Run.ID); err != nil {
		return nil, fmt.Errorf("reading the attempts: %w", err)
	}
	if s.Schedules, err = query(ctx, tx, sqlSchedules, scanSchedule); err != nil {
		return nil, fmt.Errorf("reading the schedules: %w", err)
	}
	return s, nil
}

func scanTask(rows *sql.Rows) (t taskRow, err error) {
	var due, started, finished sql.NullTime
	err = rows.Scan(&t.Name, &t.Phase, &t.Reason, &t.Message, &t.Attempts, &due, &started, &finished, &t.Live)
	t.Due, t.Started, t.Finished = due.Time, started.Time, finished.Time
	return t, err
}

func scanAttempt(rows *sql.Rows) (a attemptRow, err error) {
	var started, finished sql.NullTime
	err = rows.Scan(&a.Task, &a.Number, &a.Phase, &a.Reason, &a.Message, &a.ExitCode, &started, &finished)
	a.Started, a.Finished = started.Time, finished.Time
	return a, err
}

func scanSchedule(rows *sql.Rows) (s scheduleRow, err error) {
	var last sql.NullTime
	err = rows.Scan(&s.DAG, &s.Expression, &last, &s.Ran)
	s.LastDue = last.Time
	return s, err
}

func query[T any](
	ctx context.Context,
	tx *sql.Tx,
	statement string,
	scan func(*sql.Rows) (T, error),
	args ...any,
) ([]T, error) {
	rows, err := tx.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

const sqlRows = `
SELECT (SELECT count(*) FROM kontroler_v1.dags) + (SELECT count(*) FROM kontroler_v1.versions) +
       (SELECT count(*) FROM kontroler_v1.runs) + (SELECT count(*) FROM kontroler_v1.tasks) +
       (SELECT count(*) FROM kontroler_v1.attempts) + (SELECT count(*) FROM kontroler_v1.ticks) +
       (SELECT count(*) FROM kontroler_v1.changes)`

// count returns the number of rows in the database.
func (db *database) count(ctx context.Context) (rows int, err error) {
	if err := db.sql.QueryRowContext(ctx, sqlRows).Scan(&rows); err != nil {
		return 0, fmt.Errorf("counting rows: %w", err)
	}
	return rows, nil
}

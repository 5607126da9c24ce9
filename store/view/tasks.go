package view

import (
	"context"
	"database/sql"
	"time"

	"kontroler/store/internal/postgres"
)

// Task is the row of a task. Reason and Message say why a task is not running, also what follows from its parents or from
// its Pod. DueAt is the time from which a Ready task may start.
type Task struct {
	ID                           int64
	Position, Index              int
	Name, Phase, Reason, Message string
	// Unmet is the number of parents that have not succeeded.
	Unmet                 int
	Attempts              int
	Retries, Restarts     int
	DueAt, ReadyAt        time.Time
	StartedAt, FinishedAt time.Time
}

// Attempt is the row of an attempt. ExitCode is nil if its container has not ended by itself.
type Attempt struct {
	ID, TaskID                   int64
	Number                       int
	Phase, Reason, Message, Stop string
	PodName, PodUID, Node        string
	ExitCode                     *int32
	// StrayUID is the UID of a Pod that appeared after the attempt had ended.
	StrayUID              string
	DecidedAt, CreatedAt  time.Time
	StartedAt, FinishedAt time.Time
}

// PodEvent is an Event of the Pod of an attempt. Container is empty if it concerns the whole Pod.
type PodEvent struct {
	AttemptID                                int64
	Container, Type, Reason, Message, Source string
	Count                                    int
	FirstAt, LastAt                          time.Time
}

const (
	sqlTasks = `
SELECT t.id, t.position, t.index, t.name, t.phase, t.reason, t.message, t.unmet, t.attempts, t.retries, t.restarts,
       t.due_at, t.ready_at, t.started_at, t.finished_at
FROM kontroler_v1.tasks t WHERE t.run_id = $1 ORDER BY t.position, t.index`
	attemptColumns = `a.id, a.task_id, a.number, a.phase, a.reason, a.message, a.stop, a.pod_name,
       coalesce(a.pod_uid::text, ''), a.node, a.exit_code, coalesce(a.stray_uid::text, ''),
       a.decided_at, a.created_at, a.started_at, a.finished_at`
	// The newest attempts of a task: a task that restarts for days has many.
	sqlAttempts = `
SELECT ` + attemptColumns + ` FROM kontroler_v1.attempts a WHERE a.task_id = $1 ORDER BY a.number DESC LIMIT $2`
	sqlPodEvents = `
SELECT e.attempt_id, e.container, e.type, e.reason, e.message, e.source, e.count, e.first_at, e.last_at
FROM kontroler_v1.pod_events e WHERE e.attempt_id = $1 ORDER BY e.first_at, e.reason`
)

// Tasks reads all tasks of a run, by position. There are at most 10,000.
func (db *DB) Tasks(ctx context.Context, runID int64) ([]Task, error) {
	tasks, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (t Task, err error) {
		err = rows.Scan(&t.ID, &t.Position, &t.Index, &t.Name, &t.Phase, &t.Reason, &t.Message, &t.Unmet, &t.Attempts,
			&t.Retries, &t.Restarts, nullTime{&t.DueAt}, nullTime{&t.ReadyAt}, nullTime{&t.StartedAt}, nullTime{&t.FinishedAt})
		return t, err
	}, sqlTasks, runID)
	return tasks, db.classify(ctx, "reading the tasks of a run", err)
}

// Attempts reads the newest attempts of a task, newest first, at most MaxPage.
func (db *DB) Attempts(ctx context.Context, taskID int64) ([]Attempt, error) {
	attempts, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (a Attempt, err error) {
		err = rows.Scan(&a.ID, &a.TaskID, &a.Number, &a.Phase, &a.Reason, &a.Message, &a.Stop, &a.PodName,
			&a.PodUID, &a.Node, &a.ExitCode, &a.StrayUID,
			nullTime{&a.DecidedAt}, nullTime{&a.CreatedAt}, nullTime{&a.StartedAt}, nullTime{&a.FinishedAt})
		return a, err
	}, sqlAttempts, taskID, MaxPage)
	return attempts, db.classify(ctx, "reading the attempts of a task", err)
}

// PodEvents reads the Events of the Pod of an attempt, oldest first. An attempt keeps at most thirty.
func (db *DB) PodEvents(ctx context.Context, attemptID int64) ([]PodEvent, error) {
	events, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (e PodEvent, err error) {
		err = rows.Scan(&e.AttemptID, &e.Container, &e.Type, &e.Reason, &e.Message, &e.Source, &e.Count,
			nullTime{&e.FirstAt}, nullTime{&e.LastAt})
		return e, err
	}, sqlPodEvents, attemptID)
	return events, db.classify(ctx, "reading the Events of a Pod", err)
}

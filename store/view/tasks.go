package view

import (
	"context"
	"database/sql"
	"math"
	"time"

	"kontroler/store/internal/postgres"
)

// TaskReader reads tasks and attempts of runs, and the graphs of runs and versions.
type TaskReader struct{ reader }

// Task is the row of a task. Reason and Message say why a task is not running, including what follows from its parents
// or its Pod. DueAt is the time from which a Ready task may start.
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
	taskColumns = `t.id, t.position, t.index, t.name, t.phase, t.reason, t.message, t.unmet, t.attempts, t.retries,
       t.restarts, t.due_at, t.ready_at, t.started_at, t.finished_at`
	sqlTasks = `
SELECT ` + taskColumns + `
FROM kontroler_v1.tasks t WHERE t.run_id = $1 AND (t.position, t.index) > ($2, $3)
ORDER BY t.position, t.index LIMIT $4`
	sqlTasksBefore = `
SELECT ` + taskColumns + `
FROM kontroler_v1.tasks t WHERE t.run_id = $1 AND (t.position, t.index) < ($2, $3)
ORDER BY t.position DESC, t.index DESC LIMIT $4`
	sqlTask = `
SELECT ` + taskColumns + ` FROM kontroler_v1.tasks t WHERE t.run_id = $1 AND t.name = $2 AND t.index = 0`
	attemptColumns = `a.id, a.task_id, a.number, a.phase, a.reason, a.message, a.stop, a.pod_name,
       coalesce(a.pod_uid::text, ''), a.node, a.exit_code, coalesce(a.stray_uid::text, ''),
       a.decided_at, a.created_at, a.started_at, a.finished_at`
	sqlAttempts = `
SELECT ` + attemptColumns + `
FROM kontroler_v1.attempts a WHERE a.task_id = $1 AND a.number < $2 ORDER BY a.number DESC LIMIT $3`
	sqlAttemptsAbove = `
SELECT ` + attemptColumns + `
FROM kontroler_v1.attempts a WHERE a.task_id = $1 AND a.number > $2 ORDER BY a.number LIMIT $3`
	sqlAttempt = `
SELECT ` + attemptColumns + ` FROM kontroler_v1.attempts a WHERE a.task_id = $1 AND a.number = $2`
	sqlPodEvents = `
SELECT e.attempt_id, e.container, e.type, e.reason, e.message, e.source, e.count, e.first_at, e.last_at
FROM kontroler_v1.pod_events e WHERE e.attempt_id = $1 ORDER BY e.first_at, e.reason`
)

// TaskPosition is the place of a task in the list of its run.
type TaskPosition struct{ Position, Index int32 }

// FirstTask is the place before all tasks.
var FirstTask = TaskPosition{Position: -1}

// Tasks lists the tasks of a run after a place, by position. A limit beyond MaxRows counts as MaxRows.
func (db TaskReader) Tasks(ctx context.Context, runID int64, after TaskPosition, limit int) ([]Task, error) {
	tasks, err := postgres.ReadRows(
		ctx, db.pool, scanTask, sqlTasks, runID, after.Position, after.Index, atMost(limit))
	return tasks, db.classify(ctx, "listing the tasks of a run", err)
}

// TasksBefore lists the tasks of a run right before a place, at most limit of them, by position.
func (db TaskReader) TasksBefore(ctx context.Context, runID int64, before TaskPosition, limit int) ([]Task, error) {
	tasks, err := reversed(postgres.ReadRows(
		ctx, db.pool, scanTask, sqlTasksBefore, runID, before.Position, before.Index, atMost(limit)))
	return tasks, db.classify(ctx, "listing the tasks of a run", err)
}

// Task reads the task of a run with a name. found reports whether it exists.
func (db TaskReader) Task(ctx context.Context, runID int64, name string) (task Task, found bool, err error) {
	tasks, err := postgres.ReadRows(ctx, db.pool, scanTask, sqlTask, runID, name)
	if err != nil || len(tasks) == 0 {
		return Task{}, false, db.classify(ctx, "reading a task", err)
	}
	return tasks[0], true, nil
}

func scanTask(rows *sql.Rows) (t Task, err error) {
	err = rows.Scan(&t.ID, &t.Position, &t.Index, &t.Name, &t.Phase, &t.Reason, &t.Message, &t.Unmet, &t.Attempts,
		&t.Retries, &t.Restarts, nullTime(&t.DueAt), nullTime(&t.ReadyAt), nullTime(&t.StartedAt),
		nullTime(&t.FinishedAt))
	return t, err
}

// Attempts lists the attempts of a task below a number, newest first. A number of 0 means no bound. A limit beyond
// MaxRows counts as MaxRows.
func (db TaskReader) Attempts(ctx context.Context, taskID int64, below, limit int) ([]Attempt, error) {
	if below <= 0 {
		below = math.MaxInt32
	}
	attempts, err := postgres.ReadRows(ctx, db.pool, scanAttempt, sqlAttempts, taskID, below, atMost(limit))
	return attempts, db.classify(ctx, "listing the attempts of a task", err)
}

// AttemptsAbove lists the attempts right above a number, at most limit of them, newest first.
func (db TaskReader) AttemptsAbove(ctx context.Context, taskID int64, number, limit int) ([]Attempt, error) {
	attempts, err := reversed(postgres.ReadRows(
		ctx, db.pool, scanAttempt, sqlAttemptsAbove, taskID, number, atMost(limit)))
	return attempts, db.classify(ctx, "listing the attempts of a task", err)
}

// Attempt reads the attempt of a task with a number. found reports whether it exists.
func (db TaskReader) Attempt(ctx context.Context, taskID int64, number int) (attempt Attempt, found bool, err error) {
	attempts, err := postgres.ReadRows(ctx, db.pool, scanAttempt, sqlAttempt, taskID, number)
	if err != nil || len(attempts) == 0 {
		return Attempt{}, false, db.classify(ctx, "reading an attempt", err)
	}
	return attempts[0], true, nil
}

func scanAttempt(rows *sql.Rows) (a Attempt, err error) {
	err = rows.Scan(&a.ID, &a.TaskID, &a.Number, &a.Phase, &a.Reason, &a.Message, &a.Stop, &a.PodName,
		&a.PodUID, &a.Node, &a.ExitCode, &a.StrayUID,
		nullTime(&a.DecidedAt), nullTime(&a.CreatedAt), nullTime(&a.StartedAt), nullTime(&a.FinishedAt))
	return a, err
}

// PodEvents reads the Events of the Pod of an attempt, oldest first. An attempt keeps at most thirty.
func (db TaskReader) PodEvents(ctx context.Context, attemptID int64) ([]PodEvent, error) {
	events, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (e PodEvent, err error) {
		err = rows.Scan(&e.AttemptID, &e.Container, &e.Type, &e.Reason, &e.Message, &e.Source, &e.Count,
			nullTime(&e.FirstAt), nullTime(&e.LastAt))
		return e, err
	}, sqlPodEvents, attemptID)
	return events, db.classify(ctx, "reading the Events of a Pod", err)
}

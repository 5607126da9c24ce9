package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"kontroler/store/internal/postgres"
)

// Task is the row of a task. DueAt is the time from which a Ready task may start.
type Task struct {
	ID                                 int64
	Position, Index                    int
	Name, Phase, Reason, Message       string
	Unmet, Attempts, Retries, Restarts int
	// ChildrenPending means that the task was failed or skipped, and not all of its children are skipped yet.
	ChildrenPending       bool
	DueAt, ReadyAt        time.Time
	StartedAt, FinishedAt time.Time
}

// Attempt is the row of an attempt. DueAt is the time at which the attempt needs a sync even if nothing happens.
// StrayUID is the UID of a Pod that appeared after the attempt had ended.
type Attempt struct {
	ID, TaskID                      int64
	Number                          int
	Phase, Reason, Message, Stop    string
	PodName, PodUID, Node           string
	ExitCode                        *int32
	ReasonAt, MessageAt, DueAt      time.Time
	DecidedAt, CreatedAt, StartedAt time.Time
	FinishedAt                      time.Time
	StrayUID                        string
}

// GatherRequest says which rows of a run a sync needs.
type GatherRequest struct {
	// Pods are the names of the Pods that changed. If All is set, every live attempt is returned instead.
	Pods []string
	All  bool
	Now  time.Time
	// The maximum numbers of due attempts, of Ready tasks, and of tasks with ChildrenPending to return.
	MaxAttempts, MaxReady, MaxChildrenPending int
}

// DecidedLimit is the maximum number of Decided attempts that Gather returns.
const DecidedLimit = 100

// Snapshot is the part of a run that a sync works on.
type Snapshot struct {
	// Attempts are live attempts, by ID: those of the requested Pods, those that are due, and the first DecidedLimit that
	// are Decided.
	Attempts []Attempt
	// Tasks are the tasks of Attempts, the Ready tasks that are due (the first by due time, then by position), and the
	// tasks with ChildrenPending; by position.
	Tasks []Task
	// NextDue is the first time after Now at which a Ready task is due, or a live attempt that is not in Attempts. It is
	// zero if there is none.
	NextDue time.Time
	// Decided counts the Decided attempts, up to DecidedLimit+1. If it exceeds DecidedLimit, some of them are not in
	// Attempts.
	Decided int
}

const (
	attemptColumns = `a.id, a.task_id, a.number, a.phase, a.reason, a.message, a.stop, a.pod_name,
       coalesce(a.pod_uid::text, ''), a.node, a.exit_code, a.reason_at, a.message_at, a.due_at, a.decided_at,
           a.created_at,
       a.started_at, a.finished_at, coalesce(a.stray_uid::text, '')`
	taskColumns = `t.id, t.position, t.index, t.name, t.phase, t.reason, t.message, t.unmet, t.attempts, t.retries,
       t.restarts, t.cascade, t.due_at, t.ready_at, t.started_at, t.finished_at`
	isLive = `IN ('Decided', 'Pending', 'Running', 'Stopping')`

	// LIMIT makes the planner look up each name by itself. Go code drops attempts that are not live: with a condition on
	// the phase, the planner may scan all attempts of the run, or all live ones, while they are few.
	attemptsByPods = `
SELECT found.* FROM unnest($2::text[]) AS n (pod_name)
CROSS JOIN LATERAL (SELECT ` + attemptColumns + ` FROM kontroler.attempts a
                    WHERE a.run_id = $1 AND a.pod_name = n.pod_name LIMIT 1) found`
	sqlGatherAttempts = attemptsByPods + `
UNION ALL
(SELECT ` + attemptColumns + ` FROM kontroler.attempts a
WHERE a.run_id = $1 AND a.phase ` + isLive + ` AND a.due_at <= $3 ORDER BY a.due_at LIMIT $4)
UNION ALL
(SELECT ` + attemptColumns + ` FROM kontroler.attempts a
WHERE a.run_id = $1 AND a.phase = 'Decided' ORDER BY a.id LIMIT $5)`
	sqlGatherAllAttempts = `
SELECT ` + attemptColumns + ` FROM kontroler.attempts a WHERE a.run_id = $1 AND a.phase ` + isLive
	sqlGatherTasks = `
SELECT ` + taskColumns + ` FROM kontroler.tasks t WHERE t.id = ANY ($2::bigint[])
UNION ALL
(SELECT ` + taskColumns + ` FROM kontroler.tasks t
WHERE t.run_id = $1 AND t.phase = 'Ready' AND t.due_at <= $3 ORDER BY t.due_at, t.position LIMIT $4)
UNION ALL
(SELECT ` + taskColumns + ` FROM kontroler.tasks t WHERE t.run_id = $1 AND t.cascade ORDER BY t.position LIMIT $5)`
	sqlGatherNext = `
SELECT least((SELECT a.due_at FROM kontroler.attempts a WHERE a.run_id = $1 AND a.phase ` + isLive + `
                AND a.due_at > $2 AND a.id <> ALL ($4::bigint[]) ORDER BY a.due_at LIMIT 1),
             (SELECT t.due_at FROM kontroler.tasks t WHERE t.run_id = $1 AND t.phase = 'Ready'
                AND t.due_at > $2 ORDER BY t.due_at LIMIT 1)),
       (SELECT count(*) FROM (SELECT FROM kontroler.attempts a WHERE a.run_id = $1 AND a.phase = 'Decided' LIMIT $3) d)`
	sqlTasksAt = `
SELECT found.* FROM unnest($2::integer[]) AS n (position)
CROSS JOIN LATERAL (SELECT ` + taskColumns + ` FROM kontroler.tasks t
                    WHERE t.run_id = $1 AND t.position = n.position AND t.index = 0 LIMIT 1) found`
	sqlTasksFailed = `
SELECT ` + taskColumns + ` FROM kontroler.tasks t
WHERE t.run_id = $1 AND t.phase = 'Failed' ORDER BY t.position, t.index LIMIT $2`
	sqlAttemptByPod = `
SELECT ` + attemptColumns + ` FROM kontroler.attempts a
WHERE a.run_id = (SELECT r.id FROM kontroler.runs r WHERE r.uid = $1) AND a.pod_name = $2`
	sqlAttemptStray = `
UPDATE kontroler.attempts a SET stray_uid = $3
WHERE a.id = $2 AND a.run_id + 0 = $1 AND a.phase IN ('Succeeded', 'Failed', 'Lost', 'Cancelled')`
)

// Gather reads the rows of a run that a sync needs. Its cost does not grow with the run.
func (l *Leader) Gather(ctx context.Context, runID int64, request GatherRequest) (Snapshot, error) {
	snapshot, err := gather(ctx, l.pool.reader(), runID, request)
	if err != nil {
		return Snapshot{}, fmt.Errorf("reading what changed of run %d: %w", runID, postgres.Classify(ctx, err))
	}
	return snapshot, nil
}

func gather(ctx context.Context, q querier, runID int64, request GatherRequest) (snapshot Snapshot, err error) {
	now := timestamp(request.Now)
	if request.All {
		snapshot.Attempts, err = postgres.ReadRows(ctx, q, scanAttempt, sqlGatherAllAttempts, runID)
	} else {
		snapshot.Attempts, err = postgres.ReadRows(ctx, q, scanAttempt, sqlGatherAttempts,
			runID, texts(request.Pods), now, request.MaxAttempts, DecidedLimit)
	}
	if err != nil {
		return Snapshot{}, err
	}
	snapshot.Attempts = slices.DeleteFunc(snapshot.Attempts, func(a Attempt) bool { return !isLivePhase(a.Phase) })
	snapshot.Attempts = distinct(snapshot.Attempts, func(a, b Attempt) int { return cmp.Compare(a.ID, b.ID) })
	attempts, tasks := make([]int64, len(snapshot.Attempts)), make([]int64, len(snapshot.Attempts))
	for i, a := range snapshot.Attempts {
		attempts[i], tasks[i] = a.ID, a.TaskID
	}
	snapshot.Tasks, err = postgres.ReadRows(
		ctx, q, scanTask, sqlGatherTasks, runID, tasks, now, request.MaxReady, request.MaxChildrenPending)
	if err != nil {
		return Snapshot{}, err
	}
	snapshot.Tasks = distinct(snapshot.Tasks, func(a, b Task) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Index, b.Index))
	})
	row := q.QueryRowContext(ctx, sqlGatherNext, runID, now, DecidedLimit+1, attempts)
	err = row.Scan(nullTime{&snapshot.NextDue}, &snapshot.Decided)
	return snapshot, err
}

func isLivePhase(phase string) bool {
	return phase == "Decided" || phase == "Pending" || phase == "Running" || phase == "Stopping"
}

// distinct sorts all and keeps one of each group that compares equal.
func distinct[T any](all []T, compare func(a, b T) int) []T {
	slices.SortFunc(all, compare)
	return slices.CompactFunc(all, func(a, b T) bool { return compare(a, b) == 0 })
}

func scanAttempt(rows *sql.Rows) (Attempt, error) {
	var a Attempt
	err := rows.Scan(attemptFields(&a)...)
	return a, err
}

func attemptFields(a *Attempt) []any {
	return []any{
		&a.ID, &a.TaskID, &a.Number, &a.Phase, &a.Reason, &a.Message, &a.Stop, &a.PodName, &a.PodUID, &a.Node,
		&a.ExitCode, nullTime{&a.ReasonAt}, nullTime{&a.MessageAt}, nullTime{&a.DueAt}, nullTime{&a.DecidedAt},
		nullTime{&a.CreatedAt}, nullTime{&a.StartedAt}, nullTime{&a.FinishedAt}, &a.StrayUID,
	}
}

func scanTask(rows *sql.Rows) (t Task, err error) {
	err = rows.Scan(&t.ID, &t.Position, &t.Index, &t.Name, &t.Phase, &t.Reason, &t.Message, &t.Unmet, &t.Attempts,
		&t.Retries, &t.Restarts, &t.ChildrenPending, nullTime{&t.DueAt}, nullTime{&t.ReadyAt}, nullTime{&t.StartedAt},
		nullTime{&t.FinishedAt})
	return t, err
}

// TasksAt returns the tasks of a run at these positions, by position, without positions that have no task. Of a
// fanned-out task it returns the one with index 0.
func (l *Leader) TasksAt(ctx context.Context, runID int64, positions []int32) ([]Task, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	tasks, err := postgres.ReadRows(ctx, l.pool.reader(), scanTask, sqlTasksAt, runID, positions)
	if err != nil {
		return nil, fmt.Errorf("reading tasks of run %d: %w", runID, err)
	}
	return distinct(tasks, func(a, b Task) int { return cmp.Compare(a.Position, b.Position) }), nil
}

// FailedTasks returns the first failed tasks of a run, by position, at most limit of them.
func (l *Leader) FailedTasks(ctx context.Context, runID int64, limit int) ([]Task, error) {
	tasks, err := postgres.ReadRows(ctx, l.pool.reader(), scanTask, sqlTasksFailed, runID, limit)
	if err != nil {
		return nil, fmt.Errorf("reading failed tasks of run %d: %w", runID, err)
	}
	return tasks, nil
}

// AttemptByPod reads the attempt of a Pod in the run with this UID, live or ended. found reports whether it exists.
func (l *Leader) AttemptByPod(ctx context.Context, runUID, podName string) (a Attempt, found bool, err error) {
	if !isUUID(runUID) {
		return Attempt{}, false, nil
	}
	err = l.pool.reader().QueryRowContext(ctx, sqlAttemptByPod, runUID, podName).Scan(attemptFields(&a)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Attempt{}, false, nil
	}
	if err != nil {
		err = postgres.Classify(ctx, err)
		return Attempt{}, false, fmt.Errorf("reading the attempt of pod %q: %w", podName, err)
	}
	return a, true, nil
}

// MarkStray records the UID of a Pod that appeared after its attempt had ended. A live attempt is ErrConflict.
func (l *Leader) MarkStray(ctx context.Context, runID, attemptID int64, podUID string) error {
	err := l.pool.write(ctx, func(q querier) (int64, error) {
		marked, err := q.ExecContext(ctx, sqlAttemptStray, runID, attemptID, podUID)
		if err := postgres.Expect(1, marked, err); err != nil {
			return 0, err
		}
		return recordRunChange(ctx, q, runID)
	})
	if err != nil {
		return fmt.Errorf("marking a stray pod of attempt %d: %w", attemptID, err)
	}
	return nil
}

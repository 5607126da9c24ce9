package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Task is a task's row. DueAt is when a Ready task may start.
type Task struct {
	ID                                 int64
	Position, Index                    int
	Name, Phase, Reason, Message       string
	Unmet, Attempts, Retries, Restarts int
	ChildrenPending                    bool
	DueAt, ReadyAt                     time.Time
	StartedAt, FinishedAt              time.Time
}

// Attempt is an attempt's row. DueAt is when it needs a look although nothing happens. StrayUID is the UID of a Pod that
// appeared after it had ended.
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

// Want says what a sync needs of a run.
type Want struct {
	// Pods are the names of the Pods that changed; All asks for every live attempt instead.
	Pods []string
	All  bool
	Now  time.Time
	// How many due attempts, Ready tasks and cascading tasks are returned at most.
	Attempts, Ready, Cascade int
}

// DecidedLimit is how many Decided attempts Gather returns at most.
const DecidedLimit = 100

// Snapshot is what a sync sees of a run.
type Snapshot struct {
	// Attempts are live, by ID: those asked for, those due, and the first DecidedLimit that are Decided.
	Attempts []Attempt
	// Tasks are those of Attempts, the Ready ones that are due (the longest due first to be taken, then by position), and
	// the cascading ones; by position.
	Tasks []Task
	// NextDue is the first time after Now at which a live attempt that is not in Attempts, or a Ready task, is due; zero:
	// never.
	NextDue time.Time
	// Decided is how many attempts are Decided, counted to DecidedLimit+1: more than DecidedLimit says that some are not
	// in Attempts.
	Decided int
}

const (
	attemptColumns = `a.id, a.task_id, a.number, a.phase, a.reason, a.message, a.stop, a.pod_name, coalesce(a.pod_uid::text, ''), a.node,
       a.exit_code, a.reason_at, a.message_at, a.due_at, a.decided_at, a.created_at, a.started_at, a.finished_at, coalesce(a.stray_uid::text, '')`
	taskColumns = `t.id, t.position, t.index, t.name, t.phase, t.reason, t.message, t.unmet, t.attempts, t.retries, t.restarts,
       t.cascade, t.due_at, t.ready_at, t.started_at, t.finished_at`
	isLive = `IN ('Decided', 'Pending', 'Running', 'Stopping')`

	// Each name is looked up by itself (LIMIT sees to that), and whether the attempt is live is told in Go: else the planner
	// may go through all attempts of the run, or all live ones, while they are few.
	attemptsByPods = `
SELECT found.* FROM unnest($2::text[]) AS n (pod_name)
CROSS JOIN LATERAL (SELECT ` + attemptColumns + ` FROM kontroler.attempts a WHERE a.run_id = $1 AND a.pod_name = n.pod_name LIMIT 1) found`
	sqlGatherAttempts = attemptsByPods + `
UNION ALL
(SELECT ` + attemptColumns + ` FROM kontroler.attempts a WHERE a.run_id = $1 AND a.phase ` + isLive + ` AND a.due_at <= $3 ORDER BY a.due_at LIMIT $4)
UNION ALL
(SELECT ` + attemptColumns + ` FROM kontroler.attempts a WHERE a.run_id = $1 AND a.phase = 'Decided' ORDER BY a.id LIMIT $5)`
	sqlGatherAllAttempts = `
SELECT ` + attemptColumns + ` FROM kontroler.attempts a WHERE a.run_id = $1 AND a.phase ` + isLive
	sqlGatherTasks = `
SELECT ` + taskColumns + ` FROM kontroler.tasks t WHERE t.id = ANY ($2::bigint[])
UNION ALL
(SELECT ` + taskColumns + ` FROM kontroler.tasks t WHERE t.run_id = $1 AND t.phase = 'Ready' AND t.due_at <= $3 ORDER BY t.due_at, t.position LIMIT $4)
UNION ALL
(SELECT ` + taskColumns + ` FROM kontroler.tasks t WHERE t.run_id = $1 AND t.cascade ORDER BY t.position LIMIT $5)`
	sqlGatherNext = `
SELECT least((SELECT a.due_at FROM kontroler.attempts a WHERE a.run_id = $1 AND a.phase ` + isLive + ` AND a.due_at > $2
                AND a.id <> ALL ($4::bigint[]) ORDER BY a.due_at LIMIT 1),
             (SELECT t.due_at FROM kontroler.tasks t WHERE t.run_id = $1 AND t.phase = 'Ready' AND t.due_at > $2 ORDER BY t.due_at LIMIT 1)),
       (SELECT count(*) FROM (SELECT FROM kontroler.attempts a WHERE a.run_id = $1 AND a.phase = 'Decided' LIMIT $3) d)`
	sqlTasksAt = `
SELECT found.* FROM unnest($2::integer[]) AS n (position)
CROSS JOIN LATERAL (SELECT ` + taskColumns + ` FROM kontroler.tasks t WHERE t.run_id = $1 AND t.position = n.position AND t.index = 0 LIMIT 1) found`
	sqlTasksFailed  = `SELECT ` + taskColumns + ` FROM kontroler.tasks t WHERE t.run_id = $1 AND t.phase = 'Failed' ORDER BY t.position, t.index LIMIT $2`
	sqlAttemptByPod = `
SELECT ` + attemptColumns + ` FROM kontroler.attempts a
WHERE a.run_id = (SELECT r.id FROM kontroler.runs r WHERE r.uid = $1) AND a.pod_name = $2`
	sqlAttemptsByPods = attemptsByPods
	sqlAttemptStray   = `
UPDATE kontroler.attempts a SET stray_uid = $3
WHERE a.id = $2 AND a.run_id + 0 = $1 AND a.phase IN ('Succeeded', 'Failed', 'Lost', 'Cancelled')`
)

// Gather reads what a sync needs of a run, and no more than want allows: its cost does not depend on how large the run
// is.
func (l *Leader) Gather(ctx context.Context, runID int64, want Want) (Snapshot, error) {
	snapshot, err := gather(ctx, l.reader(), runID, want)
	if err != nil {
		return Snapshot{}, fmt.Errorf("reading what changed of run %d: %w", runID, classify(ctx, err))
	}
	return snapshot, nil
}

func gather(ctx context.Context, q querier, runID int64, want Want) (Snapshot, error) {
	var snapshot Snapshot
	var err error
	now := timestamp(want.Now)
	if want.All {
		snapshot.Attempts, err = readRows(ctx, q, scanAttempt, sqlGatherAllAttempts, runID)
	} else {
		snapshot.Attempts, err = readRows(ctx, q, scanAttempt, sqlGatherAttempts, runID, texts(want.Pods), now, want.Attempts, DecidedLimit)
	}
	if err != nil {
		return Snapshot{}, err
	}
	snapshot.Attempts = slices.DeleteFunc(snapshot.Attempts, func(a Attempt) bool { return !live(a.Phase) })
	snapshot.Attempts = distinct(snapshot.Attempts, func(a, b Attempt) int { return cmp.Compare(a.ID, b.ID) })
	attempts, tasks := make([]int64, len(snapshot.Attempts)), make([]int64, len(snapshot.Attempts))
	for i, a := range snapshot.Attempts {
		attempts[i], tasks[i] = a.ID, a.TaskID
	}
	snapshot.Tasks, err = readRows(ctx, q, scanTask, sqlGatherTasks, runID, tasks, now, want.Ready, want.Cascade)
	if err != nil {
		return Snapshot{}, err
	}
	snapshot.Tasks = distinct(snapshot.Tasks, func(a, b Task) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Index, b.Index))
	})
	err = q.QueryRowContext(ctx, sqlGatherNext, runID, now, DecidedLimit+1, attempts).Scan(nullTime{&snapshot.NextDue}, &snapshot.Decided)
	return snapshot, err
}

func live(phase string) bool {
	return phase == "Decided" || phase == "Pending" || phase == "Running" || phase == "Stopping"
}

// distinct sorts all and keeps one of those that compare equal.
func distinct[T any](all []T, compare func(a, b T) int) []T {
	slices.SortFunc(all, compare)
	return slices.CompactFunc(all, func(a, b T) bool { return compare(a, b) == 0 })
}

// texts is s as a parameter: an empty array when nil.
func texts(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func scanAttempt(rows *sql.Rows) (Attempt, error) {
	var a Attempt
	err := rows.Scan(attemptFields(&a)...)
	return a, err
}

func attemptFields(a *Attempt) []any {
	return []any{&a.ID, &a.TaskID, &a.Number, &a.Phase, &a.Reason, &a.Message, &a.Stop, &a.PodName, &a.PodUID, &a.Node,
		&a.ExitCode, nullTime{&a.ReasonAt}, nullTime{&a.MessageAt}, nullTime{&a.DueAt}, nullTime{&a.DecidedAt}, nullTime{&a.CreatedAt},
		nullTime{&a.StartedAt}, nullTime{&a.FinishedAt}, &a.StrayUID}
}

func scanTask(rows *sql.Rows) (Task, error) {
	var t Task
	err := rows.Scan(&t.ID, &t.Position, &t.Index, &t.Name, &t.Phase, &t.Reason, &t.Message, &t.Unmet, &t.Attempts, &t.Retries,
		&t.Restarts, &t.ChildrenPending, nullTime{&t.DueAt}, nullTime{&t.ReadyAt}, nullTime{&t.StartedAt}, nullTime{&t.FinishedAt})
	return t, err
}

// TasksAt returns the tasks of a run at these positions that exist, by position; of a fanned-out task the one with
// index 0.
func (l *Leader) TasksAt(ctx context.Context, runID int64, positions []int32) ([]Task, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	tasks, err := readRows(ctx, l.reader(), scanTask, sqlTasksAt, runID, positions)
	if err != nil {
		return nil, fmt.Errorf("reading tasks of run %d: %w", runID, classify(ctx, err))
	}
	return distinct(tasks, func(a, b Task) int { return cmp.Compare(a.Position, b.Position) }), nil
}

// FailedTasks returns the first tasks of a run that failed, by position, at most limit of them.
func (l *Leader) FailedTasks(ctx context.Context, runID int64, limit int) ([]Task, error) {
	tasks, err := readRows(ctx, l.reader(), scanTask, sqlTasksFailed, runID, limit)
	if err != nil {
		return nil, fmt.Errorf("reading failed tasks of run %d: %w", runID, classify(ctx, err))
	}
	return tasks, nil
}

// AttemptByPod returns the attempt, ended or not, of the Pod of this name in the run with this UID, and whether there is
// one.
func (l *Leader) AttemptByPod(ctx context.Context, runUID, podName string) (Attempt, bool, error) {
	if !isUUID(runUID) {
		return Attempt{}, false, nil
	}
	var a Attempt
	err := l.reader().QueryRowContext(ctx, sqlAttemptByPod, runUID, podName).Scan(attemptFields(&a)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Attempt{}, false, nil
	}
	if err != nil {
		return Attempt{}, false, fmt.Errorf("reading the attempt of pod %q: %w", podName, classify(ctx, err))
	}
	return a, true, nil
}

// RunPods returns the attempts of a run, ended or not, that have these Pod names, by ID.
func (l *Leader) RunPods(ctx context.Context, runID int64, podNames []string) ([]Attempt, error) {
	if len(podNames) == 0 {
		return nil, nil
	}
	attempts, err := readRows(ctx, l.reader(), scanAttempt, sqlAttemptsByPods, runID, podNames)
	if err != nil {
		return nil, fmt.Errorf("reading attempts of run %d by pod: %w", runID, classify(ctx, err))
	}
	return distinct(attempts, func(a, b Attempt) int { return cmp.Compare(a.ID, b.ID) }), nil
}

// MarkStray notes the UID of a Pod that appeared after its attempt had ended. A live attempt is ErrConflict.
func (l *Leader) MarkStray(ctx context.Context, runID, attemptID int64, podUID string) error {
	var change int64
	err := l.inTx(ctx, func(q querier) error {
		marked, err := q.ExecContext(ctx, sqlAttemptStray, runID, attemptID, podUID)
		if err := expect(1, marked, err); err != nil {
			return err
		}
		return q.QueryRowContext(ctx, sqlChange, runID, "run").Scan(&change)
	})
	if err != nil {
		return fmt.Errorf("marking a stray pod of attempt %d: %w", attemptID, err)
	}
	l.committed(change)
	return nil
}

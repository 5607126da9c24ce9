package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"kontroler/store/internal/postgres"
)

// Task is the row of a task. DueAt is the time from which a Ready task may start.
type Task struct {
	ID       int64  `json:"id"`
	Position int    `json:"position"`
	Index    int    `json:"index"`
	Name     string `json:"name"`
	Phase    string `json:"phase"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
	Unmet    int    `json:"unmet"`
	Attempts int    `json:"attempts"`
	Retries  int    `json:"retries"`
	Restarts int    `json:"restarts"`
	// ChildrenPending means that the task was failed or skipped, and not all of its children are skipped yet.
	ChildrenPending bool      `json:"cascade"`
	DueAt           time.Time `json:"due_at"`
	ReadyAt         time.Time `json:"ready_at"`
	StartedAt       time.Time `json:"started_at"`
	FinishedAt      time.Time `json:"finished_at"`
}

func (t *Task) times() []*time.Time {
	return []*time.Time{&t.DueAt, &t.ReadyAt, &t.StartedAt, &t.FinishedAt}
}

// Attempt is the row of an attempt. DueAt is the time at which the attempt needs a sync even if nothing happens.
// StrayUID is the UID of a Pod that appeared after the attempt had ended.
type Attempt struct {
	ID         int64     `json:"id"`
	TaskID     int64     `json:"task_id"`
	Number     int       `json:"number"`
	Phase      string    `json:"phase"`
	Reason     string    `json:"reason"`
	Message    string    `json:"message"`
	Stop       string    `json:"stop"`
	PodName    string    `json:"pod_name"`
	PodUID     string    `json:"pod_uid"`
	Node       string    `json:"node"`
	ExitCode   *int32    `json:"exit_code"`
	ReasonAt   time.Time `json:"reason_at"`
	MessageAt  time.Time `json:"message_at"`
	DueAt      time.Time `json:"due_at"`
	DecidedAt  time.Time `json:"decided_at"`
	CreatedAt  time.Time `json:"created_at"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	StrayUID   string    `json:"stray_uid"`
}

func (a *Attempt) times() []*time.Time {
	return []*time.Time{
		&a.ReasonAt, &a.MessageAt, &a.DueAt, &a.DecidedAt, &a.CreatedAt, &a.StartedAt, &a.FinishedAt,
	}
}

// GatherRequest says which rows of a run a sync needs.
type GatherRequest struct {
	// Pods are the names of the Pods that changed. If All is set, every live attempt is returned instead.
	Pods []string
	All  bool
	Now  time.Time
	// Positions are the positions of further tasks to return.
	Positions []int32
	// The maximum numbers of due attempts, of Ready tasks, and of tasks with ChildrenPending to return.
	MaxAttempts, MaxReady, MaxChildrenPending int
}

// DecidedLimit is the maximum number of Decided attempts that Gather returns.
const DecidedLimit = 100

// Snapshot is a run and the part of it that a sync works on.
type Snapshot struct {
	Run Run
	// Attempts are live attempts, by ID: those of the requested Pods, those that are due, and the first DecidedLimit
	// that are Decided.
	Attempts []Attempt
	// Tasks are the tasks of Attempts, the Ready tasks that are due (the first by due time, then by position), the
	// tasks with ChildrenPending, and those at the requested positions; by position.
	Tasks []Task
	// NextDue is the first time after Now at which a Ready task is due, or a live attempt that is not in Attempts. It
	// is zero if there is none.
	NextDue time.Time
	// Decided counts the Decided attempts, up to DecidedLimit+1. If it exceeds DecidedLimit, some of them are not in
	// Attempts.
	Decided int
}

const (
	attemptColumns = `a.id, a.task_id, a.number, a.phase, a.reason, a.message, a.stop, a.pod_name, a.pod_uid, a.node,
       a.exit_code, a.reason_at, a.message_at, a.due_at, a.decided_at, a.created_at, a.started_at, a.finished_at,
       a.stray_uid`
	taskColumns = `t.id, t.position, t.index, t.name, t.phase, t.reason, t.message, t.unmet, t.attempts, t.retries,
       t.restarts, t.cascade, t.due_at, t.ready_at, t.started_at, t.finished_at`
	isLive = `IN ('Decided', 'Pending', 'Running', 'Stopping')`

	// thisRun is the id of the run with the UID $1.
	thisRun = `(SELECT id FROM run)`

	// LIMIT makes the planner look up each name by itself. The condition on the phase is outside: inside, the planner
	// may scan all attempts of the run, or all live ones, while they are few.
	attemptsByPods = `
SELECT found.* FROM unnest($2::text[]) AS n (pod_name)
CROSS JOIN LATERAL (SELECT ` + attemptColumns + ` FROM kontroler.attempts a
                    WHERE a.run_id = ` + thisRun + ` AND a.pod_name = n.pod_name LIMIT 1) found`
	// liveAttempts are those of $2, those that are due, and those that are Decided.
	liveAttempts = attemptsByPods + ` WHERE found.phase ` + isLive + `
UNION ALL
(SELECT ` + attemptColumns + ` FROM kontroler.attempts a
WHERE a.run_id = ` + thisRun + ` AND a.phase ` + isLive + ` AND a.due_at <= $3 ORDER BY a.due_at LIMIT $4)
UNION ALL
(SELECT ` + attemptColumns + ` FROM kontroler.attempts a
WHERE a.run_id = ` + thisRun + ` AND a.phase = 'Decided' ORDER BY a.id LIMIT $5)`
	// allAttempts names $2 and $4, so that both statements have the same parameters.
	allAttempts = `
SELECT ` + attemptColumns + ` FROM kontroler.attempts a
WHERE a.run_id = ` + thisRun + ` AND a.phase ` + isLive + ` AND $2::text[] IS NOT NULL AND $4::bigint IS NOT NULL`
	tasksAt = `
SELECT found.* FROM unnest($8::integer[]) AS n (position)
CROSS JOIN LATERAL (SELECT ` + taskColumns + ` FROM kontroler.tasks t
                    WHERE t.run_id = ` + thisRun + ` AND t.position = n.position AND t.index = 0 LIMIT 1) found`
	gatherRest = `)
SELECT ` + runColumns + `,
       (SELECT coalesce(json_agg(a ORDER BY a.id), '[]') FROM attempts a),
       (SELECT coalesce(json_agg(g ORDER BY g.position, g.index), '[]') FROM (
           SELECT ` + taskColumns + ` FROM attempts a JOIN kontroler.tasks t ON t.id = a.task_id
           UNION ALL
           (SELECT ` + taskColumns + ` FROM kontroler.tasks t
           WHERE t.run_id = ` + thisRun + ` AND t.phase = 'Ready' AND t.due_at <= $3
           ORDER BY t.due_at, t.position LIMIT $6)
           UNION ALL
           (SELECT ` + taskColumns + ` FROM kontroler.tasks t WHERE t.run_id = ` + thisRun + ` AND t.cascade
           ORDER BY t.position LIMIT $7)
           UNION ALL` + tasksAt + `) g),
       least((SELECT a.due_at FROM kontroler.attempts a
              WHERE a.run_id = ` + thisRun + ` AND a.phase ` + isLive + ` AND a.due_at > $3
                AND a.id NOT IN (SELECT id FROM attempts)
              ORDER BY a.due_at LIMIT 1),
             (SELECT t.due_at FROM kontroler.tasks t
              WHERE t.run_id = ` + thisRun + ` AND t.phase = 'Ready' AND t.due_at > $3 ORDER BY t.due_at LIMIT 1)),
       (SELECT count(*) FROM (SELECT FROM kontroler.attempts a
                              WHERE a.run_id = ` + thisRun + ` AND a.phase = 'Decided' LIMIT $5 + 1) d)
FROM kontroler.runs r LEFT JOIN kontroler.dag_versions v ON v.id = r.dag_version_id
WHERE r.uid = $1`
	withRun = `
WITH run AS MATERIALIZED (SELECT x.id FROM kontroler.runs x WHERE x.uid = $1),
attempts AS MATERIALIZED (`
	sqlGather    = withRun + liveAttempts + gatherRest
	sqlGatherAll = withRun + allAttempts + gatherRest

	sqlTasksAt = `
SELECT coalesce(json_agg(found ORDER BY found.position), '[]') FROM unnest($2::integer[]) AS n (position)
CROSS JOIN LATERAL (SELECT ` + taskColumns + ` FROM kontroler.tasks t
                    WHERE t.run_id = $1 AND t.position = n.position AND t.index = 0 LIMIT 1) found`
	sqlAttemptByPod = `
SELECT coalesce(json_agg(f), '[]') FROM (
    SELECT ` + attemptColumns + ` FROM kontroler.attempts a
    WHERE a.run_id = (SELECT r.id FROM kontroler.runs r WHERE r.uid = $1) AND a.pod_name = $2) f`
	sqlAttemptStray = `
UPDATE kontroler.attempts a SET stray_uid = $3
WHERE a.id = $2 AND a.run_id + 0 = $1 AND a.phase IN ('Succeeded', 'Failed', 'Lost', 'Cancelled')`
)

// Gather reads a run and those of its rows that a sync needs, in one statement. found reports whether the run exists.
// The cost does not grow with the run.
func (l *Leader) Gather(ctx context.Context, uid string, request GatherRequest) (s Snapshot, found bool, err error) {
	s, found, err = gather(ctx, l.pool.reader(), uid, request)
	return s, found, postgres.Failed(ctx, err, "reading the changes of the run with UID %s", uid)
}

func gather(
	ctx context.Context, q querier, uid string, request GatherRequest,
) (snapshot Snapshot, found bool, err error) {
	statement := sqlGather
	if request.All {
		statement = sqlGatherAll
	}
	positions := request.Positions
	if positions == nil {
		positions = []int32{}
	}
	var attempts, tasks []byte
	fields := append(runFields(&snapshot.Run), &attempts, &tasks, nullTime(&snapshot.NextDue), &snapshot.Decided)
	row := q.QueryRowContext(ctx, statement, uid, texts(request.Pods), timestamp(request.Now), request.MaxAttempts,
		DecidedLimit, request.MaxReady, request.MaxChildrenPending, positions)
	if found, err = postgres.ScanRow(ctx, row, fields...); !found {
		return Snapshot{}, false, err
	}
	if snapshot.Attempts, err = decodeRows[Attempt](attempts); err != nil {
		return Snapshot{}, false, err
	}
	if snapshot.Tasks, err = decodeRows[Task](tasks); err != nil {
		return Snapshot{}, false, err
	}
	// The parts of the query overlap.
	snapshot.Attempts = slices.CompactFunc(snapshot.Attempts, func(a, b Attempt) bool { return a.ID == b.ID })
	snapshot.Tasks = slices.CompactFunc(snapshot.Tasks, func(a, b Task) bool { return a.ID == b.ID })
	return snapshot, true, nil
}

// decodeRows decodes rows that PostgreSQL has encoded as JSON: several sets of them arrive in one answer.
func decodeRows[R any, P interface {
	*R
	times() []*time.Time
}](encoded []byte) ([]R, error) {
	var rows []R
	if err := json.Unmarshal(encoded, &rows); err != nil {
		return nil, fmt.Errorf("decoding rows: %w", err)
	}
	for i := range rows {
		for _, t := range P(&rows[i]).times() {
			*t = t.UTC()
		}
	}
	return rows, nil
}

// readEncoded runs a query that returns one set of rows as JSON.
func readEncoded[R any, P interface {
	*R
	times() []*time.Time
}](ctx context.Context, q querier, query string, args ...any) ([]R, error) {
	var encoded []byte
	if err := q.QueryRowContext(ctx, query, args...).Scan(&encoded); err != nil {
		return nil, postgres.Classify(ctx, err)
	}
	return decodeRows[R, P](encoded)
}

// TasksAt returns the tasks of a run at these positions, by position. The positions must differ. Positions without a
// task are skipped. Of a fanned-out task it returns the one with index 0.
func (l *Leader) TasksAt(ctx context.Context, runID int64, positions []int32) ([]Task, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	tasks, err := readEncoded[Task](ctx, l.pool.reader(), sqlTasksAt, runID, positions)
	return tasks, postgres.Failed(ctx, err, "reading tasks of run %d", runID)
}

// AttemptByPod reads the attempt of a Pod in the run with this UID, live or ended. found reports whether it exists.
func (l *Leader) AttemptByPod(ctx context.Context, runUID, podName string) (a Attempt, found bool, err error) {
	attempts, err := readEncoded[Attempt](ctx, l.pool.reader(), sqlAttemptByPod, runUID, podName)
	if err != nil || len(attempts) == 0 {
		return Attempt{}, false, postgres.Failed(ctx, err, "reading the attempt of pod %q", podName)
	}
	return attempts[0], true, nil
}

// MarkStray records the UID of a Pod that appeared after its attempt had ended. If the attempt is live, the error is
// ErrConflict.
func (l *Leader) MarkStray(ctx context.Context, runID, attemptID int64, podUID string) error {
	err := l.pool.write(ctx, func(q querier) error {
		marked, err := q.ExecContext(ctx, sqlAttemptStray, runID, attemptID, podUID)
		if err := postgres.Expect(1, marked, err); err != nil {
			return err
		}
		return recordRunChanges(ctx, q, runID)
	})
	return postgres.Failed(ctx, err, "marking a stray pod of attempt %d", attemptID)
}

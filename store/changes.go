package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"kontroler/store/internal/postgres"
	"kontroler/store/transition"
)

// changes is what one sync writes to one run.
//
// Attempts are written before tasks, tasks before the run, and each of them in the order of the kinds below, whatever
// the order of the transitions. A task that becomes Ready and Active in one commit is written in that order, as is an
// attempt that ends while the next one is decided.
type changes struct {
	batches [kinds]batch
	run     runChange
}

// kind is a transition of tasks or attempts. The kinds are in the order in which they are written.
type kind int

const (
	attemptPending kind = iota
	attemptRunning
	attemptWaits
	attemptDue
	attemptStopping
	attemptEnded
	liveStopped
	taskUnblocked
	taskReady
	taskSkipped
	taskBackedOff
	taskSucceeded
	taskFailed
	taskCancelled
	taskChildrenSkipped
	taskActive
	unstartedCancelled
	unstartedForgotten
	attemptDecided
	kinds
)

// batch holds the rows of one kind, column by column. A kind uses some of the columns.
type batch struct {
	id                     []int64
	number, second         []int64
	phase, reason, message []string
	pod, node              []string
	cascade                []bool
	exitCode               []sql.NullInt64
	at, due, started       []time.Time
	rows                   map[int64]int // the index of an id, for kinds of which one row may have several
}

// row returns the index of the row of id. A new row is the last.
func (b *batch) row(id int64) int {
	i, found := b.rows[id]
	if !found {
		if b.rows == nil {
			b.rows = map[int64]int{}
		}
		i = len(b.id)
		b.rows[id] = i
		b.id = append(b.id, id)
	}
	return i
}

// move writes the transitions of a kind: its guarded statement, the arguments after the run's id, and the counters of
// the run between which it moves its rows.
type move struct {
	sql      string
	args     func(b *batch) []any
	from, to func(*Counts) *int
	// isSet means that the statement applies to any number of rows.
	isSet bool
}

func waiting(c *Counts) *int   { return &c.Waiting }
func ready(c *Counts) *int     { return &c.Ready }
func active(c *Counts) *int    { return &c.Active }
func succeeded(c *Counts) *int { return &c.Succeeded }
func failed(c *Counts) *int    { return &c.Failed }
func skipped(c *Counts) *int   { return &c.Skipped }
func cancelled(c *Counts) *int { return &c.Cancelled }

// moves is the state machine of tasks and attempts in SQL. Rows are found by primary key. Adding 0 to
// run_id, appending an empty string to phase, and IS NOT FALSE keep the planner from scanning a run or a partial index,
// which looks cheaper while they are small.
var moves = [kinds]move{
	attemptPending: {sql: `
UPDATE kontroler.attempts a SET phase = 'Pending', reason = '', message = '', reason_at = NULL, message_at = NULL,
       created_at = c.at, due_at = c.due,
       pod_uid = coalesce(nullif(c.pod, '')::uuid, a.pod_uid), node = coalesce(nullif(c.node, ''), a.node)
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[]) AS c (id, pod, node, at, due)
WHERE a.id = c.id AND a.run_id + 0 = $1 AND a.phase || '' = 'Decided'`,
		args: func(b *batch) []any { return []any{b.id, b.pod, b.node, timestamps(b.at), timestamps(b.due)} }},

	attemptRunning: {sql: `
UPDATE kontroler.attempts a SET phase = 'Running', reason = '', message = '', reason_at = NULL, message_at = NULL,
       due_at = c.due,
       created_at = coalesce(a.created_at, a.decided_at), started_at = c.started,
       pod_uid = coalesce(nullif(c.pod, '')::uuid, a.pod_uid), node = coalesce(nullif(c.node, ''), a.node)
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[])
     AS c (id, pod, node, started, due)
WHERE a.id = c.id AND a.run_id + 0 = $1 AND a.phase || '' IN ('Decided', 'Pending')`,
		args: func(b *batch) []any { return []any{b.id, b.pod, b.node, timestamps(b.started), timestamps(b.due)} }},

	attemptWaits: {sql: `
UPDATE kontroler.attempts a SET reason = c.reason, message = c.message, message_at = c.at, due_at = c.due,
       reason_at = CASE WHEN a.reason = c.reason THEN coalesce(a.reason_at, c.at) ELSE c.at END
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[])
     AS c (id, reason, message, at, due)
WHERE a.id = c.id AND a.run_id + 0 = $1 AND a.phase || '' IN ('Decided', 'Pending', 'Running')`,
		args: func(b *batch) []any { return []any{b.id, b.reason, b.message, timestamps(b.at), timestamps(b.due)} }},

	attemptDue: {sql: `
UPDATE kontroler.attempts a SET due_at = c.due
FROM unnest($2::bigint[], $3::timestamptz[]) AS c (id, due)
WHERE a.id = c.id AND a.run_id + 0 = $1 AND a.phase || '' ` + isLive,
		args: func(b *batch) []any { return []any{b.id, timestamps(b.due)} }},

	attemptStopping: {sql: `
UPDATE kontroler.attempts a SET phase = 'Stopping', stop = c.reason, reason = c.reason, message = c.message,
       reason_at = NULL, message_at = NULL, due_at = c.due
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::timestamptz[]) AS c (id, reason, message, due)
WHERE a.id = c.id AND a.run_id + 0 = $1 AND a.phase || '' IN ('Decided', 'Pending', 'Running')`,
		args: func(b *batch) []any { return []any{b.id, b.reason, b.message, timestamps(b.due)} }},

	attemptEnded: {sql: `
UPDATE kontroler.attempts a SET phase = c.phase, reason = c.reason, message = c.message, reason_at = c.finished,
       message_at = c.finished, due_at = NULL,
       exit_code = c.exit_code, started_at = coalesce(c.started, a.started_at), finished_at = c.finished,
       pod_uid = coalesce(nullif(c.pod, '')::uuid, a.pod_uid), node = coalesce(nullif(c.node, ''), a.node)
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::text[], $8::text[], $9::timestamptz[],
    $10::timestamptz[])
     AS c (id, phase, reason, message, exit_code, pod, node, started, finished)
WHERE a.id = c.id AND a.run_id + 0 = $1 AND a.phase || '' ` + isLive,
		args: func(b *batch) []any {
			return []any{b.id, b.phase, b.reason, b.message, b.exitCode, b.pod, b.node, timestamps(b.started), timestamps(b.at)}
		}},

	liveStopped: {isSet: true, sql: `
UPDATE kontroler.attempts a SET phase = 'Stopping', stop = $2, reason = $2, message = $3, reason_at = NULL,
       message_at = NULL, due_at = $4::timestamptz
WHERE a.run_id = $1 AND a.phase IN ('Decided', 'Pending', 'Running')`,
		args: func(b *batch) []any { return []any{b.reason[0], b.message[0], timestamp(b.due[0])} }},

	taskUnblocked: {sql: `
UPDATE kontroler.tasks t SET unmet = t.unmet - c.met
FROM unnest($2::bigint[], $3::integer[]) AS c (id, met)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Waiting' AND c.met > 0 AND t.unmet > c.met`,
		args: func(b *batch) []any { return []any{b.id, b.number} }},

	taskReady: {from: waiting, to: ready, sql: `
UPDATE kontroler.tasks t SET phase = 'Ready', unmet = 0, ready_at = c.at, due_at = c.at
FROM unnest($2::bigint[], $3::timestamptz[]) AS c (id, at)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Waiting'`,
		args: func(b *batch) []any { return []any{b.id, timestamps(b.at)} }},

	taskSkipped: {from: waiting, to: skipped, sql: `
UPDATE kontroler.tasks t SET phase = 'Skipped', reason = 'ParentFailed', message = c.message, cascade = c.cascade,
       finished_at = c.at
FROM unnest($2::bigint[], $3::text[], $4::boolean[], $5::timestamptz[]) AS c (id, message, cascade, at)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Waiting'`,
		args: func(b *batch) []any { return []any{b.id, b.message, b.cascade, timestamps(b.at)} }},

	taskBackedOff: {from: active, to: ready, sql: `
UPDATE kontroler.tasks t SET phase = 'Ready', reason = c.reason, message = c.message, due_at = c.due,
       retries = c.retries, restarts = c.restarts
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::integer[], $7::integer[])
     AS c (id, reason, message, due, retries, restarts)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Active'`,
		args: func(b *batch) []any { return []any{b.id, b.reason, b.message, timestamps(b.due), b.number, b.second} }},

	taskSucceeded: {from: active, to: succeeded, sql: `
UPDATE kontroler.tasks t SET phase = 'Succeeded', reason = '', message = '', finished_at = c.at
FROM unnest($2::bigint[], $3::timestamptz[]) AS c (id, at)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Active'`,
		args: func(b *batch) []any { return []any{b.id, timestamps(b.at)} }},

	taskFailed: {from: active, to: failed, sql: `
UPDATE kontroler.tasks t SET phase = 'Failed', reason = c.reason, message = c.message, cascade = c.cascade,
       finished_at = c.at
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::boolean[], $6::timestamptz[])
     AS c (id, reason, message, cascade, at)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Active'`,
		args: func(b *batch) []any { return []any{b.id, b.reason, b.message, b.cascade, timestamps(b.at)} }},

	taskCancelled: {from: active, to: cancelled, sql: `
UPDATE kontroler.tasks t SET phase = 'Cancelled', reason = c.reason, message = c.message, finished_at = c.at
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::timestamptz[]) AS c (id, reason, message, at)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Active'`,
		args: func(b *batch) []any { return []any{b.id, b.reason, b.message, timestamps(b.at)} }},

	taskChildrenSkipped: {sql: `
UPDATE kontroler.tasks t SET cascade = false
FROM unnest($2::bigint[]) AS c (id)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.cascade IS NOT FALSE`,
		args: func(b *batch) []any { return []any{b.id} }},

	taskActive: {from: ready, to: active, sql: `
UPDATE kontroler.tasks t SET phase = 'Active', attempts = t.attempts + 1, due_at = NULL, reason = '', message = '',
       started_at = coalesce(t.started_at, c.at)
FROM unnest($2::bigint[], $3::timestamptz[]) AS c (id, at)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Ready'`,
		args: func(b *batch) []any { return []any{b.id, timestamps(b.at)} }},

	// A Waiting task has unmet parents, a Ready task has none. The returned unmet tells them apart.
	unstartedCancelled: {isSet: true, to: cancelled, sql: `
WITH c AS (
    UPDATE kontroler.tasks t SET phase = 'Cancelled', reason = $2, message = $3, due_at = NULL, cascade = false,
           finished_at = $4::timestamptz
    WHERE t.run_id = $1 AND t.phase IN ('Waiting', 'Ready')
    RETURNING t.unmet)
SELECT count(*) FILTER (WHERE unmet > 0), count(*) FILTER (WHERE unmet = 0) FROM c`,
		args: func(b *batch) []any { return []any{b.reason[0], b.message[0], timestamp(b.at[0])} }},

	unstartedForgotten: {isSet: true, sql: `
UPDATE kontroler.tasks t SET cascade = false WHERE t.run_id = $1 AND t.cascade`,
		args: func(*batch) []any { return nil }},

	attemptDecided: {sql: `
INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name, decided_at)
SELECT t.run_id, t.id, c.number, 'Decided', c.pod, c.at
FROM unnest($2::bigint[], $3::integer[], $4::text[], $5::timestamptz[]) AS c (id, number, pod, at)
JOIN kontroler.tasks t ON t.id = c.id
WHERE t.run_id + 0 = $1 AND t.phase || '' = 'Active' AND t.attempts = c.number
ORDER BY t.position, t.index`,
		args: func(b *batch) []any { return []any{b.id, b.number, b.pod, timestamps(b.at)} }},
}

// add adds a transition.
func (c *changes) add(t transition.Transition) {
	switch t := t.(type) {
	case transition.RunStarted:
		c.run.any, c.run.started = true, t.At
	case transition.RunStopping:
		c.run.any, c.run.stop = true, sql.NullString{String: t.Reason, Valid: true}
	case transition.RunHeld:
		c.run.any, c.run.hold = true, sql.NullString{String: t.Reason, Valid: true}
	case transition.RunEnded:
		c.runEnded(t)
	case transition.UnstartedCancelled:
		c.unstartedCancelled(t)
	case transition.LiveStopped:
		b := &c.batches[liveStopped]
		b.id, b.reason, b.message, b.due = []int64{0}, []string{t.Reason}, []string{clean(t.Message)}, []time.Time{t.Due}
	case transition.AttemptDecided, transition.AttemptPending, transition.AttemptRunning, transition.AttemptWaits,
		transition.AttemptDue, transition.AttemptStopping, transition.AttemptEnded:
		c.addOfAttempt(t)
	default:
		c.addOfTask(t)
	}
}

// runEnded also clears the reason why Ready tasks did not start.
func (c *changes) runEnded(t transition.RunEnded) {
	c.add(transition.RunHeld{})
	c.run.finished = t.At
	c.run.phase = sql.NullString{String: t.Phase, Valid: true}
	c.run.reason = sql.NullString{String: t.Reason, Valid: true}
	c.run.message = sql.NullString{String: clean(t.Message), Valid: true}
}

func (c *changes) unstartedCancelled(t transition.UnstartedCancelled) {
	b := &c.batches[unstartedCancelled]
	b.id, b.reason, b.message, b.at = []int64{0}, []string{t.Reason}, []string{clean(t.Message)}, []time.Time{t.At}
	c.batches[unstartedForgotten].id = []int64{0}
}

func (c *changes) addOfTask(t transition.Transition) {
	switch t := t.(type) {
	case transition.TaskUnblocked:
		b := &c.batches[taskUnblocked]
		if i := b.row(t.Task); i < len(b.number) {
			b.number[i] += int64(t.Met)
			return
		}
		b.number = append(b.number, int64(t.Met))
	case transition.TaskReady:
		b := c.batch(taskReady, t.Task)
		b.at = append(b.at, t.At)
	case transition.TaskSkipped:
		b := c.batch(taskSkipped, t.Task)
		b.message, b.cascade = append(b.message, clean(t.Message)), append(b.cascade, t.ChildrenPending)
		b.at = append(b.at, t.At)
	case transition.TaskActive:
		b := c.batch(taskActive, t.Task)
		b.at = append(b.at, t.At)
	case transition.TaskBackedOff:
		b := c.batch(taskBackedOff, t.Task)
		b.reason, b.message, b.due = append(b.reason, t.Reason), append(b.message, clean(t.Message)), append(b.due, t.Due)
		b.number, b.second = append(b.number, int64(t.Retries)), append(b.second, int64(t.Restarts))
	case transition.TaskSucceeded:
		b := c.batch(taskSucceeded, t.Task)
		b.at = append(b.at, t.At)
	case transition.TaskFailed:
		b := c.batch(taskFailed, t.Task)
		b.reason, b.message = append(b.reason, t.Reason), append(b.message, clean(t.Message))
		b.cascade, b.at = append(b.cascade, t.ChildrenPending), append(b.at, t.At)
	case transition.TaskCancelled:
		b := c.batch(taskCancelled, t.Task)
		b.reason, b.message, b.at = append(b.reason, t.Reason), append(b.message, clean(t.Message)), append(b.at, t.At)
	case transition.TaskChildrenSkipped:
		c.batch(taskChildrenSkipped, t.Task)
	}
}

func (c *changes) addOfAttempt(t transition.Transition) {
	switch t := t.(type) {
	case transition.AttemptDecided:
		b := c.batch(attemptDecided, t.Task)
		b.number, b.pod, b.at = append(b.number, int64(t.Number)), append(b.pod, t.PodName), append(b.at, t.At)
	case transition.AttemptPending:
		b := c.batch(attemptPending, t.Attempt)
		b.pod, b.node, b.at, b.due = append(b.pod, t.PodUID), append(b.node, t.Node), append(b.at, t.At), append(b.due, t.Due)
	case transition.AttemptRunning:
		b := c.batch(attemptRunning, t.Attempt)
		b.pod, b.node = append(b.pod, t.PodUID), append(b.node, t.Node)
		b.started, b.due = append(b.started, t.StartedAt), append(b.due, t.Due)
	case transition.AttemptWaits:
		b := c.batch(attemptWaits, t.Attempt)
		b.reason, b.message = append(b.reason, t.Reason), append(b.message, clean(t.Message))
		b.at, b.due = append(b.at, t.At), append(b.due, t.Due)
	case transition.AttemptDue:
		b := &c.batches[attemptDue]
		if i := b.row(t.Attempt); i < len(b.due) {
			b.due[i] = t.Due
			return
		}
		b.due = append(b.due, t.Due)
	case transition.AttemptStopping:
		b := c.batch(attemptStopping, t.Attempt)
		b.reason, b.message, b.due = append(b.reason, t.Reason), append(b.message, clean(t.Message)), append(b.due, t.Due)
	case transition.AttemptEnded:
		b := c.batch(attemptEnded, t.Attempt)
		var code sql.NullInt64
		if t.ExitCode != nil {
			code = sql.NullInt64{Int64: int64(*t.ExitCode), Valid: true}
		}
		b.phase, b.reason = append(b.phase, t.Phase), append(b.reason, t.Reason)
		b.message = append(b.message, clean(t.Message))
		b.exitCode, b.pod, b.node = append(b.exitCode, code), append(b.pod, t.PodUID), append(b.node, t.Node)
		b.started, b.at = append(b.started, t.StartedAt), append(b.at, t.FinishedAt)
	}
}

// batch adds an id to the batch of a transition and returns the batch.
func (c *changes) batch(of kind, id int64) *batch {
	b := &c.batches[of]
	b.id = append(b.id, id)
	return b
}

// runChange is the change of the run's row, written by one statement.
type runChange struct {
	any                    bool
	counts                 Counts
	started, finished      time.Time
	stop, hold             sql.NullString
	phase, reason, message sql.NullString
}

// $2 are the phases that the run may be in: Pending to start it, any live phase otherwise.
const sqlRunChange = `
WITH changed AS (
    UPDATE kontroler.runs r SET
        phase = coalesce($3, r.phase), reason = coalesce($4, r.reason), message = coalesce($5, r.message),
        stop = coalesce($6, r.stop), hold = coalesce($7, r.hold),
        started_at = coalesce(r.started_at, $8::timestamptz), finished_at = $9::timestamptz,
        waiting = r.waiting + $10, ready = r.ready + $11, active = r.active + $12, succeeded = r.succeeded + $13,
        failed = r.failed + $14, skipped = r.skipped + $15, cancelled = r.cancelled + $16
    WHERE r.id = $1 AND r.phase = ANY ($2::text[]) AND ($6::text IS NULL OR r.stop = '')
    RETURNING r.id, r.namespace, r.dag_id)
INSERT INTO kontroler.changes (kind, run_id, namespace, dag_id) SELECT 'run', id, namespace, dag_id FROM changed
RETURNING id`

// Commit writes transitions of a run and its tasks, and the notices of endings among them, in one transaction. The
// counters of the run follow from the transitions. ErrConflict means that a row is not in a phase from which its
// transition starts. Without transitions nothing is written.
func (l *Leader) Commit(ctx context.Context, runID int64, transitions []transition.Transition, notices []Notice) error {
	if len(transitions) == 0 {
		return nil
	}
	err := l.pool.write(ctx, func(q querier) (int64, error) { return apply(ctx, q, runID, transitions, notices) })
	if err != nil {
		return fmt.Errorf("committing run %d: %w", runID, err)
	}
	return nil
}

// apply writes transitions and notices, and records the change for readers.
func apply(
	ctx context.Context, q querier, runID int64, transitions []transition.Transition, notices []Notice,
) (change int64, err error) {
	c := &changes{}
	for _, t := range transitions {
		c.add(t)
	}
	for i, m := range moves {
		b := &c.batches[i]
		if len(b.id) == 0 {
			continue
		}
		if err := m.apply(ctx, q, runID, kind(i), b, &c.run.counts); err != nil {
			return 0, fmt.Errorf("%s: %w", kind(i), err)
		}
	}
	change, err = c.applyRun(ctx, q, runID)
	if err != nil {
		return 0, err
	}
	if err := writeNotices(ctx, q, runID, notices); err != nil {
		return 0, fmt.Errorf("notifications: %w", err)
	}
	return change, nil
}

func (m *move) apply(ctx context.Context, q querier, runID int64, k kind, b *batch, counts *Counts) error {
	args := append([]any{runID}, m.args(b)...)
	if k == unstartedCancelled {
		var fromWaiting, fromReady int
		if err := q.QueryRowContext(ctx, m.sql, args...).Scan(&fromWaiting, &fromReady); err != nil {
			return err
		}
		counts.Waiting -= fromWaiting
		counts.Ready -= fromReady
		counts.Cancelled += fromWaiting + fromReady
		return nil
	}
	result, err := q.ExecContext(ctx, m.sql, args...)
	if m.isSet {
		return err
	}
	if err := postgres.Expect(len(b.id), result, err); err != nil {
		return err
	}
	if m.from != nil {
		*m.from(counts) -= len(b.id)
		*m.to(counts) += len(b.id)
	}
	return nil
}

// applyRun writes the run's row, if it changes, and records the change for readers.
func (c *changes) applyRun(ctx context.Context, q querier, runID int64) (change int64, err error) {
	r, n := &c.run, &c.run.counts
	if !r.any && *n == (Counts{}) {
		return recordRunChange(ctx, q, runID)
	}
	from, phase := []string{"Pending", "Running"}, r.phase
	if !r.started.IsZero() {
		from = []string{"Pending"}
		if !phase.Valid {
			phase = sql.NullString{String: "Running", Valid: true}
		}
	}
	ids, err := postgres.ReadRows(ctx, q, postgres.ScanOne[int64], sqlRunChange,
		runID, from, phase, r.reason, r.message, r.stop, r.hold, timestamp(r.started), timestamp(r.finished),
		n.Waiting, n.Ready, n.Active, n.Succeeded, n.Failed, n.Skipped, n.Cancelled)
	if err != nil {
		return 0, fmt.Errorf("run: %w", err)
	}
	if len(ids) != 1 {
		return 0, fmt.Errorf("run: %w", ErrConflict)
	}
	return ids[0], nil
}

// String is the name of the transition.
func (k kind) String() string {
	return [kinds]string{
		"AttemptPending", "AttemptRunning", "AttemptWaits", "AttemptDue", "AttemptStopping", "AttemptEnded", "LiveStopped",
		"TaskUnblocked", "TaskReady", "TaskSkipped", "TaskBackedOff", "TaskSucceeded", "TaskFailed", "TaskCancelled",
		"TaskChildrenSkipped", "TaskActive", "UnstartedCancelled", "UnstartedCancelled", "AttemptDecided",
	}[k]
}

package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Changes are what one sync writes to one run. The zero value is empty and ready to use. Each method is one legal
// transition; Commit refuses all of them together when a row is not in a phase that the transition starts from.
//
// Whatever the order of the calls, attempts change before tasks, tasks before the run, and within each in the order of
// the transitions below: a task that becomes Ready and Active in one commit, or an attempt that ends while the next is
// decided, is written in that order.
type Changes struct {
	batches [transitions]batch
	run     runChange
	notices notices
}

// transition numbers the transitions in the order in which they are written.
type transition int

const (
	attemptPending transition = iota
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
	taskCascaded
	taskActive
	unstartedCancelled
	unstartedForgotten
	attemptDecided
	transitions
)

// batch holds the rows of one transition, column by column; each transition uses some of the columns.
type batch struct {
	id                     []int64
	number, second         []int64
	phase, reason, message []string
	pod, node              []string
	cascade                []bool
	exitCode               []sql.NullInt64
	at, due, started       []time.Time
	rows                   map[int64]int // where an id is, for transitions that may be asked for twice
}

// row returns the row of id, which it adds when there is none: then it is the last.
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

// move is a transition: its guarded statement, what it needs of the batch after the run's id, and how the counters of
// the run follow.
type move struct {
	sql      string
	args     func(b *batch) []any
	from, to func(*Counts) *int
	// set: it applies to however many rows there are.
	set bool
}

func waiting(c *Counts) *int   { return &c.Waiting }
func ready(c *Counts) *int     { return &c.Ready }
func active(c *Counts) *int    { return &c.Active }
func succeeded(c *Counts) *int { return &c.Succeeded }
func failed(c *Counts) *int    { return &c.Failed }
func skipped(c *Counts) *int   { return &c.Skipped }
func cancelled(c *Counts) *int { return &c.Cancelled }

// moves is the state machine of tasks and attempts as the database sees it. Rows are found by primary key: run_id + 0, an
// empty string appended to phase, and IS NOT FALSE keep the planner from going through a run or a partial index instead,
// which costs less while that is small.
var moves = [transitions]move{
	attemptPending: {sql: `
UPDATE kontroler.attempts a SET phase = 'Pending', reason = '', message = '', reason_at = NULL, message_at = NULL, created_at = c.at, due_at = c.due,
       pod_uid = coalesce(nullif(c.pod, '')::uuid, a.pod_uid), node = coalesce(nullif(c.node, ''), a.node)
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[]) AS c (id, pod, node, at, due)
WHERE a.id = c.id AND a.run_id + 0 = $1 AND a.phase || '' = 'Decided'`,
		args: func(b *batch) []any { return []any{b.id, b.pod, b.node, timestamps(b.at), timestamps(b.due)} }},

	attemptRunning: {sql: `
UPDATE kontroler.attempts a SET phase = 'Running', reason = '', message = '', reason_at = NULL, message_at = NULL, due_at = c.due,
       created_at = coalesce(a.created_at, a.decided_at), started_at = c.started,
       pod_uid = coalesce(nullif(c.pod, '')::uuid, a.pod_uid), node = coalesce(nullif(c.node, ''), a.node)
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[]) AS c (id, pod, node, started, due)
WHERE a.id = c.id AND a.run_id + 0 = $1 AND a.phase || '' IN ('Decided', 'Pending')`,
		args: func(b *batch) []any { return []any{b.id, b.pod, b.node, timestamps(b.started), timestamps(b.due)} }},

	attemptWaits: {sql: `
UPDATE kontroler.attempts a SET reason = c.reason, message = c.message, message_at = c.at, due_at = c.due,
       reason_at = CASE WHEN a.reason = c.reason THEN coalesce(a.reason_at, c.at) ELSE c.at END
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[]) AS c (id, reason, message, at, due)
WHERE a.id = c.id AND a.run_id + 0 = $1 AND a.phase || '' IN ('Decided', 'Pending', 'Running')`,
		args: func(b *batch) []any { return []any{b.id, b.reason, b.message, timestamps(b.at), timestamps(b.due)} }},

	attemptDue: {sql: `
UPDATE kontroler.attempts a SET due_at = c.due
FROM unnest($2::bigint[], $3::timestamptz[]) AS c (id, due)
WHERE a.id = c.id AND a.run_id + 0 = $1 AND a.phase || '' ` + isLive,
		args: func(b *batch) []any { return []any{b.id, timestamps(b.due)} }},

	attemptStopping: {sql: `
UPDATE kontroler.attempts a SET phase = 'Stopping', stop = c.reason, reason = c.reason, message = c.message, reason_at = NULL, message_at = NULL, due_at = c.due
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::timestamptz[]) AS c (id, reason, message, due)
WHERE a.id = c.id AND a.run_id + 0 = $1 AND a.phase || '' IN ('Decided', 'Pending', 'Running')`,
		args: func(b *batch) []any { return []any{b.id, b.reason, b.message, timestamps(b.due)} }},

	attemptEnded: {sql: `
UPDATE kontroler.attempts a SET phase = c.phase, reason = c.reason, message = c.message, reason_at = c.finished, message_at = c.finished, due_at = NULL,
       exit_code = c.exit_code, started_at = coalesce(c.started, a.started_at), finished_at = c.finished,
       pod_uid = coalesce(nullif(c.pod, '')::uuid, a.pod_uid), node = coalesce(nullif(c.node, ''), a.node)
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[])
     AS c (id, phase, reason, message, exit_code, pod, node, started, finished)
WHERE a.id = c.id AND a.run_id + 0 = $1 AND a.phase || '' ` + isLive,
		args: func(b *batch) []any {
			return []any{b.id, b.phase, b.reason, b.message, b.exitCode, b.pod, b.node, timestamps(b.started), timestamps(b.at)}
		}},

	liveStopped: {set: true, sql: `
UPDATE kontroler.attempts a SET phase = 'Stopping', stop = $2, reason = $2, message = $3, reason_at = NULL, message_at = NULL, due_at = $4::timestamptz
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
UPDATE kontroler.tasks t SET phase = 'Skipped', reason = 'ParentFailed', message = c.message, cascade = c.cascade, finished_at = c.at
FROM unnest($2::bigint[], $3::text[], $4::boolean[], $5::timestamptz[]) AS c (id, message, cascade, at)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Waiting'`,
		args: func(b *batch) []any { return []any{b.id, b.message, b.cascade, timestamps(b.at)} }},

	taskBackedOff: {from: active, to: ready, sql: `
UPDATE kontroler.tasks t SET phase = 'Ready', reason = c.reason, message = c.message, due_at = c.due, retries = c.retries, restarts = c.restarts
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::integer[], $7::integer[]) AS c (id, reason, message, due, retries, restarts)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Active'`,
		args: func(b *batch) []any { return []any{b.id, b.reason, b.message, timestamps(b.due), b.number, b.second} }},

	taskSucceeded: {from: active, to: succeeded, sql: `
UPDATE kontroler.tasks t SET phase = 'Succeeded', reason = '', message = '', finished_at = c.at
FROM unnest($2::bigint[], $3::timestamptz[]) AS c (id, at)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Active'`,
		args: func(b *batch) []any { return []any{b.id, timestamps(b.at)} }},

	taskFailed: {from: active, to: failed, sql: `
UPDATE kontroler.tasks t SET phase = 'Failed', reason = c.reason, message = c.message, cascade = c.cascade, finished_at = c.at
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::boolean[], $6::timestamptz[]) AS c (id, reason, message, cascade, at)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Active'`,
		args: func(b *batch) []any { return []any{b.id, b.reason, b.message, b.cascade, timestamps(b.at)} }},

	taskCancelled: {from: active, to: cancelled, sql: `
UPDATE kontroler.tasks t SET phase = 'Cancelled', reason = c.reason, message = c.message, finished_at = c.at
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::timestamptz[]) AS c (id, reason, message, at)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Active'`,
		args: func(b *batch) []any { return []any{b.id, b.reason, b.message, timestamps(b.at)} }},

	taskCascaded: {sql: `
UPDATE kontroler.tasks t SET cascade = false
FROM unnest($2::bigint[]) AS c (id)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.cascade IS NOT FALSE`,
		args: func(b *batch) []any { return []any{b.id} }},

	taskActive: {from: ready, to: active, sql: `
UPDATE kontroler.tasks t SET phase = 'Active', attempts = t.attempts + 1, due_at = NULL, reason = '', message = '', started_at = coalesce(t.started_at, c.at)
FROM unnest($2::bigint[], $3::timestamptz[]) AS c (id, at)
WHERE t.id = c.id AND t.run_id + 0 = $1 AND t.phase || '' = 'Ready'`,
		args: func(b *batch) []any { return []any{b.id, timestamps(b.at)} }},

	// A Waiting task has unmet parents, a Ready one none: what is left in unmet tells which it was.
	unstartedCancelled: {set: true, to: cancelled, sql: `
WITH c AS (
    UPDATE kontroler.tasks t SET phase = 'Cancelled', reason = $2, message = $3, due_at = NULL, cascade = false, finished_at = $4::timestamptz
    WHERE t.run_id = $1 AND t.phase IN ('Waiting', 'Ready')
    RETURNING t.unmet)
SELECT count(*) FILTER (WHERE unmet > 0), count(*) FILTER (WHERE unmet = 0) FROM c`,
		args: func(b *batch) []any { return []any{b.reason[0], b.message[0], timestamp(b.at[0])} }},

	unstartedForgotten: {set: true, sql: `
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

// TaskUnblocked: Waiting, with met unmet parents fewer, and at least one left. Several calls for one task add up.
func (c *Changes) TaskUnblocked(task int64, met int) {
	b := &c.batches[taskUnblocked]
	if i := b.row(task); i < len(b.number) {
		b.number[i] += int64(met)
		return
	}
	b.number = append(b.number, int64(met))
}

// TaskReady: Waiting → Ready, due at once.
func (c *Changes) TaskReady(task int64, at time.Time) {
	b := &c.batches[taskReady]
	b.id, b.at = append(b.id, task), append(b.at, at)
}

// TaskSkipped: Waiting → Skipped, reason ParentFailed. cascade: its children do not all know yet.
func (c *Changes) TaskSkipped(task int64, message string, cascade bool, at time.Time) {
	b := &c.batches[taskSkipped]
	b.id, b.message, b.cascade, b.at = append(b.id, task), append(b.message, clean(message)), append(b.cascade, cascade), append(b.at, at)
}

// TaskActive: Ready → Active, for its next attempt.
func (c *Changes) TaskActive(task int64, at time.Time) {
	b := &c.batches[taskActive]
	b.id, b.at = append(b.id, task), append(b.at, at)
}

// TaskBackedOff: Active → Ready from due on. retries and restarts are how many of each budget are now spent.
func (c *Changes) TaskBackedOff(task int64, reason, message string, due time.Time, retries, restarts int) {
	b := &c.batches[taskBackedOff]
	b.id, b.reason, b.message = append(b.id, task), append(b.reason, reason), append(b.message, clean(message))
	b.due, b.number, b.second = append(b.due, due), append(b.number, int64(retries)), append(b.second, int64(restarts))
}

// TaskSucceeded: Active → Succeeded.
func (c *Changes) TaskSucceeded(task int64, at time.Time) {
	b := &c.batches[taskSucceeded]
	b.id, b.at = append(b.id, task), append(b.at, at)
}

// TaskFailed: Active → Failed. cascade: its children do not all know yet.
func (c *Changes) TaskFailed(task int64, reason, message string, cascade bool, at time.Time) {
	b := &c.batches[taskFailed]
	b.id, b.reason, b.message = append(b.id, task), append(b.reason, reason), append(b.message, clean(message))
	b.cascade, b.at = append(b.cascade, cascade), append(b.at, at)
}

// TaskCancelled: Active → Cancelled.
func (c *Changes) TaskCancelled(task int64, reason, message string, at time.Time) {
	b := &c.batches[taskCancelled]
	b.id, b.reason, b.message, b.at = append(b.id, task), append(b.reason, reason), append(b.message, clean(message)), append(b.at, at)
}

// TaskCascaded: the children of a task that will never succeed all know now.
func (c *Changes) TaskCascaded(task int64) {
	b := &c.batches[taskCascaded]
	b.id = append(b.id, task)
}

// UnstartedCancelled: every Waiting and Ready task of the run → Cancelled, after all other transitions of tasks; nothing
// is left to cascade.
func (c *Changes) UnstartedCancelled(reason, message string, at time.Time) {
	b := &c.batches[unstartedCancelled]
	b.id, b.reason, b.message, b.at = []int64{0}, []string{reason}, []string{clean(message)}, []time.Time{at}
	c.batches[unstartedForgotten].id = []int64{0}
}

// AttemptDecided: a new attempt, Decided, of a task that is Active (after this commit's transitions) and counts number
// attempts.
func (c *Changes) AttemptDecided(task int64, number int, podName string, at time.Time) {
	b := &c.batches[attemptDecided]
	b.id, b.number, b.pod, b.at = append(b.id, task), append(b.number, int64(number)), append(b.pod, podName), append(b.at, at)
}

// AttemptPending: Decided → Pending, its Pod created at; its reason is cleared. node may be empty. due is when it needs a
// look although nothing happens.
func (c *Changes) AttemptPending(attempt int64, podUID, node string, at, due time.Time) {
	b := &c.batches[attemptPending]
	b.id, b.pod, b.node = append(b.id, attempt), append(b.pod, podUID), append(b.node, node)
	b.at, b.due = append(b.at, at), append(b.due, due)
}

// AttemptRunning: Decided or Pending → Running; its reason is cleared. due zero: it needs no look.
func (c *Changes) AttemptRunning(attempt int64, podUID, node string, startedAt, due time.Time) {
	b := &c.batches[attemptRunning]
	b.id, b.pod, b.node = append(b.id, attempt), append(b.pod, podUID), append(b.node, node)
	b.started, b.due = append(b.started, startedAt), append(b.due, due)
}

// AttemptWaits: Decided, Pending or Running, with a reason. The time of the reason stays while the reason does; its
// message and due are as given, due zero: it needs no look.
func (c *Changes) AttemptWaits(attempt int64, reason, message string, at, due time.Time) {
	b := &c.batches[attemptWaits]
	b.id, b.reason, b.message = append(b.id, attempt), append(b.reason, reason), append(b.message, clean(message))
	b.at, b.due = append(b.at, at), append(b.due, due)
}

// AttemptDue: live, due as given; zero: it needs no look. The last call for an attempt holds.
func (c *Changes) AttemptDue(attempt int64, due time.Time) {
	b := &c.batches[attemptDue]
	if i := b.row(attempt); i < len(b.due) {
		b.due[i] = due
		return
	}
	b.due = append(b.due, due)
}

// AttemptStopping: Decided, Pending or Running → Stopping. stop becomes its reason too.
func (c *Changes) AttemptStopping(attempt int64, stop, message string, due time.Time) {
	b := &c.batches[attemptStopping]
	b.id, b.reason, b.message, b.due = append(b.id, attempt), append(b.reason, stop), append(b.message, clean(message)), append(b.due, due)
}

// LiveStopped: every attempt of the run that is Decided, Pending or Running after the other transitions of attempts
// → Stopping.
func (c *Changes) LiveStopped(stop, message string, due time.Time) {
	b := &c.batches[liveStopped]
	b.id, b.reason, b.message, b.due = []int64{0}, []string{stop}, []string{clean(message)}, []time.Time{due}
}

// AttemptEnded: live → Succeeded, Failed, Lost or Cancelled. podUID, node and startedAt, where not given, stay what they
// are.
func (c *Changes) AttemptEnded(attempt int64, phase, reason, message string, exitCode *int32, podUID, node string, startedAt, finishedAt time.Time) {
	b := &c.batches[attemptEnded]
	code := sql.NullInt64{}
	if exitCode != nil {
		code = sql.NullInt64{Int64: int64(*exitCode), Valid: true}
	}
	b.id, b.phase, b.reason, b.message = append(b.id, attempt), append(b.phase, phase), append(b.reason, reason), append(b.message, clean(message))
	b.exitCode, b.pod, b.node = append(b.exitCode, code), append(b.pod, podUID), append(b.node, node)
	b.started, b.at = append(b.started, startedAt), append(b.at, finishedAt)
}

// runChange is what becomes of the run's row: one statement for all of it.
type runChange struct {
	any                    bool
	counts                 Counts
	started, finished      time.Time
	stop, hold             sql.NullString
	phase, reason, message sql.NullString
}

// RunStarted: Pending → Running.
func (c *Changes) RunStarted(at time.Time) { c.run.any, c.run.started = true, at }

// RunStopping: a live run that is not being stopped is from now on.
func (c *Changes) RunStopping(stop string) {
	c.run.any, c.run.stop = true, sql.NullString{String: stop, Valid: true}
}

// RunHeld: a live run's Ready tasks wait for hold; empty: for nothing.
func (c *Changes) RunHeld(hold string) {
	c.run.any, c.run.hold = true, sql.NullString{String: hold, Valid: true}
}

// RunEnded: live → Succeeded, Failed or Cancelled; it holds nothing any more.
func (c *Changes) RunEnded(phase, reason, message string, at time.Time) {
	c.RunHeld("")
	c.run.finished = at
	c.run.phase = sql.NullString{String: phase, Valid: true}
	c.run.reason = sql.NullString{String: reason, Valid: true}
	c.run.message = sql.NullString{String: clean(message), Valid: true}
}

// RunCounts adds to the counters of a live run. Several calls add up. The sum must be what the transitions of its tasks
// amount to.
func (c *Changes) RunCounts(waiting, ready, active, succeeded, failed, skipped, cancelled int) {
	c.run.any = true
	n := &c.run.counts
	n.Waiting += waiting
	n.Ready += ready
	n.Active += active
	n.Succeeded += succeeded
	n.Failed += failed
	n.Skipped += skipped
	n.Cancelled += cancelled
}

// Empty reports whether there is nothing to write.
func (c *Changes) Empty() bool {
	for i := range c.batches {
		if len(c.batches[i].id) > 0 {
			return false
		}
	}
	return !c.run.any
}

// The phase that a run must be in is $2: Pending to start, else any live one.
const sqlRunChange = `
WITH changed AS (
    UPDATE kontroler.runs r SET
        phase = coalesce($3, r.phase), reason = coalesce($4, r.reason), message = coalesce($5, r.message),
        stop = coalesce($6, r.stop), hold = coalesce($7, r.hold),
        started_at = coalesce(r.started_at, $8::timestamptz), finished_at = $9::timestamptz,
        waiting = r.waiting + $10, ready = r.ready + $11, active = r.active + $12, succeeded = r.succeeded + $13,
        failed = r.failed + $14, skipped = r.skipped + $15, cancelled = r.cancelled + $16
    WHERE r.id = $1 AND r.phase = ANY ($2::text[]) AND ($6::text IS NULL OR r.stop = '')
    RETURNING r.id)
INSERT INTO kontroler.changes (run_id, kind) SELECT id, 'run' FROM changed
RETURNING id`

// Commit writes changes to a run, all or none, in one transaction that also notes for readers that the run has changed.
// Empty changes do nothing.
func (l *Leader) Commit(ctx context.Context, runID int64, changes *Changes) error {
	if changes.Empty() {
		return nil
	}
	var change int64
	err := l.inTx(ctx, func(q querier) (err error) {
		change, err = changes.apply(ctx, q, runID)
		return err
	})
	if err != nil {
		return fmt.Errorf("committing run %d: %w", runID, err)
	}
	l.committed(change)
	return nil
}

func (c *Changes) apply(ctx context.Context, q querier, runID int64) (int64, error) {
	var counts Counts
	for i, m := range moves {
		b := &c.batches[i]
		if len(b.id) == 0 {
			continue
		}
		if err := m.apply(ctx, q, runID, transition(i), b, &counts); err != nil {
			return 0, fmt.Errorf("%s: %w", transition(i), err)
		}
	}
	if counts != c.run.counts {
		return 0, fmt.Errorf("%w: the tasks change the counters by %+v, RunCounts says %+v", ErrConflict, counts, c.run.counts)
	}
	change, err := c.applyRun(ctx, q, runID)
	if err != nil {
		return 0, err
	}
	if err := c.notices.write(ctx, q, runID); err != nil {
		return 0, fmt.Errorf("notifications: %w", err)
	}
	return change, nil
}

func (m *move) apply(ctx context.Context, q querier, runID int64, t transition, b *batch, counts *Counts) error {
	args := append([]any{runID}, m.args(b)...)
	if t == unstartedCancelled {
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
	if m.set {
		return err
	}
	if err := expect(int64(len(b.id)), result, err); err != nil {
		return err
	}
	if m.from != nil {
		*m.from(counts) -= len(b.id)
		*m.to(counts) += len(b.id)
	}
	return nil
}

// applyRun writes the run's row, if it changes, and the row that tells readers; it returns the id of the latter.
func (c *Changes) applyRun(ctx context.Context, q querier, runID int64) (int64, error) {
	var change int64
	r, n := &c.run, &c.run.counts
	if !r.any {
		return change, q.QueryRowContext(ctx, sqlChange, runID, "run").Scan(&change)
	}
	from, phase := []string{"Pending", "Running"}, r.phase
	if !r.started.IsZero() {
		from = []string{"Pending"}
		if !phase.Valid {
			phase = sql.NullString{String: "Running", Valid: true}
		}
	}
	rows, err := readRows(ctx, q, func(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) }, sqlRunChange,
		runID, from, phase, r.reason, r.message, r.stop, r.hold, timestamp(r.started), timestamp(r.finished),
		n.Waiting, n.Ready, n.Active, n.Succeeded, n.Failed, n.Skipped, n.Cancelled)
	if err != nil {
		return 0, fmt.Errorf("run: %w", err)
	}
	if len(rows) != 1 {
		return 0, fmt.Errorf("run: %w", ErrConflict)
	}
	return rows[0], nil
}

// String is the name of the method that asks for the transition.
func (t transition) String() string {
	return [transitions]string{
		"AttemptPending", "AttemptRunning", "AttemptWaits", "AttemptDue", "AttemptStopping", "AttemptEnded", "LiveStopped",
		"TaskUnblocked", "TaskReady", "TaskSkipped", "TaskBackedOff", "TaskSucceeded", "TaskFailed", "TaskCancelled",
		"TaskCascaded", "TaskActive", "UnstartedCancelled", "UnstartedCancelled", "AttemptDecided",
	}[t]
}

package store

import (
	"context"
	"encoding/json"
	"fmt"

	"kontroler/store/internal/postgres"
	"kontroler/store/transition"
)

// sqlCommit writes the changes of one run. It is one statement, and so one round trip and one transaction: fence,
// tasks, attempts, the run, and the change for readers. Rows are found by primary key. A row that is in another phase
// than its change expects is not written, and check_write then fails the statement. Two conditions are for the planner,
// whose plan must serve runs of every size: adding 0 to run_id keeps it from scanning the run, and a range of all ids
// makes it expect few changes, so that it looks each of them up.
//
// The attempt of a task is decided after its earlier attempt has ended: the INSERT reads the rows of the UPDATE.
const sqlCommit = `
WITH fence AS (
    SELECT e.epoch FROM kontroler.epochs e WHERE e.shard = $2 FOR SHARE
), attempts AS (
    UPDATE kontroler.attempts a SET
        phase = coalesce(c.phase, a.phase), stop = coalesce(c.stop, a.stop),
        reason = CASE WHEN c.has_reason THEN c.reason ELSE a.reason END,
        message = CASE WHEN c.has_reason THEN c.message ELSE a.message END,
        message_at = CASE WHEN c.has_reason THEN c.reason_at ELSE a.message_at END,
        reason_at = CASE WHEN NOT c.has_reason THEN a.reason_at
                         WHEN c.phase IS NULL AND a.reason = c.reason THEN coalesce(a.reason_at, c.reason_at)
                         ELSE c.reason_at END,
        pod_uid = coalesce(c.pod_uid, a.pod_uid), node = coalesce(c.node, a.node),
        exit_code = coalesce(c.exit_code, a.exit_code), due_at = c.due,
        created_at = coalesce(c.seen, a.created_at,
                              CASE WHEN c.started IS NOT NULL AND c.ended IS NULL THEN a.decided_at END),
        started_at = coalesce(c.started, a.started_at), finished_at = c.ended
    FROM json_to_recordset($4) AS c (
        id bigint, last integer, phase text, has_reason boolean, reason text, message text, reason_at timestamptz,
        stop text, pod_uid uuid, node text, exit_code integer, seen timestamptz, started timestamptz, due timestamptz,
        ended timestamptz)
    WHERE a.id = c.id AND c.id BETWEEN 1 AND 9223372036854775807 AND a.run_id + 0 = $1
      AND array_position(ARRAY['Decided', 'Pending', 'Running', 'Stopping'], a.phase) <= c.last
    RETURNING a.id
), tasks AS (
    UPDATE kontroler.tasks t SET
        phase = CASE WHEN c.before = '' THEN t.phase ELSE c.phase END,
        reason = CASE WHEN c.before = '' THEN t.reason ELSE c.reason END,
        message = CASE WHEN c.before = '' THEN t.message ELSE c.message END,
        unmet = CASE WHEN c.before = 'Waiting' AND c.phase IN ('Ready', 'Active') THEN 0 ELSE t.unmet - c.met END,
        attempts = t.attempts + CASE WHEN c.phase = 'Active' THEN 1 ELSE 0 END,
        retries = coalesce(c.retries, t.retries), restarts = coalesce(c.restarts, t.restarts),
        cascade = c.children_pending, due_at = c.due, ready_at = coalesce(c.ready, t.ready_at),
        started_at = coalesce(t.started_at, c.started), finished_at = coalesce(c.ended, t.finished_at)
    FROM json_to_recordset($5) AS c (
        id bigint, before text, phase text, met integer, reason text, message text, children_pending boolean,
        retries integer, restarts integer, ready timestamptz, due timestamptz, started timestamptz, ended timestamptz,
        number integer, pod_name text, decided timestamptz)
    WHERE t.id = c.id AND c.id BETWEEN 1 AND 9223372036854775807 AND t.run_id + 0 = $1
      AND CASE WHEN c.before = '' THEN t.cascade AND t.phase IN ('Failed', 'Skipped') ELSE t.phase = c.before END
      AND (c.phase <> 'Waiting' OR c.met > 0 AND t.unmet > c.met)
    RETURNING t.id, t.position, t.index, t.attempts, c.number, c.pod_name, c.decided
), decided AS (
    INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name, decided_at)
    SELECT $1, t.id, t.number, 'Decided', t.pod_name, t.decided
    FROM tasks t CROSS JOIN (SELECT count(*) FROM attempts) AS earlier
    WHERE t.number > 0 AND t.number = t.attempts
    ORDER BY t.position, t.index
    RETURNING id
), rows AS (
    SELECT (SELECT count(*) FROM attempts) + (SELECT count(*) FROM tasks) + (SELECT count(*) FROM decided) AS n
), run AS (
    UPDATE kontroler.runs r SET
        phase = coalesce($7, r.phase), reason = coalesce($8, r.reason), message = coalesce($9, r.message),
        stop = coalesce($10, r.stop), hold = coalesce($11, r.hold),
        started_at = coalesce(r.started_at, $12::timestamptz), finished_at = $13::timestamptz,
        waiting = r.waiting + $14, ready = r.ready + $15, active = r.active + $16, succeeded = r.succeeded + $17,
        failed = r.failed + $18, skipped = r.skipped + $19, cancelled = r.cancelled + $20
    WHERE $21::boolean AND (SELECT n FROM rows) = $22
      AND r.id = $1 AND r.phase = ANY ($6::text[]) AND ($10::text IS NULL OR r.stop = '')
    RETURNING r.id
), change AS (
    INSERT INTO kontroler.changes (kind, run_id, namespace, dag_id)
    SELECT 'run', r.id, r.namespace, r.dag_id FROM kontroler.runs r WHERE r.id = $1
)
SELECT kontroler.check_write((SELECT epoch FROM fence), $3,
                             rows.n + (SELECT count(*) FROM run), $22 + $21::boolean::integer)::text
FROM rows`

const (
	// A Waiting task has unmet parents, a Ready task has none: unmet distinguishes them. Cancelled children need not be
	// skipped any more.
	sqlUnstartedCancelled = `
WITH forgotten AS (
    UPDATE kontroler.tasks t SET cascade = false
    WHERE t.run_id = $1 AND t.cascade AND t.phase IN ('Failed', 'Skipped')
), c AS (
    UPDATE kontroler.tasks t SET phase = 'Cancelled', reason = $2, message = $3, due_at = NULL, cascade = false,
           finished_at = $4::timestamptz
    WHERE t.run_id = $1 AND t.phase IN ('Waiting', 'Ready')
    RETURNING t.unmet)
SELECT count(*) FILTER (WHERE unmet > 0), count(*) FILTER (WHERE unmet = 0) FROM c`
	sqlLiveStopped = `
UPDATE kontroler.attempts a SET phase = 'Stopping', stop = $2, reason = $2, message = $3, reason_at = NULL,
       message_at = NULL, due_at = $4::timestamptz
WHERE a.run_id = $1 AND a.phase IN ('Decided', 'Pending', 'Running')`
)

// Commit writes transitions of a run and its tasks, and the notices of endings among them, in one transaction. The
// counters of the run follow from the transitions. ErrConflict means that a row is not in a phase from which its
// transition starts. Without transitions nothing is written.
func (l *Leader) Commit(ctx context.Context, runID int64, transitions []transition.Transition, notices []Notice) error {
	if len(transitions) == 0 {
		return nil
	}
	c, err := newChanges(transitions)
	switch {
	case err != nil:
	case c.unstarted == nil && c.live == nil && len(notices) == 0:
		err = l.pool.writeAutocommit(ctx, func(q querier) error { return c.apply(ctx, q, l.pool.term, runID) })
	default:
		err = l.pool.write(ctx, func(q querier) error {
			return c.applyAll(ctx, q, l.pool.term, runID, notices)
		})
	}
	return postgres.Failed(ctx, err, "committing run %d", runID)
}

// applyAll also writes the transitions of many rows, and the notices.
func (c *changes) applyAll(ctx context.Context, q querier, term Term, runID int64, notices []Notice) error {
	if u := c.unstarted; u != nil {
		var waiting, ready int
		row := q.QueryRowContext(ctx, sqlUnstartedCancelled, runID, u.Reason, clean(u.Message), timestamp(u.At))
		if err := row.Scan(&waiting, &ready); err != nil {
			return fmt.Errorf("UnstartedCancelled: %w", err)
		}
		n := &c.tasks.counts
		n.Waiting, n.Ready, n.Cancelled = n.Waiting-waiting, n.Ready-ready, n.Cancelled+waiting+ready
	}
	if err := c.apply(ctx, q, term, runID); err != nil {
		return err
	}
	if s := c.live; s != nil {
		if _, err := q.ExecContext(ctx, sqlLiveStopped,
			runID, s.Reason, clean(s.Message), timestamp(s.Due)); err != nil {
			return fmt.Errorf("LiveStopped: %w", err)
		}
	}
	if err := writeNotices(ctx, q, runID, notices); err != nil {
		return fmt.Errorf("notifications: %w", err)
	}
	return nil
}

// apply runs sqlCommit.
func (c *changes) apply(ctx context.Context, q querier, term Term, runID int64) error {
	r, n := &c.run, &c.tasks.counts
	changesRun := *r != (runChange{}) || *n != (Counts{})
	rows := len(c.attempts.rows) + len(c.tasks.rows) + c.tasks.decided()
	attempts, err := json.Marshal(c.attempts.rows)
	if err != nil {
		return fmt.Errorf("encoding attempts: %w", err)
	}
	tasks, err := json.Marshal(c.tasks.rows)
	if err != nil {
		return fmt.Errorf("encoding tasks: %w", err)
	}
	from, to := r.phases()
	row := q.QueryRowContext(ctx, sqlCommit, runID, term.Shard, term.Epoch, string(attempts), string(tasks),
		from, to, r.reason, r.message, r.stop, r.hold, timestamp(r.started), timestamp(r.finished),
		n.Waiting, n.Ready, n.Active, n.Succeeded, n.Failed, n.Skipped, n.Cancelled, changesRun, rows)
	var checked string
	return row.Scan(&checked)
}

package store

import (
	"context"
	"database/sql"
	"time"

	"kontroler/store/internal/postgres"
)

// Outbox stores the notifications of webhooks and their deliveries. Commit and Refuse add notifications.
type Outbox struct{ pool *termPool }

// Notice makes Commit write a notification that a task or a run has ended.
type Notice struct {
	Task  int64 // the task that has ended; 0 means that the run has ended
	Event string
	At    time.Time
}

// Notification is a notification that is claimed for one try. Run and Task are as they ended. Only the fields of Run
// that a receiver gets are set.
type Notification struct {
	ID    int64
	Event string
	// Try counts from 1. It includes tries that were claimed and never recorded.
	Try int
	// Until is the time when the claim expires.
	Until     time.Time
	CreatedAt time.Time
	Run       Run
	// Task is nil if the run has ended.
	Task *NotifiedTask
}

// NotifiedTask is a task that has ended. ExitCode is the exit code of its last attempt, nil if that has none.
type NotifiedTask struct {
	ID                    int64
	Index, Attempts       int
	Name, Phase           string
	Reason, Message       string
	ExitCode              *int32
	StartedAt, FinishedAt time.Time
}

// Delivery is the result of a try. It succeeded if Error is empty. Status is 0 if the receiver did not answer.
type Delivery struct {
	At              time.Time
	Status          int
	Error, Response string
	Duration        time.Duration
}

// NotificationClaim says how many notifications may be claimed, and until when.
type NotificationClaim struct {
	Now, Until time.Time
	// Limit is how many notifications may be claimed now. PerDAG is how many of one DAG may be claimed, those in
	// Claimed included.
	Limit, PerDAG int
	// Claimed are the notifications that are being delivered. They are not claimed again, even if their claims have
	// expired.
	Claimed []Notification
}

// dueDAGs finds the DAGs that have notifications to deliver. It skips through the index from one DAG to the next: its
// cost grows with the number of such DAGs, not with their notifications.
const dueDAGs = `
WITH RECURSIVE due AS (
    (SELECT n.dag_id FROM kontroler.notifications n WHERE n.due_at IS NOT NULL ORDER BY n.dag_id LIMIT 1)
    UNION ALL
    SELECT (SELECT n.dag_id FROM kontroler.notifications n
            WHERE n.due_at IS NOT NULL AND n.dag_id > d.dag_id ORDER BY n.dag_id LIMIT 1)
    FROM due d WHERE d.dag_id IS NOT NULL)`

// Exactly one of a run's Pending notifications, the first, has a due_at. Both writers lock the run's row: the ending of
// a task changes the counters of the run, and RecordDelivery locks it explicitly.
const (
	sqlNotificationsMake = `
INSERT INTO kontroler.notifications (run_id, dag_id, task_id, event, created_at, due_at)
SELECT r.id, r.dag_id, nullif(c.task, 0), c.event, $2,
       CASE WHEN c.n = 1 AND NOT EXISTS (
           SELECT FROM kontroler.notifications p WHERE p.run_id = $1 AND p.state = 'Pending') THEN $2::timestamptz END
FROM kontroler.runs r, unnest($3::bigint[], $4::text[]) WITH ORDINALITY AS c (task, event, n)
WHERE r.id = $1 ORDER BY c.n`
	sqlNotificationsClaim = dueDAGs + `,
busy AS (
    SELECT g.namespace, count(*) AS n
    FROM unnest($4::bigint[]) AS b (dag_id) JOIN kontroler.dags g ON g.id = b.dag_id GROUP BY g.namespace),
ranked AS (
    SELECT s.id FROM (
        SELECT g.namespace, f.id, f.due_at,
               b.n + row_number() OVER (PARTITION BY d.dag_id ORDER BY f.due_at, f.id) AS share
        FROM due d
        JOIN kontroler.dags g ON g.id = d.dag_id
        CROSS JOIN LATERAL (SELECT count(*) AS n FROM unnest($4::bigint[]) AS b (dag_id) WHERE b.dag_id = d.dag_id) b
        CROSS JOIN LATERAL (
            SELECT n.id, n.due_at FROM kontroler.notifications n
            WHERE n.dag_id = d.dag_id AND n.due_at <= $1 AND n.id <> ALL ($3::bigint[])
            ORDER BY n.due_at, n.id LIMIT greatest(0, $5 - b.n)) f) s
    LEFT JOIN busy ON busy.namespace = s.namespace
    ORDER BY coalesce(busy.n, 0) + row_number() OVER (PARTITION BY s.namespace ORDER BY s.share, s.due_at, s.id),
             s.due_at, s.id LIMIT $6),
picked AS (
    SELECT n.id FROM kontroler.notifications n
    WHERE n.id = ANY (ARRAY (SELECT id FROM ranked)) AND n.due_at <= $1 FOR UPDATE SKIP LOCKED),
claimed AS (
    UPDATE kontroler.notifications n SET due_at = $2, tries = n.tries + 1 FROM picked p WHERE n.id = p.id
    RETURNING n.id, n.run_id, n.task_id, n.event, n.tries, n.due_at, n.created_at)
SELECT c.id, c.event, c.tries, c.due_at, c.created_at,
       r.id, r.uid::text, r.namespace, r.name, r.dag_name, r.dag_id, v.id, v.version, r.phase, r.reason, r.message,
       r.total, r.succeeded, r.failed, r.skipped, r.cancelled, r.started_at, r.finished_at,
       coalesce(t.id, 0), coalesce(t.index, 0), coalesce(t.attempts, 0), coalesce(t.name, ''), coalesce(t.phase, ''),
       coalesce(t.reason, ''), coalesce(t.message, ''), a.exit_code, t.started_at, t.finished_at
FROM claimed c
JOIN kontroler.runs r ON r.id = c.run_id
JOIN kontroler.dag_versions v ON v.id = r.dag_version_id
LEFT JOIN kontroler.tasks t ON t.id = c.task_id
LEFT JOIN kontroler.attempts a ON a.task_id = t.id AND a.number = t.attempts
ORDER BY c.id`
	sqlNotificationNext = dueDAGs + `
SELECT min(f.due_at) FROM due d CROSS JOIN LATERAL (
    SELECT n.due_at FROM kontroler.notifications n
    WHERE n.dag_id = d.dag_id AND n.due_at > $1 ORDER BY n.due_at LIMIT 1) f`
	sqlNotificationRun  = `SELECT r.id FROM kontroler.runs r WHERE r.id = $1 FOR NO KEY UPDATE`
	sqlNotificationNote = `
UPDATE kontroler.notifications SET state = $4, due_at = $5, error = $6, settled_at = $7
WHERE id = $1 AND state = 'Pending' AND tries = $2 AND due_at = $3`
	sqlNotificationFollows = `
UPDATE kontroler.notifications SET due_at = $2
WHERE id = (
    SELECT n.id FROM kontroler.notifications n WHERE n.run_id = $1 AND n.state = 'Pending' ORDER BY n.id LIMIT 1)`
	sqlDeliveryMake = `
INSERT INTO kontroler.deliveries (notification_id, try, at, status, error, response, duration_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7)`
)

// writeNotices writes the notifications of one commit, in the order of their delivery. The run's row must be locked.
func writeNotices(ctx context.Context, q querier, runID int64, notices []Notice) error {
	if len(notices) == 0 {
		return nil
	}
	tasks, events := make([]int64, len(notices)), make([]string, len(notices))
	for i, n := range notices {
		tasks[i], events[i] = n.Task, n.Event
	}
	written, err := q.ExecContext(ctx, sqlNotificationsMake, runID, timestamp(notices[0].At), tasks, events)
	return postgres.Expect(len(notices), written, err)
}

// Claim claims due notifications until claim.Until, within the limits of the claim. Namespaces with the fewest
// deliveries under way come first, then DAGs with the fewest, so that receivers that hang do not delay others; then the
// notifications that have been due for longest. Of each run, only the first undelivered notification is due. next is
// when another one is due or a claim expires; it is zero if there is none. The claims of a leader that is gone expire.
// Claim locks only the rows that it claims, and skips those that another transaction has locked.
func (o *Outbox) Claim(
	ctx context.Context, claim NotificationClaim,
) (claimed []Notification, next time.Time, err error) {
	ids, dags := make([]int64, len(claim.Claimed)), make([]int64, len(claim.Claimed))
	for i, n := range claim.Claimed {
		ids[i], dags[i] = n.ID, n.Run.DAGID
	}
	err = o.pool.inTx(ctx, func(q querier) (err error) {
		claimed, err = postgres.ReadRows(ctx, q, scanNotification, sqlNotificationsClaim,
			timestamp(claim.Now), timestamp(claim.Until), ids, dags, claim.PerDAG, claim.Limit)
		if err != nil {
			return err
		}
		return q.QueryRowContext(ctx, sqlNotificationNext, timestamp(claim.Now)).Scan(nullTime(&next))
	})
	return claimed, next, postgres.Failed(ctx, err, "claiming notifications")
}

func scanNotification(rows *sql.Rows) (Notification, error) {
	var n Notification
	var t NotifiedTask
	r, c := &n.Run, &n.Run.Counts
	err := rows.Scan(&n.ID, &n.Event, &n.Try, nullTime(&n.Until), nullTime(&n.CreatedAt),
		&r.ID, &r.UID, &r.Namespace, &r.Name, &r.DAGName, &r.DAGID, &r.VersionID, &r.VersionNumber,
		&r.Phase, &r.Reason, &r.Message, &c.Total, &c.Succeeded, &c.Failed, &c.Skipped, &c.Cancelled,
		nullTime(&r.StartedAt), nullTime(&r.FinishedAt),
		&t.ID, &t.Index, &t.Attempts, &t.Name, &t.Phase, &t.Reason, &t.Message, &t.ExitCode,
		nullTime(&t.StartedAt), nullTime(&t.FinishedAt))
	if t.ID != 0 {
		n.Task = &t
	}
	return n, err
}

// RecordDelivery records the result of a claimed try. A failed delivery is repeated at retry; if retry is zero, the
// notification is parked. The run's next notification is due as soon as this one is delivered or parked.
//
// If the claim no longer exists, RecordDelivery writes nothing and returns nil: the run was removed, or an earlier call
// was committed although its answer was lost.
func (o *Outbox) RecordDelivery(ctx context.Context, n Notification, d Delivery, retry time.Time) error {
	state, settled := "Pending", time.Time{}
	ended := d.At.Add(d.Duration)
	switch {
	case d.Error == "":
		state, retry, settled = "Delivered", time.Time{}, ended
	case retry.IsZero():
		state, settled = "Parked", ended
	}
	err := o.pool.write(ctx, func(q querier) error {
		locked, err := postgres.ReadRows(ctx, q, postgres.ScanOne[int64], sqlNotificationRun, n.Run.ID)
		if err != nil || len(locked) == 0 {
			return err
		}
		recorded, err := postgres.Affected(q.ExecContext(ctx, sqlNotificationNote, n.ID, n.Try, timestamp(n.Until),
			state, timestamp(retry), clean(d.Error), timestamp(settled)))
		if err != nil || recorded == 0 {
			return err
		}
		status := sql.NullInt64{Int64: int64(d.Status), Valid: d.Status != 0}
		_, err = q.ExecContext(ctx, sqlDeliveryMake,
			n.ID, n.Try, timestamp(d.At), status, clean(d.Error), clean(d.Response), d.Duration.Milliseconds())
		if err != nil {
			return err
		}
		if state != "Pending" {
			if _, err := q.ExecContext(ctx, sqlNotificationFollows, n.Run.ID, timestamp(ended)); err != nil {
				return err
			}
		}
		return recordRunChanges(ctx, q, n.Run.ID)
	})
	return postgres.Failed(ctx, err, "recording the delivery of notification %d", n.ID)
}

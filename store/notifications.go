package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Notification is an ending to be told, claimed for one try. Run and Task are as they ended; of Run only what is told is
// filled in.
type Notification struct {
	ID    int64
	Event string
	// Try counts from 1; a try that was claimed and not noted counts.
	Try int
	// Until is when the claim ends.
	Until     time.Time
	CreatedAt time.Time
	Run       Run
	// Task is nil for the end of the run.
	Task *NotifiedTask
}

// NotifiedTask is a task that has ended. ExitCode is that of its last attempt; nil: it has none.
type NotifiedTask struct {
	ID                    int64
	Index, Attempts       int
	Name, Phase           string
	Reason, Message       string
	ExitCode              *int32
	StartedAt, FinishedAt time.Time
}

// Delivery is how a try went. Without an Error it was delivered. Status is 0 when there was no answer.
type Delivery struct {
	At              time.Time
	Status          int
	Error, Response string
	Duration        time.Duration
}

// NotificationClaim says how many notifications may be claimed, and until when.
type NotificationClaim struct {
	Now, Until time.Time
	// Limit is how many more may be under way, PerDAG how many of one DAG, with those of Claimed.
	Limit, PerDAG int
	// Claimed are under way: they are not claimed again, whatever their rows say.
	Claimed []Notification
}

// Notice asks for a notification of an ending in the same commit.
type Notice struct {
	Task  int64 // 0: the run
	Event string
	At    time.Time
}

// dueDAGs walks the index from one DAG with something due to the next: it costs what there are such DAGs, however many
// notifications they have.
const dueDAGs = `
WITH RECURSIVE due AS (
    (SELECT n.dag_id FROM kontroler.notifications n WHERE n.due_at IS NOT NULL ORDER BY n.dag_id LIMIT 1)
    UNION ALL
    SELECT (SELECT n.dag_id FROM kontroler.notifications n WHERE n.due_at IS NOT NULL AND n.dag_id > d.dag_id ORDER BY n.dag_id LIMIT 1)
    FROM due d WHERE d.dag_id IS NOT NULL)`

// The lock on the run's row (an ending moves its counters; a settlement takes it) makes sure that of a run's Pending
// notifications exactly one, the first, has a due_at.
const (
	sqlNotificationsMake = `
INSERT INTO kontroler.notifications (run_id, dag_id, task_id, event, created_at, due_at)
SELECT r.id, r.dag_id, nullif(c.task, 0), c.event, $2,
       CASE WHEN c.n = 1 AND NOT EXISTS (SELECT FROM kontroler.notifications p WHERE p.run_id = $1 AND p.state = 'Pending') THEN $2::timestamptz END
FROM kontroler.runs r, unnest($3::bigint[], $4::text[]) WITH ORDINALITY AS c (task, event, n)
WHERE r.id = $1 ORDER BY c.n`
	sqlNotificationsClaim = dueDAGs + `,
picked AS (
    SELECT f.id FROM due d CROSS JOIN LATERAL (
        SELECT n.id, n.due_at FROM kontroler.notifications n
        WHERE n.dag_id = d.dag_id AND n.due_at <= $1 AND n.id <> ALL ($3::bigint[])
        ORDER BY n.due_at, n.id
        LIMIT greatest(0, $5 - (SELECT count(*) FROM unnest($4::bigint[]) AS b (dag_id) WHERE b.dag_id = d.dag_id))
        FOR UPDATE SKIP LOCKED) f
    ORDER BY f.due_at, f.id LIMIT $6),
claimed AS (
    UPDATE kontroler.notifications n SET due_at = $2, tries = n.tries + 1 FROM picked p WHERE n.id = p.id
    RETURNING n.id, n.run_id, n.task_id, n.event, n.tries, n.due_at, n.created_at)
SELECT c.id, c.event, c.tries, c.due_at, c.created_at,
       r.id, r.uid::text, r.namespace, r.name, r.dag_name, r.dag_id, v.id, v.version, r.phase, r.reason, r.message,
       r.total, r.succeeded, r.failed, r.skipped, r.cancelled, r.started_at, r.finished_at,
       coalesce(t.id, 0), coalesce(t.index, 0), coalesce(t.attempts, 0), coalesce(t.name, ''), coalesce(t.phase, ''), coalesce(t.reason, ''),
       coalesce(t.message, ''), a.exit_code, t.started_at, t.finished_at
FROM claimed c
JOIN kontroler.runs r ON r.id = c.run_id
JOIN kontroler.dag_versions v ON v.id = r.dag_version_id
LEFT JOIN kontroler.tasks t ON t.id = c.task_id
LEFT JOIN kontroler.attempts a ON a.task_id = t.id AND a.number = t.attempts
ORDER BY c.id`
	sqlNotificationNext = dueDAGs + `
SELECT min(f.due_at) FROM due d CROSS JOIN LATERAL (
    SELECT n.due_at FROM kontroler.notifications n WHERE n.dag_id = d.dag_id AND n.due_at > $1 ORDER BY n.due_at LIMIT 1) f`
	sqlNotificationRun  = `SELECT r.id FROM kontroler.runs r WHERE r.id = $1 FOR NO KEY UPDATE`
	sqlNotificationNote = `
UPDATE kontroler.notifications SET state = $4, due_at = $5, error = $6, settled_at = $7
WHERE id = $1 AND state = 'Pending' AND tries = $2 AND due_at = $3`
	sqlNotificationFollows = `
UPDATE kontroler.notifications SET due_at = $2
WHERE id = (SELECT n.id FROM kontroler.notifications n WHERE n.run_id = $1 AND n.state = 'Pending' ORDER BY n.id LIMIT 1)`
	sqlDeliveryMake = `
INSERT INTO kontroler.deliveries (notification_id, try, at, status, error, response, duration_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)`
)

// writeNotices writes the notifications of one commit, to be delivered in this order. The run's row must be locked.
func writeNotices(ctx context.Context, q querier, runID int64, notices []Notice) error {
	if len(notices) == 0 {
		return nil
	}
	tasks, events := make([]int64, len(notices)), make([]string, len(notices))
	for i, n := range notices {
		tasks[i], events[i] = n.Task, n.Event
	}
	made, err := q.ExecContext(ctx, sqlNotificationsMake, runID, timestamp(notices[0].At), tasks, events)
	return expect(int64(len(notices)), made, err)
}

// ClaimNotifications takes notifications that are due until claim.Until: of each run the first that is not delivered, of
// each DAG and of all no more than the claim allows, those that are due for longest first. next is when another one is
// due, or a claim ends; zero: none is. The claims of a leader that is gone end by themselves.
func (l *Leader) ClaimNotifications(ctx context.Context, claim NotificationClaim) (claimed []Notification, next time.Time, err error) {
	ids, dags := make([]int64, len(claim.Claimed)), make([]int64, len(claim.Claimed))
	for i, n := range claim.Claimed {
		ids[i], dags[i] = n.ID, n.Run.DAGID
	}
	err = l.inTx(ctx, func(q querier) (err error) {
		claimed, err = readRows(ctx, q, scanNotification, sqlNotificationsClaim,
			timestamp(claim.Now), timestamp(claim.Until), ids, dags, claim.PerDAG, claim.Limit)
		if err != nil {
			return err
		}
		return q.QueryRowContext(ctx, sqlNotificationNext, timestamp(claim.Now)).Scan(nullTime{&next})
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("claiming notifications: %w", err)
	}
	return claimed, next, nil
}

func scanNotification(rows *sql.Rows) (Notification, error) {
	var n Notification
	var t NotifiedTask
	r, c := &n.Run, &n.Run.Counts
	err := rows.Scan(&n.ID, &n.Event, &n.Try, nullTime{&n.Until}, nullTime{&n.CreatedAt},
		&r.ID, &r.UID, &r.Namespace, &r.Name, &r.DAGName, &r.DAGID, &r.VersionID, &r.VersionNumber, &r.Phase, &r.Reason, &r.Message,
		&c.Total, &c.Succeeded, &c.Failed, &c.Skipped, &c.Cancelled, nullTime{&r.StartedAt}, nullTime{&r.FinishedAt},
		&t.ID, &t.Index, &t.Attempts, &t.Name, &t.Phase, &t.Reason, &t.Message, &t.ExitCode, nullTime{&t.StartedAt}, nullTime{&t.FinishedAt})
	if t.ID != 0 {
		n.Task = &t
	}
	return n, err
}

// NoteDelivery notes how a claimed try went. A failed one is tried again at retry, or, where that is zero, parked; the
// run's next notification is due as soon as this one is delivered or parked. A claim that is no more, as of a run that was
// trimmed or of a commit that had happened after all, is no error and writes nothing.
func (l *Leader) NoteDelivery(ctx context.Context, n Notification, d Delivery, retry time.Time) error {
	state, settled := "Pending", time.Time{}
	ended := d.At.Add(d.Duration)
	switch {
	case d.Error == "":
		state, retry, settled = "Delivered", time.Time{}, ended
	case retry.IsZero():
		state, settled = "Parked", ended
	}
	var change int64
	err := l.inTx(ctx, func(q querier) error {
		change = 0
		locked, err := readRows(ctx, q, func(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) }, sqlNotificationRun, n.Run.ID)
		if err != nil || len(locked) == 0 {
			return err
		}
		noted, err := q.ExecContext(ctx, sqlNotificationNote, n.ID, n.Try, timestamp(n.Until), state, timestamp(retry), clean(d.Error), timestamp(settled))
		if err != nil {
			return err
		}
		if rows, err := noted.RowsAffected(); err != nil || rows == 0 {
			return err
		}
		status := sql.NullInt64{Int64: int64(d.Status), Valid: d.Status != 0}
		_, err = q.ExecContext(ctx, sqlDeliveryMake, n.ID, n.Try, timestamp(d.At), status, clean(d.Error), clean(d.Response), d.Duration.Milliseconds())
		if err != nil {
			return err
		}
		if state != "Pending" {
			if _, err := q.ExecContext(ctx, sqlNotificationFollows, n.Run.ID, timestamp(ended)); err != nil {
				return err
			}
		}
		return q.QueryRowContext(ctx, sqlChange, n.Run.ID, "run").Scan(&change)
	})
	if err != nil {
		return fmt.Errorf("noting the delivery of notification %d: %w", n.ID, err)
	}
	l.committed(change)
	return nil
}

package view

import (
	"context"
	"database/sql"
	"time"

	"kontroler/store/internal/postgres"
)

// WaitingTask is a task of a live run that has had a reason not to run.
type WaitingTask struct {
	RunUID, Namespace, RunName, DAG, Task, Phase, Reason, Message string
	// Since is when the task got its reason, or when it became ready if that is not known.
	Since time.Time
}

// FailedRun is a run that failed, with the first of its tasks that failed. Task is empty if none did.
type FailedRun struct {
	Run
	Task, TaskReason, TaskMessage string
}

// MissedTick is a due time, or a stretch of them, that did not run.
type MissedTick struct {
	Namespace, DAG string
	Tick
}

const (
	// $1 is whether the scope is all namespaces, $2 the namespaces of the scope.
	inScope   = ` AND ($1 OR r.namespace = ANY ($2::text[])) `
	sqlFailed = `
SELECT ` + runColumns + `, coalesce(t.name, ''), coalesce(t.reason, ''), coalesce(t.message, '')
FROM (
    SELECT * FROM kontroler_v1.runs r
    WHERE r.finished_at >= $3 AND r.phase = 'Failed'` + inScope + `ORDER BY r.finished_at DESC, r.id DESC LIMIT $4) r
LEFT JOIN LATERAL (
    SELECT x.name, x.reason, x.message FROM kontroler_v1.tasks x
    WHERE x.run_id = r.id AND x.phase = 'Failed' ORDER BY x.position LIMIT 1) t ON true
ORDER BY r.finished_at DESC, r.id DESC`
	// A task that its run's maxParallel holds waits as intended; a task that backs off waits until it is due. Tasks
	// whose attempt waits are found by their live attempts. An attempt that is being stopped waits for nothing: its
	// reason has no time.
	sqlWaiting = `
SELECT w.uid, w.namespace, w.name, w.dag_name, w.task, w.phase, w.reason, w.message, w.since FROM (
    SELECT r.uid::text, r.namespace, r.name, r.dag_name, t.name AS task, t.phase, t.reason, t.message, t.due_at AS since
    FROM kontroler_v1.runs r JOIN kontroler_v1.tasks t ON t.run_id = r.id
    WHERE r.phase IN ('Pending', 'Running') AND t.phase = 'Ready' AND t.reason NOT IN ('', 'MaxParallel')
      AND t.due_at < $3` + inScope + `
    UNION ALL
    SELECT r.uid::text, r.namespace, r.name, r.dag_name, t.name, t.phase, t.reason, t.message, s.since
    FROM kontroler_v1.runs r
    JOIN kontroler_v1.attempts a ON a.run_id = r.id AND a.phase IN ('Decided', 'Pending', 'Running', 'Stopping')
    JOIN kontroler_v1.tasks t ON t.id = a.task_id
    CROSS JOIN LATERAL (
        SELECT coalesce(t.reason_at, CASE WHEN a.phase IN ('Decided', 'Pending') THEN a.decided_at END) AS since) s
    WHERE r.phase IN ('Pending', 'Running') AND t.phase = 'Active' AND t.reason <> '' AND s.since < $3` + inScope + `
) w ORDER BY w.since, w.uid, w.task LIMIT $4`
	// Only the last of the rows that begin before the time can end after it, because rows of a DAG do not overlap. A
	// day of minutes has 1,440 rows.
	sqlMissed = `
SELECT r.namespace, r.name, ` + tickColumns + `
FROM kontroler_v1.dags r CROSS JOIN LATERAL (
    (SELECT x.* FROM kontroler_v1.ticks x
     WHERE x.dag_id = r.id AND x.due_from >= $3 AND x.outcome IN ('Missed', 'TooLate', 'Unknown')
     ORDER BY x.due_from DESC LIMIT $4)
    UNION ALL
    (SELECT x.* FROM kontroler_v1.ticks x WHERE x.dag_id = r.id AND x.due_from < $3 ORDER BY x.due_from DESC LIMIT 1)) t
WHERE t.outcome IN ('Missed', 'TooLate', 'Unknown') AND t.due_to >= $3` + inScope + `
ORDER BY t.due_from DESC, r.namespace, r.name LIMIT $4`
)

// Failed lists the runs that failed from a time on, latest first, at most MaxRows.
func (db *DB) Failed(ctx context.Context, scope Scope, since time.Time) ([]FailedRun, error) {
	runs, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (f FailedRun, err error) {
		err = rows.Scan(append(f.columns(), &f.Task, &f.TaskReason, &f.TaskMessage)...)
		return f, err
	}, sqlFailed, scope.isAll, scope.namespaces, since, MaxRows)
	return runs, db.classify(ctx, "listing the runs that failed", err)
}

// Waiting lists the tasks of live runs that have had a reason not to run since before a time, the oldest first, at most
// MaxRows. Tasks that wait for their parents, for the limit of their run, or for the time of their retry are
// not among them.
func (db *DB) Waiting(ctx context.Context, scope Scope, before time.Time) ([]WaitingTask, error) {
	tasks, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (w WaitingTask, err error) {
		err = rows.Scan(&w.RunUID, &w.Namespace, &w.RunName, &w.DAG, &w.Task, &w.Phase, &w.Reason, &w.Message,
			nullTime(&w.Since))
		return w, err
	}, sqlWaiting, scope.isAll, scope.namespaces, before, MaxRows)
	return tasks, db.classify(ctx, "listing the tasks that wait", err)
}

// Missed lists the due times from a time on that did not run, the newest first, at most MaxRows.
func (db *DB) Missed(ctx context.Context, scope Scope, since time.Time) ([]MissedTick, error) {
	ticks, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (m MissedTick, err error) {
		err = rows.Scan(&m.Namespace, &m.DAG, nullTime(&m.From), nullTime(&m.To), &m.Count, &m.Outcome,
			&m.RunID, &m.RunName, &m.RunUID, nullTime(&m.DecidedAt))
		return m, err
	}, sqlMissed, scope.isAll, scope.namespaces, since, MaxRows)
	return ticks, db.classify(ctx, "listing the due times that were missed", err)
}

package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"kontroler/store/internal/postgres"
)

// RunWaits is what a live run waits for.
type RunWaits struct {
	// Pending is the number of live attempts whose container has not started.
	Pending int
	// Tasks are the first tasks that wait for something outside the graph: those with an attempt first, then those whose
	// next attempt is backing off. Total counts all such tasks.
	Tasks []TaskReason
	Total int
}

// TaskReason is the name of a task and the reason of its phase.
type TaskReason struct{ Task, Reason, Message string }

const (
	sqlRunPending = `
SELECT count(*), count(*) FILTER (WHERE a.reason <> '')
FROM kontroler.attempts a WHERE a.run_id = $1 AND a.phase IN ('Decided', 'Pending')`
	sqlRunWaits = `
SELECT t.name, a.reason, a.message FROM (
    SELECT x.id, x.task_id, x.reason, x.message FROM kontroler.attempts x
    WHERE x.run_id = $1 AND x.phase IN ('Decided', 'Pending') AND x.reason <> '' ORDER BY x.id LIMIT $2) a
JOIN kontroler.tasks t ON t.id = a.task_id ORDER BY a.id`
	sqlRunBackingOff = `
SELECT t.name, t.reason, t.message FROM kontroler.tasks t
WHERE t.run_id = $1 AND t.phase = 'Ready' AND t.reason <> '' AND t.due_at > $2 ORDER BY t.due_at, t.position LIMIT $3`
	sqlRunBackingOffCount = `
SELECT count(*) FROM kontroler.tasks t
WHERE t.run_id = $1 AND t.phase = 'Ready' AND t.reason <> '' AND t.due_at > $2`
)

// Waits reads what a live run waits for at a time. It names at most limit tasks.
func (l *Leader) Waits(ctx context.Context, runID int64, now time.Time, limit int) (RunWaits, error) {
	w, err := readWaits(ctx, l.pool.reader(), runID, timestamp(now), limit)
	if err != nil {
		err = postgres.Classify(ctx, err)
		return RunWaits{}, fmt.Errorf("reading what run %d waits for: %w", runID, err)
	}
	return w, nil
}

func readWaits(ctx context.Context, q querier, runID int64, now any, limit int) (w RunWaits, err error) {
	if err := q.QueryRowContext(ctx, sqlRunPending, runID).Scan(&w.Pending, &w.Total); err != nil {
		return RunWaits{}, err
	}
	if w.Total > 0 {
		if w.Tasks, err = postgres.ReadRows(ctx, q, scanTaskReason, sqlRunWaits, runID, limit); err != nil {
			return RunWaits{}, err
		}
	}
	var backingOff int
	err = q.QueryRowContext(ctx, sqlRunBackingOffCount, runID, now).Scan(&backingOff)
	if err != nil || backingOff == 0 {
		return w, err
	}
	w.Total += backingOff
	more, err := postgres.ReadRows(ctx, q, scanTaskReason, sqlRunBackingOff, runID, now, limit)
	w.Tasks = append(w.Tasks, more...)
	w.Tasks = w.Tasks[:min(len(w.Tasks), limit)]
	return w, err
}

func scanTaskReason(rows *sql.Rows) (r TaskReason, err error) {
	err = rows.Scan(&r.Task, &r.Reason, &r.Message)
	return r, err
}

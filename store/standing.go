package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Standing is what a live run waits for.
type Standing struct {
	// Pending is how many attempts are live and their container has not started.
	Pending int
	// Waits are the first tasks that wait for something outside the graph, with its reason: those with an attempt first, then
	// those whose next attempt is put off. Waiting counts all of them.
	Waits   []TaskReason
	Waiting int
}

// TaskReason is a task, by name, and why it is where it is.
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
SELECT count(*) FROM kontroler.tasks t WHERE t.run_id = $1 AND t.phase = 'Ready' AND t.reason <> '' AND t.due_at > $2`
)

// Standing reads what a live run waits for, as of a time; at most limit tasks are named.
func (l *Leader) Standing(ctx context.Context, runID int64, now time.Time, limit int) (Standing, error) {
	s, err := standing(ctx, l.reader(), runID, timestamp(now), limit)
	if err != nil {
		return Standing{}, fmt.Errorf("reading what run %d waits for: %w", runID, classify(ctx, err))
	}
	return s, nil
}

func standing(ctx context.Context, q querier, runID int64, now any, limit int) (s Standing, err error) {
	if err := q.QueryRowContext(ctx, sqlRunPending, runID).Scan(&s.Pending, &s.Waiting); err != nil {
		return Standing{}, err
	}
	if s.Waiting > 0 {
		if s.Waits, err = readRows(ctx, q, scanTaskReason, sqlRunWaits, runID, limit); err != nil {
			return Standing{}, err
		}
	}
	var backing int
	if err := q.QueryRowContext(ctx, sqlRunBackingOffCount, runID, now).Scan(&backing); err != nil || backing == 0 {
		return s, err
	}
	s.Waiting += backing
	more, err := readRows(ctx, q, scanTaskReason, sqlRunBackingOff, runID, now, limit)
	s.Waits = append(s.Waits, more...)
	s.Waits = s.Waits[:min(len(s.Waits), limit)]
	return s, err
}

func scanTaskReason(rows *sql.Rows) (r TaskReason, err error) {
	return r, rows.Scan(&r.Task, &r.Reason, &r.Message)
}

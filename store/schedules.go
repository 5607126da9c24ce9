package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Schedule is how far a DAG's schedule is accounted for. Its zero value but for DAGID: there is none yet.
type Schedule struct {
	DAGID                int64
	DAGUID               string
	Expression, TimeZone string
	// Cursor is the last due time that is in the ledger, or when the schedule began.
	Cursor time.Time
	// Held is the outcome of what is due until the next look: Suspended, Missed; empty: it may run.
	Held string
	// StretchFrom and StretchOutcome name the ledger's last row where that is a stretch that may go on.
	StretchFrom    time.Time
	StretchOutcome string
	// LastDue is the due time of the newest run; zero: none ran.
	LastDue time.Time
}

// Tick is a row of the ledger. RunName is that of a due time that ran, else empty.
type Tick struct {
	From, To         time.Time
	Count            int
	Outcome, RunName string
}

// ScheduledRun is a run of a schedule from its tick on, until it is known to have ended.
type ScheduledRun struct {
	DueAt time.Time
	Name  string
	// UID of its DagRun; empty: it is not known to be there.
	UID string
	// Replaced: it is to be cancelled.
	Replaced bool
	// RowUID and Phase are those of the run's row; empty: it has none.
	RowUID, Phase string
}

// sqlScheduledRuns finds a run's row by the UID of its DagRun or, where that is not known, by its name: a run that was
// admitted is not made again.
const (
	sqlScheduleRead = `
SELECT d.id, coalesce(s.dag_uid::text, ''), coalesce(s.schedule, ''), coalesce(s.time_zone, ''), s.cursor, coalesce(s.held, ''),
       s.stretch_from, coalesce(s.stretch_outcome, ''), s.last_due
FROM kontroler.dags d LEFT JOIN kontroler.schedules s ON s.dag_id = d.id WHERE d.namespace = $1 AND d.name = $2`
	sqlScheduleMake = `
INSERT INTO kontroler.schedules (dag_id, dag_uid, schedule, time_zone, cursor, held, stretch_from, stretch_outcome, last_due)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	sqlScheduleMove = `
UPDATE kontroler.schedules SET dag_uid = $2, schedule = $3, time_zone = $4, cursor = $5, held = $6, stretch_from = $7,
       stretch_outcome = $8, last_due = $9
WHERE dag_id = $1 AND cursor = $10 AND cursor <= $5`
	sqlScheduledRuns = `
SELECT s.due_at, s.run_name, coalesce(s.run_uid::text, ''), s.replaced, coalesce(r.uid::text, n.uid::text, ''), coalesce(r.phase, n.phase, '')
FROM kontroler.scheduled_runs s
JOIN kontroler.dags d ON d.id = s.dag_id
LEFT JOIN kontroler.runs r ON r.uid = s.run_uid
LEFT JOIN LATERAL (
    SELECT x.uid, x.phase FROM kontroler.runs x
    WHERE s.run_uid IS NULL AND x.namespace = d.namespace AND x.name = s.run_name ORDER BY x.id DESC LIMIT 1) n ON true
WHERE s.dag_id = $1 AND s.dag_uid = $2 ORDER BY s.due_at`
	sqlScheduledRunMake      = `INSERT INTO kontroler.scheduled_runs (dag_id, due_at, run_name, dag_uid) VALUES ($1, $2, $3, $4)`
	sqlScheduledRunsReplaced = `UPDATE kontroler.scheduled_runs SET replaced = true WHERE dag_id = $1 AND NOT replaced`
	sqlScheduledRunsLeft     = `DELETE FROM kontroler.scheduled_runs WHERE dag_id = $1 AND dag_uid <> $2`
	sqlScheduledRunSettled   = `DELETE FROM kontroler.scheduled_runs WHERE dag_id = $1 AND due_at = $2`
	sqlScheduledRunCreated   = `UPDATE kontroler.scheduled_runs SET run_uid = $3 WHERE dag_id = $1 AND due_at = $2`
	sqlTickMake              = `
INSERT INTO kontroler.ticks (dag_id, due_from, due_to, count, outcome, run_name, decided_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`
	sqlTickExtend = `
UPDATE kontroler.ticks SET due_to = $3, count = count + $4 WHERE dag_id = $1 AND due_from = $2 AND due_to < $3 AND outcome = $5`
	sqlTickCreated = `UPDATE kontroler.ticks SET run_uid = $3 WHERE dag_id = $1 AND due_from = $2 AND outcome = 'Ran'`
	sqlTickDropped = `UPDATE kontroler.ticks SET outcome = 'Missed', run_name = NULL WHERE dag_id = $1 AND due_from = $2 AND outcome = 'Ran'`
)

// Schedule reads the schedule of a DAG; not found: the DAG has no row. One that has none yet has only a DAGID.
func (l *Leader) Schedule(ctx context.Context, namespace, name string) (s Schedule, found bool, err error) {
	err = l.pool.QueryRowContext(ctx, sqlScheduleRead, namespace, name).Scan(&s.DAGID, &s.DAGUID, &s.Expression, &s.TimeZone,
		nullTime{&s.Cursor}, &s.Held, nullTime{&s.StretchFrom}, &s.StretchOutcome, nullTime{&s.LastDue})
	if errors.Is(err, sql.ErrNoRows) {
		return Schedule{}, false, nil
	}
	if err != nil {
		return Schedule{}, false, fmt.Errorf("reading the schedule of DAG %s/%s: %w", namespace, name, classify(ctx, err))
	}
	return s, true, nil
}

// ScheduledRuns lists the runs of a DAG object's schedule that are not known to have ended, oldest first.
func (l *Leader) ScheduledRuns(ctx context.Context, dagID int64, dagUID string) ([]ScheduledRun, error) {
	runs, err := readRows(ctx, l.pool, func(rows *sql.Rows) (r ScheduledRun, err error) {
		return r, rows.Scan(nullTime{&r.DueAt}, &r.Name, &r.UID, &r.Replaced, &r.RowUID, &r.Phase)
	}, sqlScheduledRuns, dagID, dagUID)
	if err != nil {
		return nil, fmt.Errorf("listing the runs of schedule %d: %w", dagID, classify(ctx, err))
	}
	return runs, nil
}

// Account moves a schedule's cursor and writes what became of its due times, in one transaction: a run to make for each
// tick that has a name. Settled runs, by due time, are forgotten, as are all of an earlier DAG object; replace marks all
// others as to be cancelled. A stretch that continues the ledger's last row extends it. ErrConflict: the cursor is not
// where was says.
func (l *Leader) Account(ctx context.Context, was, is Schedule, ticks []Tick, settled []time.Time, replace bool, now time.Time) (Schedule, error) {
	var change int64
	err := l.inTx(ctx, func(q querier) (err error) {
		if ticks, was.StretchFrom, was.StretchOutcome, err = extendStretch(ctx, q, was, ticks); err != nil {
			return err
		}
		if is, err = writeSchedule(ctx, q, was, is, ticks); err != nil {
			return err
		}
		if was.DAGUID != "" && was.DAGUID != is.DAGUID {
			if _, err := q.ExecContext(ctx, sqlScheduledRunsLeft, is.DAGID, is.DAGUID); err != nil {
				return err
			}
		}
		for _, due := range settled {
			if _, err := q.ExecContext(ctx, sqlScheduledRunSettled, is.DAGID, timestamp(due)); err != nil {
				return err
			}
		}
		if replace {
			if _, err := q.ExecContext(ctx, sqlScheduledRunsReplaced, is.DAGID); err != nil {
				return err
			}
		}
		if err := writeTicks(ctx, q, is, ticks, now); err != nil {
			return err
		}
		return q.QueryRowContext(ctx, sqlChange, nil, "dag").Scan(&change)
	})
	if err != nil {
		return Schedule{}, fmt.Errorf("accounting for schedule %d: %w", is.DAGID, err)
	}
	l.committed(change)
	return is, nil
}

// extendStretch extends the ledger's last row by the first tick, where that goes on with it, and returns the other ticks
// and the stretch that may still go on. A stretch is of one month, as its partition is: history that is trimmed takes no
// due time along that is to be kept. One whose first row was trimmed goes on in a new one.
func extendStretch(ctx context.Context, q querier, was Schedule, ticks []Tick) ([]Tick, time.Time, string, error) {
	if len(ticks) == 0 || ticks[0].RunName != "" || ticks[0].Outcome != was.StretchOutcome {
		return ticks, was.StretchFrom, was.StretchOutcome, nil
	}
	from, to := was.StretchFrom.UTC(), ticks[0].To.UTC()
	if from.Year() != to.Year() || from.Month() != to.Month() {
		return ticks, time.Time{}, "", nil
	}
	n, err := counted(q.ExecContext(ctx, sqlTickExtend, was.DAGID, timestamp(from), timestamp(to), ticks[0].Count, ticks[0].Outcome))
	if err != nil || n == 0 {
		return ticks, time.Time{}, "", err
	}
	return ticks[1:], was.StretchFrom, was.StretchOutcome, nil
}

// writeSchedule writes the row, with what the ledger's last row will be.
func writeSchedule(ctx context.Context, q querier, was, is Schedule, ticks []Tick) (Schedule, error) {
	is.StretchFrom, is.StretchOutcome = was.StretchFrom, was.StretchOutcome
	for _, tick := range ticks {
		switch {
		case tick.RunName != "":
			is.StretchFrom, is.StretchOutcome, is.LastDue = time.Time{}, "", tick.From
		case tick.Outcome == "Overlapped":
			is.StretchFrom, is.StretchOutcome = time.Time{}, ""
		case tick.Outcome != is.StretchOutcome:
			is.StretchFrom, is.StretchOutcome = tick.From, tick.Outcome
		}
	}
	if was.Expression != is.Expression || was.TimeZone != is.TimeZone {
		is.StretchFrom, is.StretchOutcome = time.Time{}, "" // a stretch is of one schedule
	}
	args := []any{is.DAGID, is.DAGUID, is.Expression, is.TimeZone, timestamp(is.Cursor), is.Held, timestamp(is.StretchFrom), is.StretchOutcome, timestamp(is.LastDue)}
	if was.DAGUID == "" {
		_, err := q.ExecContext(ctx, sqlScheduleMake, args...)
		return is, err
	}
	result, err := q.ExecContext(ctx, sqlScheduleMove, append(args, timestamp(was.Cursor))...)
	return is, expect(1, result, err)
}

func writeTicks(ctx context.Context, q querier, is Schedule, ticks []Tick, now time.Time) error {
	for _, tick := range ticks {
		run := sql.NullString{String: tick.RunName, Valid: tick.RunName != ""}
		_, err := q.ExecContext(ctx, sqlTickMake, is.DAGID, timestamp(tick.From), timestamp(tick.To), tick.Count, tick.Outcome, run, timestamp(now))
		if err != nil {
			return err
		}
		if run.Valid {
			if _, err := q.ExecContext(ctx, sqlScheduledRunMake, is.DAGID, timestamp(tick.From), tick.RunName, is.DAGUID); err != nil {
				return err
			}
		}
	}
	return nil
}

// ScheduledRunCreated notes the DagRun of a tick.
func (l *Leader) ScheduledRunCreated(ctx context.Context, dagID int64, due time.Time, uid string) error {
	err := l.inTx(ctx, func(q querier) error {
		if _, err := q.ExecContext(ctx, sqlScheduledRunCreated, dagID, timestamp(due), uid); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, sqlTickCreated, dagID, timestamp(due), uid)
		return err
	})
	if err != nil {
		return fmt.Errorf("noting the run of schedule %d due at %s: %w", dagID, due, err)
	}
	return nil
}

// ScheduledRunDropped notes that a tick's DagRun can never be made: its due time is missed.
func (l *Leader) ScheduledRunDropped(ctx context.Context, dagID int64, due time.Time) error {
	err := l.inTx(ctx, func(q querier) error {
		if _, err := q.ExecContext(ctx, sqlScheduledRunSettled, dagID, timestamp(due)); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, sqlTickDropped, dagID, timestamp(due))
		return err
	})
	if err != nil {
		return fmt.Errorf("dropping the run of schedule %d due at %s: %w", dagID, due, err)
	}
	return nil
}

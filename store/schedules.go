package store

import (
	"context"
	"database/sql"
	"time"

	"kontroler/store/internal/postgres"
)

// Schedules stores the schedules of DAGs, their runs, and their ledgers: what happened to each due time.
type Schedules struct{ pool *termPool }

// Schedule is the stored schedule of a DAG. A DAG without a stored schedule has only a DAGID.
type Schedule struct {
	DAGID                int64
	DAGUID               string
	Expression, TimeZone string
	// Cursor is the last due time in the ledger, or the time when the schedule began.
	Cursor time.Time
	// HeldAs is the outcome of due times until the next sync: Suspended, Missed or Unknown. If it is empty, they may
	// run.
	HeldAs string
	// StretchFrom and StretchOutcome name the last row of the ledger if it is a stretch, which later ticks may extend.
	StretchFrom    time.Time
	StretchOutcome string
	// LastDue is the due time of the newest run. It is zero if none ran.
	LastDue time.Time
}

// Tick is a row of the ledger: a due time, or a stretch of Count due times that did not run. RunName is empty unless
// the due time ran.
type Tick struct {
	From, To         time.Time
	Count            int
	Outcome, RunName string
}

// ScheduledRun is a run of a schedule, until it is known to have ended.
type ScheduledRun struct {
	DueAt time.Time
	Name  string
	// UID is the UID of the DagRun. It is empty until the DagRun is known to exist.
	UID string
	// IsReplaced means that a newer run replaces this one, which must be cancelled.
	IsReplaced bool
	// RowUID and Phase come from the row of the run. They are empty if the run has no row.
	RowUID, Phase string
}

// sqlScheduledRuns finds the row of a run by the UID of its DagRun. If the UID is not known, it finds the row by name,
// so that a run that was admitted is not created again.
const (
	sqlScheduleRead = `
SELECT d.id, coalesce(s.dag_uid::text, ''), coalesce(s.schedule, ''), coalesce(s.time_zone, ''), s.cursor,
       coalesce(s.held, ''), s.stretch_from, coalesce(s.stretch_outcome, ''), s.last_due
FROM kontroler.dags d LEFT JOIN kontroler.schedules s ON s.dag_id = d.id WHERE d.namespace = $1 AND d.name = $2`
	sqlScheduleMake = `
INSERT INTO kontroler.schedules (dag_id, dag_uid, schedule, time_zone, cursor, held, stretch_from, stretch_outcome,
                                 last_due)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (dag_id) DO NOTHING`
	sqlScheduleMove = `
UPDATE kontroler.schedules s SET dag_uid = $2, schedule = $3, time_zone = $4, cursor = $5, held = $6,
       stretch_from = $7, stretch_outcome = $8, last_due = $9
WHERE s.dag_id = $1 AND s.cursor = $10 AND s.cursor <= $5`
	sqlScheduledRuns = `
SELECT s.due_at, s.run_name, coalesce(s.run_uid::text, ''), s.replaced, coalesce(r.uid::text, n.uid::text, ''),
       coalesce(r.phase, n.phase, '')
FROM kontroler.scheduled_runs s
JOIN kontroler.dags d ON d.id = s.dag_id
LEFT JOIN kontroler.runs r ON r.uid = s.run_uid
LEFT JOIN LATERAL (
    SELECT x.uid, x.phase FROM kontroler.runs x
    WHERE s.run_uid IS NULL AND x.namespace = d.namespace AND x.name = s.run_name ORDER BY x.id DESC LIMIT 1) n ON true
WHERE s.dag_id = $1 AND s.dag_uid = $2 ORDER BY s.due_at`
	sqlScheduledRunsReplaced = `
UPDATE kontroler.scheduled_runs SET replaced = true WHERE dag_id = $1 AND NOT replaced`
	sqlScheduledRunsLeft = `
WITH gone AS (
    DELETE FROM kontroler.scheduled_runs s WHERE s.dag_id = $1 AND s.dag_uid <> $2
    RETURNING s.dag_id, s.due_at, s.run_uid)
UPDATE kontroler.ticks t SET outcome = 'Missed', run_name = NULL
FROM gone g WHERE g.run_uid IS NULL AND t.dag_id = g.dag_id AND t.due_from = g.due_at AND t.outcome = 'Ran'
    AND t.run_uid IS NULL`
	sqlScheduledRunEnded = `
DELETE FROM kontroler.scheduled_runs s WHERE s.dag_id = $1 AND s.due_at = ANY ($2::timestamptz[])`
	sqlScheduledRunCreated = `
WITH tick AS (
    UPDATE kontroler.ticks t SET run_uid = $3 WHERE t.dag_id = $1 AND t.due_from = $2 AND t.outcome = 'Ran')
UPDATE kontroler.scheduled_runs s SET run_uid = $3 WHERE s.dag_id = $1 AND s.due_at = $2`
	sqlTickMake = `
WITH c AS (
    SELECT * FROM unnest($2::timestamptz[], $3::timestamptz[], $4::integer[], $5::text[], $6::text[])
        AS c (due_from, due_to, count, outcome, run_name)
), runs AS (
    INSERT INTO kontroler.scheduled_runs (dag_id, due_at, run_name, dag_uid)
    SELECT $1::bigint, c.due_from, c.run_name, $8::uuid FROM c WHERE c.run_name IS NOT NULL)
INSERT INTO kontroler.ticks (dag_id, due_from, due_to, count, outcome, run_name, decided_at)
SELECT $1::bigint, c.due_from, c.due_to, c.count, c.outcome, c.run_name, $7::timestamptz FROM c`
	sqlTickExtend = `
UPDATE kontroler.ticks t SET due_to = $3, count = t.count + $4
WHERE t.dag_id = $1 AND t.due_from = $2 AND t.due_to < $3 AND t.outcome = $5`
	sqlTickLastSettled = `
SELECT t.due_to FROM kontroler.ticks t WHERE t.dag_id = $1 AND t.due_from <> ALL ($2::timestamptz[])
       ORDER BY t.due_from DESC LIMIT 1`
	uncreatedTicks = `dag_id = $1 AND due_from = ANY ($2::timestamptz[]) AND outcome = 'Ran' AND run_uid IS NULL`
	uncreatedRuns  = `
DELETE FROM kontroler.scheduled_runs s WHERE s.dag_id = $1 AND s.due_at = ANY ($2::timestamptz[]) AND s.run_uid IS NULL`
	sqlScheduledRunsDropped = `
WITH ticks AS (
    UPDATE kontroler.ticks SET outcome = 'Missed', run_name = NULL WHERE ` + uncreatedTicks + `)` + uncreatedRuns
	sqlScheduledRunsTakenBack = `
WITH ticks AS (DELETE FROM kontroler.ticks WHERE ` + uncreatedTicks + `)` + uncreatedRuns
	sqlScheduledRunsKept = `UPDATE kontroler.scheduled_runs SET replaced = false WHERE dag_id = $1 AND replaced`
	// If the last row of the ledger is a stretch, it continues. The newest run is an earlier one then.
	sqlScheduleRewind = `
UPDATE kontroler.schedules s SET cursor = $3, stretch_from = t.due_from, stretch_outcome = coalesce(t.outcome, ''),
       last_due = (SELECT r.due_from FROM kontroler.ticks r WHERE r.dag_id = $1 AND r.outcome = 'Ran'
           ORDER BY r.due_from DESC LIMIT 1)
FROM (SELECT) one LEFT JOIN LATERAL (
    SELECT l.due_from, l.outcome FROM (
        SELECT x.due_from, x.outcome FROM kontroler.ticks x WHERE x.dag_id = $1 ORDER BY x.due_from DESC LIMIT 1) l
    WHERE l.outcome NOT IN ('Ran', 'Overlapped')) t ON true
WHERE s.dag_id = $1 AND s.cursor = $2`
	sqlScheduleEnded = `
WITH unmade AS (
    DELETE FROM kontroler.scheduled_runs s USING kontroler.dags d
    WHERE d.namespace = $1 AND d.name = $2 AND s.dag_id = d.id AND s.run_uid IS NULL
    RETURNING s.dag_id, s.due_at)
UPDATE kontroler.ticks t SET outcome = 'Missed', run_name = NULL
FROM unmade u WHERE t.dag_id = u.dag_id AND t.due_from = u.due_at AND t.outcome = 'Ran' AND t.run_uid IS NULL
RETURNING t.dag_id`
	sqlSchedulesUnknown = `
WITH unknown AS (UPDATE kontroler.schedules SET held = 'Unknown' WHERE schedule <> '' RETURNING dag_id)
INSERT INTO kontroler.changes (kind, namespace, dag_id)
SELECT 'dag', d.namespace, d.id FROM unknown u JOIN kontroler.dags d ON d.id = u.dag_id`
)

// Read reads the schedule of a DAG. found reports whether the DAG has a row.
func (s *Schedules) Read(ctx context.Context, namespace, name string) (row Schedule, found bool, err error) {
	found, err = postgres.ScanRow(ctx, s.pool.reader().QueryRowContext(ctx, sqlScheduleRead, namespace, name),
		&row.DAGID, &row.DAGUID, &row.Expression, &row.TimeZone, nullTime(&row.Cursor), &row.HeldAs,
		nullTime(&row.StretchFrom), &row.StretchOutcome, nullTime(&row.LastDue))
	return row, found, postgres.Failed(ctx, err, "reading the schedule of DAG %s/%s", namespace, name)
}

// Runs lists the runs of a DAG object's schedule that are not known to have ended, oldest first.
func (s *Schedules) Runs(ctx context.Context, dagID int64, dagUID string) ([]ScheduledRun, error) {
	runs, err := postgres.ReadRows(ctx, s.pool.reader(), func(rows *sql.Rows) (r ScheduledRun, err error) {
		err = rows.Scan(nullTime(&r.DueAt), &r.Name, &r.UID, &r.IsReplaced, &r.RowUID, &r.Phase)
		return r, err
	}, sqlScheduledRuns, dagID, dagUID)
	return runs, postgres.Failed(ctx, err, "listing the runs of schedule %d", dagID)
}

// RecordRun stores the UID of a tick's DagRun.
func (s *Schedules) RecordRun(ctx context.Context, dagID int64, due time.Time, uid string) error {
	err := s.pool.write(ctx, func(q querier) error {
		if _, err := q.ExecContext(ctx, sqlScheduledRunCreated, dagID, timestamp(due), uid); err != nil {
			return err
		}
		return recordDAGChanges(ctx, q, dagID)
	})
	return postgres.Failed(ctx, err, "recording the run of schedule %d due at %s", dagID, due)
}

// DropRun records that a tick's DagRun can never be created. Its due time becomes Missed, and it replaces no run.
func (s *Schedules) DropRun(ctx context.Context, dagID int64, due time.Time) error {
	err := s.pool.write(ctx, func(q querier) error {
		if err := dropUncreated(ctx, q, dagID, []time.Time{due}); err != nil {
			return err
		}
		if _, err := q.ExecContext(ctx, sqlScheduledRunsKept, dagID); err != nil {
			return err
		}
		return recordDAGChanges(ctx, q, dagID)
	})
	return postgres.Failed(ctx, err, "dropping the run of schedule %d due at %s", dagID, due)
}

func dropUncreated(ctx context.Context, q querier, dagID int64, dues []time.Time) error {
	if len(dues) == 0 {
		return nil
	}
	_, err := q.ExecContext(ctx, sqlScheduledRunsDropped, dagID, timestamps(dues))
	return err
}

// Rewind takes back due times that are Ran in the ledger and have no DagRun.
type Rewind struct {
	// Schedule is the schedule as it was read.
	Schedule Schedule
	// Uncreated are the due times to take back, oldest first.
	Uncreated []time.Time
	// CursorBefore returns the cursor for which a due time is the next one.
	CursorBefore func(due time.Time) time.Time
}

// Rewind moves the cursor back before due times whose DagRuns were not created, and removes them from the ledger, so
// that they are decided again. A due time before a settled one cannot be decided again; it becomes Missed. Runs that
// were to be replaced stay. ErrConflict means that the cursor is not at r.Schedule.Cursor.
func (s *Schedules) Rewind(ctx context.Context, r Rewind) error {
	err := s.pool.write(ctx, func(q querier) error {
		if err := rewind(ctx, q, r); err != nil {
			return err
		}
		return recordDAGChanges(ctx, q, r.Schedule.DAGID)
	})
	return postgres.Failed(ctx, err, "rewinding schedule %d", r.Schedule.DAGID)
}

func rewind(ctx context.Context, q querier, r Rewind) error {
	id := r.Schedule.DAGID
	var settled time.Time
	row := q.QueryRowContext(ctx, sqlTickLastSettled, id, timestamps(r.Uncreated))
	if _, err := postgres.ScanRow(ctx, row, nullTime(&settled)); err != nil {
		return err
	}
	missed := 0
	for missed < len(r.Uncreated) && !settled.IsZero() && !r.Uncreated[missed].After(settled) {
		missed++
	}
	if err := dropUncreated(ctx, q, id, r.Uncreated[:missed]); err != nil {
		return err
	}
	undecided := r.Uncreated[missed:]
	if len(undecided) == 0 {
		return nil
	}
	// Only the runs are counted: retention may have removed their ticks.
	removed, err := q.ExecContext(ctx, sqlScheduledRunsTakenBack, id, timestamps(undecided))
	if err := postgres.Expect(len(undecided), removed, err); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, sqlScheduledRunsKept, id); err != nil {
		return err
	}
	moved, err := q.ExecContext(ctx, sqlScheduleRewind,
		id, timestamp(r.Schedule.Cursor), timestamp(r.CursorBefore(undecided[0])))
	return postgres.Expect(1, moved, err)
}

// End records that the schedule of a DAG creates no more runs. Due times that are Ran and have no DagRun become Missed.
func (s *Schedules) End(ctx context.Context, namespace, name string) error {
	err := s.pool.write(ctx, func(q querier) error {
		missed, err := postgres.ReadRows(ctx, q, postgres.ScanOne[int64], sqlScheduleEnded, namespace, name)
		if err != nil {
			return err
		}
		return recordDAGChanges(ctx, q, missed...)
	})
	return postgres.Failed(ctx, err, "ending the schedule of DAG %s/%s", namespace, name)
}

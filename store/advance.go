package store

import (
	"context"
	"time"

	"kontroler/store/internal/postgres"
)

// ScheduleUpdate is a decision about due times of one schedule.
type ScheduleUpdate struct {
	// Before is the schedule as it was read, After as it will be.
	Before, After Schedule
	// Ticks are the decided due times.
	Ticks []Tick
	// Ended are the due times of runs that have ended. The schedule forgets these runs.
	Ended []time.Time
	// ReplaceRuns means that the runs of earlier updates must be cancelled.
	ReplaceRuns bool
	Now         time.Time
}

// Advance moves a schedule's cursor and writes the ticks, in one transaction. Each tick with a name adds a run. Runs
// that have ended, and all runs of an earlier DAG object, are forgotten. A tick that continues the stretch at the end
// of the ledger extends it. Advance returns the schedule as it is stored. ErrConflict means that the cursor is not at
// u.Before.Cursor.
func (s *Schedules) Advance(ctx context.Context, u ScheduleUpdate) (Schedule, error) {
	var after Schedule
	err := s.pool.write(ctx, func(q querier) (err error) {
		ticks := u.Ticks
		after = u.result()
		if len(ticks) > 0 && continues(u.Before, ticks[0]) {
			isExtended, err := extendStretch(ctx, q, &u)
			switch {
			case err != nil:
				return err
			case isExtended:
				ticks = ticks[1:]
			case after.StretchFrom.Equal(u.Before.StretchFrom):
				after.StretchFrom = ticks[0].From // retention has removed the row; the tick begins a new one
			}
		}
		if err := writeSchedule(ctx, q, &u, after); err != nil {
			return err
		}
		if err := forgetRuns(ctx, q, &u); err != nil {
			return err
		}
		if err := writeTicks(ctx, q, &u, ticks); err != nil {
			return err
		}
		return recordDAGChanges(ctx, q, after.DAGID)
	})
	return after, postgres.Failed(ctx, err, "accounting for schedule %d", u.After.DAGID)
}

// result is the schedule after the update. Its stretch and its LastDue follow from the ticks.
func (u *ScheduleUpdate) result() Schedule {
	after := u.After
	after.StretchFrom, after.StretchOutcome = u.Before.StretchFrom, u.Before.StretchOutcome
	for _, tick := range u.Ticks {
		switch {
		case tick.RunName != "":
			after.StretchFrom, after.StretchOutcome, after.LastDue = time.Time{}, "", tick.From
		case tick.Outcome == "Overlapped":
			after.StretchFrom, after.StretchOutcome = time.Time{}, ""
		case !continues(after, tick):
			after.StretchFrom, after.StretchOutcome = tick.From, tick.Outcome
		}
	}
	if u.Before.Expression != after.Expression || u.Before.TimeZone != after.TimeZone {
		after.StretchFrom, after.StretchOutcome = time.Time{}, "" // a stretch belongs to one expression
	}
	return after
}

// continues reports whether a tick continues the stretch at the end of the ledger. A stretch never leaves its month:
// its row is in the partition of its first due time, and goes with it.
func continues(s Schedule, tick Tick) bool {
	from, to := s.StretchFrom.UTC(), tick.To.UTC()
	isSameMonth := from.Year() == to.Year() && from.Month() == to.Month()
	return tick.RunName == "" && tick.Outcome == s.StretchOutcome && isSameMonth
}

// extendStretch extends the last row of the ledger by the first tick. isExtended is false if retention has removed it.
func extendStretch(ctx context.Context, q querier, u *ScheduleUpdate) (isExtended bool, err error) {
	tick := u.Ticks[0]
	n, err := postgres.Affected(q.ExecContext(ctx, sqlTickExtend,
		u.After.DAGID, timestamp(u.Before.StretchFrom), timestamp(tick.To), tick.Count, tick.Outcome))
	return n == 1, err
}

// writeSchedule writes the row of a schedule. It returns ErrConflict if the cursor has moved since u.Before was read.
func writeSchedule(ctx context.Context, q querier, u *ScheduleUpdate, after Schedule) error {
	statement, args := sqlScheduleMake, []any{
		after.DAGID, after.DAGUID, after.Expression, after.TimeZone, timestamp(after.Cursor), after.HeldAs,
		timestamp(after.StretchFrom), after.StretchOutcome, timestamp(after.LastDue),
	}
	if u.Before.DAGUID != "" {
		statement, args = sqlScheduleMove, append(args, timestamp(u.Before.Cursor))
	}
	written, err := q.ExecContext(ctx, statement, args...)
	return postgres.Expect(1, written, err)
}

// forgetRuns removes runs that have ended and those of an earlier DAG object, and marks those to be replaced.
func forgetRuns(ctx context.Context, q querier, u *ScheduleUpdate) error {
	id := u.After.DAGID
	for _, step := range []struct {
		isNeeded  bool
		statement string
		args      []any
	}{
		{u.Before.DAGUID != "" && u.Before.DAGUID != u.After.DAGUID, sqlScheduledRunsLeft, []any{id, u.After.DAGUID}},
		{len(u.Ended) > 0, sqlScheduledRunEnded, []any{id, timestamps(u.Ended)}},
		{u.ReplaceRuns, sqlScheduledRunsReplaced, []any{id}},
	} {
		if !step.isNeeded {
			continue
		}
		if _, err := q.ExecContext(ctx, step.statement, step.args...); err != nil {
			return err
		}
	}
	return nil
}

// writeTicks adds ticks to the ledger, with their runs.
func writeTicks(ctx context.Context, q querier, u *ScheduleUpdate, ticks []Tick) error {
	if len(ticks) == 0 {
		return nil
	}
	var from, to []time.Time
	var counts []int64
	var outcomes, names []string
	for _, tick := range ticks {
		from, to, counts = append(from, tick.From), append(to, tick.To), append(counts, int64(tick.Count))
		outcomes, names = append(outcomes, tick.Outcome), append(names, tick.RunName)
	}
	_, err := q.ExecContext(ctx, sqlTickMake, u.After.DAGID, timestamps(from), timestamps(to), counts, outcomes,
		nullTexts(names), timestamp(u.Now), u.After.DAGUID)
	return err
}

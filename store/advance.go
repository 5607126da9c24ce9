package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kontroler/store/internal/postgres"
)

// ScheduleUpdate decides due times of one schedule.
type ScheduleUpdate struct {
	// Before is the schedule as it was read, After as it will be.
	Before, After Schedule
	// Ticks are the decided due times.
	Ticks []Tick
	// Ended are the due times of runs that have ended. The schedule forgets these runs.
	Ended []time.Time
	// ReplaceRuns means that the runs of earlier updates are to be cancelled.
	ReplaceRuns bool
	Now         time.Time
}

type updateRequest = request[ScheduleUpdate, Schedule]

// Advance moves a schedule's cursor and writes the ticks, in one transaction. Each tick with a name adds a run. Runs
// that have ended, and all runs of an earlier DAG object, are forgotten. A tick that continues the stretch at the end
// of the ledger extends it. Advance returns the schedule as it is stored. ErrConflict means that the cursor is not at
// u.Before.Cursor.
//
// Concurrent updates share a transaction. Each has its own guard. If their transaction fails because of the values or
// the locks of one of them, each update is written in a transaction of its own.
func (s *Schedules) Advance(ctx context.Context, u ScheduleUpdate) (Schedule, error) {
	saved, err := s.updates.do(u, func(requests []*updateRequest) {
		err := s.advance(ctx, requests)
		if err == nil || len(requests) == 1 || IsUnavailable(err) || errors.Is(err, ErrFenced) ||
			errors.Is(err, ErrUnknownCommit) {
			fail(requests, err)
			return
		}
		for i := range requests {
			fail(requests[i:i+1], s.advance(ctx, requests[i:i+1]))
		}
	})
	return saved, postgres.Failed(ctx, err, "accounting for schedule %d", u.After.DAGID)
}

// fail gives requests the error of their transaction. Without one, they keep the errors that they have.
func fail[In, Out any](requests []*request[In, Out], err error) {
	for _, r := range requests {
		if err != nil {
			r.err = err
		}
	}
}

// advance serves requests in one transaction. It writes nothing for a request whose guard fails, and answers
// ErrConflict.
func (s *Schedules) advance(ctx context.Context, requests []*updateRequest) error {
	return s.pool.write(ctx, func(q querier) error {
		advanced, err := writeSchedules(ctx, q, requests)
		if err != nil || len(advanced) == 0 {
			return err
		}
		if err := writeScheduledRuns(ctx, q, advanced); err != nil {
			return err
		}
		ids := make([]int64, len(advanced))
		for i, r := range advanced {
			ids[i] = r.in.After.DAGID
		}
		return recordDAGChanges(ctx, q, ids...)
	})
}

// writeSchedules writes the rows of schedules and returns the requests whose guard held.
func writeSchedules(ctx context.Context, q querier, requests []*updateRequest) ([]*updateRequest, error) {
	var added, changed scheduleRows
	for _, r := range requests {
		r.out = r.in.result()
		if r.in.Before.DAGUID == "" {
			added.add(r.out, time.Time{})
		} else {
			changed.add(r.out, r.in.Before.Cursor)
		}
	}
	written, err := added.write(ctx, q, sqlScheduleMake, false)
	if err != nil {
		return nil, err
	}
	moved, err := changed.write(ctx, q, sqlScheduleMove, true)
	if err != nil {
		return nil, err
	}
	written = append(written, moved...)
	var advanced []*updateRequest
	for _, r := range requests {
		r.err = nil
		if !slices.Contains(written, r.out.DAGID) {
			r.err = fmt.Errorf("%w: the cursor has moved", ErrConflict)
			continue
		}
		advanced = append(advanced, r)
	}
	return advanced, nil
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

// scheduleRows are rows of kontroler.schedules, column by column, with the cursors that their guards expect.
type scheduleRows struct {
	id                                      []int64
	uid, expression, zone, heldAs, outcome  []string
	cursor, stretch, lastDue, cursorsBefore []time.Time
}

func (r *scheduleRows) add(s Schedule, cursorBefore time.Time) {
	r.id, r.uid = append(r.id, s.DAGID), append(r.uid, s.DAGUID)
	r.expression, r.zone = append(r.expression, s.Expression), append(r.zone, s.TimeZone)
	r.heldAs, r.cursor = append(r.heldAs, s.HeldAs), append(r.cursor, s.Cursor)
	r.stretch, r.outcome = append(r.stretch, s.StretchFrom), append(r.outcome, s.StretchOutcome)
	r.lastDue, r.cursorsBefore = append(r.lastDue, s.LastDue), append(r.cursorsBefore, cursorBefore)
}

// write returns the ids of the rows that were written.
func (r *scheduleRows) write(ctx context.Context, q querier, statement string, isGuarded bool) ([]int64, error) {
	if len(r.id) == 0 {
		return nil, nil
	}
	args := []any{
		r.id, r.uid, r.expression, r.zone, timestamps(r.cursor), r.heldAs, timestamps(r.stretch), r.outcome,
		timestamps(r.lastDue),
	}
	if isGuarded {
		args = append(args, timestamps(r.cursorsBefore))
	}
	return postgres.ReadRows(ctx, q, postgres.ScanOne[int64], statement, args...)
}

// writeScheduledRuns writes the ledger, and the runs that are added, replaced and forgotten.
func writeScheduledRuns(ctx context.Context, q querier, requests []*updateRequest) error {
	var endedIDs, replacedIDs, recreatedIDs []int64
	var ended []time.Time
	var newUIDs []string
	for _, r := range requests {
		u := &r.in
		for _, due := range u.Ended {
			endedIDs, ended = append(endedIDs, u.After.DAGID), append(ended, due)
		}
		if u.ReplaceRuns {
			replacedIDs = append(replacedIDs, u.After.DAGID)
		}
		if u.Before.DAGUID != "" && u.Before.DAGUID != u.After.DAGUID {
			recreatedIDs, newUIDs = append(recreatedIDs, u.After.DAGID), append(newUIDs, u.After.DAGUID)
		}
	}
	for _, statement := range []struct {
		sql  string
		rows int
		args []any
	}{
		{sqlScheduledRunsLeft, len(recreatedIDs), []any{recreatedIDs, newUIDs}},
		{sqlScheduledRunEnded, len(ended), []any{endedIDs, timestamps(ended)}},
		{sqlScheduledRunsReplaced, len(replacedIDs), []any{replacedIDs}},
	} {
		if statement.rows == 0 {
			continue
		}
		if _, err := q.ExecContext(ctx, statement.sql, statement.args...); err != nil {
			return err
		}
	}
	extended, err := extendStretches(ctx, q, requests)
	if err != nil {
		return err
	}
	return writeTicks(ctx, q, requests, extended)
}

// tickRows are rows of the ledger, column by column. uid is the UID of the DAG.
type tickRows struct {
	id                 []int64
	from, to, at       []time.Time
	count              []int64
	outcome, name, uid []string
}

func (r *tickRows) add(u *ScheduleUpdate, from time.Time, tick Tick) {
	r.id, r.from, r.to = append(r.id, u.After.DAGID), append(r.from, from), append(r.to, tick.To)
	r.at, r.count, r.outcome = append(r.at, u.Now), append(r.count, int64(tick.Count)), append(r.outcome, tick.Outcome)
	r.name, r.uid = append(r.name, tick.RunName), append(r.uid, u.After.DAGUID)
}

// extendStretches extends the last row of the ledger by each first tick that continues it, and returns the DAGs whose
// ledgers it extended. If retention has removed that row, the tick begins a new row, and the schedule names the new
// row.
func extendStretches(ctx context.Context, q querier, requests []*updateRequest) ([]int64, error) {
	var rows tickRows
	for _, r := range requests {
		if u := &r.in; len(u.Ticks) > 0 && continues(u.Before, u.Ticks[0]) {
			rows.add(u, u.Before.StretchFrom, u.Ticks[0])
		}
	}
	if len(rows.id) == 0 {
		return nil, nil
	}
	extended, err := postgres.ReadRows(ctx, q, postgres.ScanOne[int64], sqlTickExtend,
		rows.id, timestamps(rows.from), timestamps(rows.to), rows.count, rows.outcome)
	if err != nil {
		return nil, err
	}
	var trimmed []int64
	var since []time.Time
	for _, r := range requests {
		id := r.in.After.DAGID
		isRemoved := slices.Contains(rows.id, id) && !slices.Contains(extended, id)
		if !isRemoved || !r.out.StretchFrom.Equal(r.in.Before.StretchFrom) {
			continue
		}
		r.out.StretchFrom = r.in.Ticks[0].From
		trimmed, since = append(trimmed, id), append(since, r.out.StretchFrom)
	}
	if len(trimmed) > 0 {
		_, err = q.ExecContext(ctx, sqlScheduleStretch, trimmed, timestamps(since))
	}
	return extended, err
}

// writeTicks writes the ticks and their runs, except the first ticks of the DAGs whose ledgers were extended.
func writeTicks(ctx context.Context, q querier, requests []*updateRequest, extended []int64) error {
	var ticks, runs tickRows
	for _, r := range requests {
		u := &r.in
		for i, tick := range u.Ticks {
			if i == 0 && slices.Contains(extended, u.After.DAGID) {
				continue
			}
			ticks.add(u, tick.From, tick)
			if tick.RunName != "" {
				runs.add(u, tick.From, tick)
			}
		}
	}
	if len(ticks.id) > 0 {
		_, err := q.ExecContext(ctx, sqlTickMake, ticks.id, timestamps(ticks.from), timestamps(ticks.to), ticks.count,
			ticks.outcome, nullTexts(ticks.name), timestamps(ticks.at))
		if err != nil {
			return err
		}
	}
	if len(runs.id) > 0 {
		_, err := q.ExecContext(ctx, sqlScheduledRunMake, runs.id, timestamps(runs.from), runs.name, runs.uid)
		return err
	}
	return nil
}

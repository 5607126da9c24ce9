package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Accounting is what becomes of some due times of one schedule.
type Accounting struct {
	// Was is the schedule as it was read, Is as it is to be.
	Was, Is Schedule
	Ticks   []Tick
	// Settled are the due times of runs that have ended: they are forgotten.
	Settled []time.Time
	// Replace: the runs that there were before are to be cancelled.
	Replace bool
	Now     time.Time
}

// Account moves a schedule's cursor and writes what became of its due times, in one transaction: a run to make for each
// tick that has a name. Settled runs are forgotten, as are all of an earlier DAG object. A stretch that continues the
// ledger's last row extends it. It returns the schedule as it is then. ErrConflict: the cursor is not where Was says.
//
// Schedules that are accounted for at the same time share a transaction. Each has its own guard, and where the database
// refuses the values of one, each is written by itself.
func (l *Leader) Account(ctx context.Context, a Accounting) (Schedule, error) {
	saved, err := l.accounts.do(a, func(requests []*request[Accounting, Schedule]) {
		err := l.account(ctx, requests)
		if len(requests) == 1 || err == nil || IsUnavailable(err) || errors.Is(err, ErrFenced) || errors.Is(err, ErrUnknownCommit) {
			settle(requests, err)
			return
		}
		for i := range requests {
			settle(requests[i:i+1], l.account(ctx, requests[i:i+1]))
		}
	})
	if err != nil {
		return Schedule{}, fmt.Errorf("accounting for schedule %d: %w", a.Is.DAGID, err)
	}
	return saved, nil
}

// settle gives requests the error of their transaction, where they have none of their own.
func settle[Q, A any](requests []*request[Q, A], err error) {
	for _, r := range requests {
		if err != nil {
			r.err = err
		}
	}
}

// account is one transaction. Requests whose guard does not hold are answered ErrConflict, and nothing is written for them.
func (l *Leader) account(ctx context.Context, requests []*request[Accounting, Schedule]) error {
	var change int64
	err := l.inTx(ctx, func(q querier) error {
		moved, err := writeSchedules(ctx, q, requests)
		if err != nil || len(moved) == 0 {
			return err
		}
		if err := writeScheduledRuns(ctx, q, moved); err != nil {
			return err
		}
		return q.QueryRowContext(ctx, sqlChange, nil, "dag").Scan(&change)
	})
	l.committed(change)
	return err
}

// writeSchedules writes the rows of schedules, with what the ledger's last row will be, and returns the accountings whose
// guard held.
func writeSchedules(ctx context.Context, q querier, requests []*request[Accounting, Schedule]) ([]*request[Accounting, Schedule], error) {
	var fresh, known scheduleRows
	for _, r := range requests {
		r.answer = ledgerEnd(r.ask)
		if r.ask.Was.DAGUID == "" {
			fresh.add(r.answer, time.Time{})
		} else {
			known.add(r.answer, r.ask.Was.Cursor)
		}
	}
	made, err := fresh.write(ctx, q, sqlScheduleMake, false)
	if err != nil {
		return nil, err
	}
	kept, err := known.write(ctx, q, sqlScheduleMove, true)
	if err != nil {
		return nil, err
	}
	var moved []*request[Accounting, Schedule]
	for _, r := range requests {
		r.err = nil
		if !slices.Contains(made, r.answer.DAGID) && !slices.Contains(kept, r.answer.DAGID) {
			r.err = fmt.Errorf("%w: the cursor has moved", ErrConflict)
			continue
		}
		moved = append(moved, r)
	}
	return moved, nil
}

// ledgerEnd is the schedule as it is to be, with the ledger's last row where that is a stretch, and the newest run.
func ledgerEnd(a Accounting) Schedule {
	is := a.Is
	is.StretchFrom, is.StretchOutcome = a.Was.StretchFrom, a.Was.StretchOutcome
	for _, tick := range a.Ticks {
		switch {
		case tick.RunName != "":
			is.StretchFrom, is.StretchOutcome, is.LastDue = time.Time{}, "", tick.From
		case tick.Outcome == "Overlapped":
			is.StretchFrom, is.StretchOutcome = time.Time{}, ""
		case !continues(is, tick):
			is.StretchFrom, is.StretchOutcome = tick.From, tick.Outcome
		}
	}
	if a.Was.Expression != is.Expression || a.Was.TimeZone != is.TimeZone {
		is.StretchFrom, is.StretchOutcome = time.Time{}, "" // a stretch is of one schedule
	}
	return is
}

// continues reports that a tick goes on with the stretch that the ledger's last row is. A stretch is of one month, as its
// partition is: history that is trimmed takes no due time along that is to be kept.
func continues(s Schedule, tick Tick) bool {
	from, to := s.StretchFrom.UTC(), tick.To.UTC()
	return tick.RunName == "" && tick.Outcome == s.StretchOutcome && from.Year() == to.Year() && from.Month() == to.Month()
}

// scheduleRows are rows of schedules, column by column.
type scheduleRows struct {
	id                                   []int64
	uid, expression, zone, held, outcome []string
	cursor, stretch, last, was           []time.Time
}

func (r *scheduleRows) add(s Schedule, was time.Time) {
	r.id, r.uid, r.expression, r.zone = append(r.id, s.DAGID), append(r.uid, s.DAGUID), append(r.expression, s.Expression), append(r.zone, s.TimeZone)
	r.held, r.outcome, r.cursor = append(r.held, s.Held), append(r.outcome, s.StretchOutcome), append(r.cursor, s.Cursor)
	r.stretch, r.last, r.was = append(r.stretch, s.StretchFrom), append(r.last, s.LastDue), append(r.was, was)
}

// write returns the ids of the rows that were written.
func (r *scheduleRows) write(ctx context.Context, q querier, statement string, guarded bool) ([]int64, error) {
	if len(r.id) == 0 {
		return nil, nil
	}
	args := []any{r.id, r.uid, r.expression, r.zone, timestamps(r.cursor), r.held, timestamps(r.stretch), r.outcome, timestamps(r.last)}
	if guarded {
		args = append(args, timestamps(r.was))
	}
	return readRows(ctx, q, scanID, statement, args...)
}

func scanID(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) }

// writeScheduledRuns writes the ledger, and the runs that are to be made, cancelled and forgotten.
func writeScheduledRuns(ctx context.Context, q querier, moved []*request[Accounting, Schedule]) error {
	var settledIDs, replaced, left []int64
	var settled []time.Time
	var objects []string
	for _, r := range moved {
		a := &r.ask
		for _, due := range a.Settled {
			settledIDs, settled = append(settledIDs, a.Is.DAGID), append(settled, due)
		}
		if a.Replace {
			replaced = append(replaced, a.Is.DAGID)
		}
		if a.Was.DAGUID != "" && a.Was.DAGUID != a.Is.DAGUID {
			left, objects = append(left, a.Is.DAGID), append(objects, a.Is.DAGUID)
		}
	}
	for _, statement := range []struct {
		sql  string
		rows int
		args []any
	}{
		{sqlScheduledRunsLeft, len(left), []any{left, objects}},
		{sqlScheduledRunSettled, len(settled), []any{settledIDs, timestamps(settled)}},
		{sqlScheduledRunsReplaced, len(replaced), []any{replaced}},
	} {
		if statement.rows == 0 {
			continue
		}
		if _, err := q.ExecContext(ctx, statement.sql, statement.args...); err != nil {
			return err
		}
	}
	extended, err := extendStretches(ctx, q, moved)
	if err != nil {
		return err
	}
	return writeTicks(ctx, q, moved, extended)
}

// tickRows are rows of the ledger, column by column; uid is that of the DAG.
type tickRows struct {
	id                 []int64
	from, to, at       []time.Time
	count              []int64
	outcome, name, uid []string
}

func (r *tickRows) add(a *Accounting, from time.Time, tick Tick) {
	r.id, r.from, r.to, r.at = append(r.id, a.Is.DAGID), append(r.from, from), append(r.to, tick.To), append(r.at, a.Now)
	r.count, r.outcome = append(r.count, int64(tick.Count)), append(r.outcome, tick.Outcome)
	r.name, r.uid = append(r.name, tick.RunName), append(r.uid, a.Is.DAGUID)
}

// extendStretches writes each first tick that continues the ledger's last row, and returns the DAGs whose it was. Where
// history was trimmed past that row the rest of the stretch begins a row of its own, which the schedule then names.
func extendStretches(ctx context.Context, q querier, moved []*request[Accounting, Schedule]) ([]int64, error) {
	var rows tickRows
	for _, r := range moved {
		if a := &r.ask; len(a.Ticks) > 0 && continues(a.Was, a.Ticks[0]) {
			rows.add(a, a.Was.StretchFrom, a.Ticks[0])
		}
	}
	if len(rows.id) == 0 {
		return nil, nil
	}
	extended, err := readRows(ctx, q, scanID, sqlTickExtend, rows.id, timestamps(rows.from), timestamps(rows.to), rows.count, rows.outcome)
	if err != nil {
		return nil, err
	}
	var trimmed []int64
	var since []time.Time
	for _, r := range moved {
		id := r.ask.Is.DAGID
		if !slices.Contains(rows.id, id) || slices.Contains(extended, id) || !r.answer.StretchFrom.Equal(r.ask.Was.StretchFrom) {
			continue
		}
		r.answer.StretchFrom = r.ask.Ticks[0].From
		trimmed, since = append(trimmed, id), append(since, r.answer.StretchFrom)
	}
	if len(trimmed) > 0 {
		_, err = q.ExecContext(ctx, sqlScheduleStretch, trimmed, timestamps(since))
	}
	return extended, err
}

func writeTicks(ctx context.Context, q querier, moved []*request[Accounting, Schedule], extended []int64) error {
	var ticks, runs tickRows
	for _, r := range moved {
		a := &r.ask
		for i, tick := range a.Ticks {
			if i == 0 && slices.Contains(extended, a.Is.DAGID) {
				continue
			}
			ticks.add(a, tick.From, tick)
			if tick.RunName != "" {
				runs.add(a, tick.From, tick)
			}
		}
	}
	if len(ticks.id) > 0 {
		_, err := q.ExecContext(ctx, sqlTickMake, ticks.id, timestamps(ticks.from), timestamps(ticks.to), ticks.count, ticks.outcome, nullTexts(ticks.name), timestamps(ticks.at))
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

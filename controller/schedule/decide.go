package schedule

import (
	"time"

	"github.com/robfig/cron/v3"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
)

// The outcomes of due times, as the ledger stores them.
const (
	outcomeRan        = "Ran"
	outcomeOverlapped = "Overlapped"
	outcomeSuspended  = "Suspended"
	outcomeMissed     = "Missed"
	outcomeTooLate    = "TooLate"
	// outcomeUnknown means that the due time may have run elsewhere and does not run here: another controller had the
	// DAG then, or the database was restored from an older backup.
	outcomeUnknown = "Unknown"
)

const (
	// defaultLimit is the catchUpLimit of a DAG that states none.
	defaultLimit = 100
	// punctual is how late a due time may be and still count as on time. On a busy machine every due time of "@every
	// 1s" is late.
	punctual = 10 * time.Second
	// newestPunctual is the same limit for the newest due time. Ten thousand schedules that are due in the same minute,
	// or a change of leaders, can take that long. The due times of a five-field schedule are at least that far apart.
	newestPunctual = time.Minute
	// maxStretch is how many due times one decision accounts for if more follow and none of them may run.
	maxStretch = 10_000
)

// state is the input of a decision.
type state struct {
	schedule cron.Schedule
	// cursor is the last due time in the ledger, or the begin of the schedule if there is none yet.
	cursor time.Time
	// heldAs is the outcome of all due times after the cursor if they may not run. It is empty if they may.
	heldAs string
	// deadline is how late a run may start. Less than punctual counts as punctual. Nil means that a run may start at
	// any time.
	deadline *time.Duration
	catchUp  v1alpha1.CatchUpPolicy
	// limit is how many due times of a gap may run. Zero means defaultLimit.
	limit       int
	concurrency v1alpha1.ConcurrencyPolicy
	// hasLiveRun reports that a run of this schedule has not ended.
	hasLiveRun bool
}

// decision is the outcome of the due times up to now.
type decision struct {
	// ticks have no run names yet.
	ticks []store.Tick
	// replacesRuns reports that the runs of earlier due times are to be cancelled.
	replacesRuns bool
	cursor       time.Time
	// next is the next due time. It is zero if there is none.
	next time.Time
	// hasMore reports that there are more due times up to now than one decision takes.
	hasMore bool
}

// decide accounts for the due times after the cursor.
func decide(s state, now time.Time) decision {
	if s.limit <= 0 {
		s.limit = defaultLimit
	}
	due, next, hasMore := s.dueTimes(now)
	d := decision{cursor: s.cursor, next: next, hasMore: hasMore}
	if len(due) == 0 {
		return d
	}
	d.cursor = due[len(due)-1]
	first := len(due)
	if !hasMore && s.heldAs == "" {
		first = s.firstToRun(due, now)
	}
	for _, at := range due[:first] {
		d.addToStretch(at, s.outcomeOfMissed(at, now))
	}
	for _, at := range due[first:] {
		outcome := outcomeRan
		switch {
		case s.concurrency == v1alpha1.ForbidConcurrent && s.hasLiveRun:
			outcome = outcomeOverlapped
		case s.concurrency == v1alpha1.ReplaceConcurrent && s.hasLiveRun:
			d.replacesRuns = true
		}
		d.ticks = append(d.ticks, store.Tick{From: at, To: at, Count: 1, Outcome: outcome})
	}
	return d
}

// dueTimes returns the due times after the cursor up to now, and the next one. If there are more than one decision
// takes, it returns the oldest and leaves at least as many as may run to the next decision.
func (s state) dueTimes(now time.Time) (due []time.Time, next time.Time, hasMore bool) {
	at := s.schedule.Next(s.cursor)
	for !at.IsZero() && !at.After(now) {
		due = append(due, at.UTC())
		if len(due) == maxStretch+max(s.limit, int(punctual/time.Second)+1) {
			return due[:maxStretch], due[maxStretch], true
		}
		at = s.schedule.Next(at)
	}
	if at.IsZero() {
		return due, at, false
	}
	return due, at.UTC(), false
}

// firstToRun returns the index of the oldest due time that may run. All later ones may run too.
func (s state) firstToRun(due []time.Time, now time.Time) int {
	newest := len(due) - 1
	first := len(due)
	switch {
	case s.catchUp == v1alpha1.CatchUpAll:
		first = max(0, len(due)-s.limit)
	case s.catchUp != v1alpha1.CatchUpNone, now.Sub(due[newest]) <= newestPunctual:
		first = newest
	}
	for first > 0 && now.Sub(due[first-1]) <= punctual {
		first--
	}
	// If runs may not overlap, only the newest due time is worth a run.
	if s.concurrency == v1alpha1.ForbidConcurrent || s.concurrency == v1alpha1.ReplaceConcurrent {
		first = max(first, newest)
	}
	for first < len(due) && s.isTooLate(due[first], now) {
		first++
	}
	return first
}

func (s state) outcomeOfMissed(at, now time.Time) string {
	switch {
	case s.heldAs != "":
		return s.heldAs
	case s.isTooLate(at, now):
		return outcomeTooLate
	}
	return outcomeMissed
}

func (s state) isTooLate(at, now time.Time) bool {
	return s.deadline != nil && now.Sub(at) > max(*s.deadline, punctual)
}

// addToStretch adds a due time to the last tick if that has the same outcome and month. Otherwise it begins a new tick.
// A tick is removed by the age of its first due time, so it must not span months.
func (d *decision) addToStretch(at time.Time, outcome string) {
	if n := len(d.ticks); n > 0 && d.ticks[n-1].Outcome == outcome && isSameMonth(d.ticks[n-1].From, at) {
		d.ticks[n-1].To = at
		d.ticks[n-1].Count++
		return
	}
	d.ticks = append(d.ticks, store.Tick{From: at, To: at, Count: 1, Outcome: outcome})
}

func isSameMonth(a, b time.Time) bool { return a.Year() == b.Year() && a.Month() == b.Month() }

// parse parses a schedule as its row has it. Without a zone it is in UTC.
func parse(expression, zone string) (cron.Schedule, error) {
	var name *string
	if zone != "" {
		name = &zone
	}
	parsed, _, err := dag.ParseSchedule(expression, name)
	return parsed, err
}

// cursorBefore returns a cursor after which a due time of a schedule is the next one.
func cursorBefore(s cron.Schedule, due time.Time) time.Time {
	if every, ok := s.(cron.ConstantDelaySchedule); ok {
		return due.Add(-every.Delay)
	}
	return due.Add(-time.Second) // a five-field schedule is due at full minutes
}

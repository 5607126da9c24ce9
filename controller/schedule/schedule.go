package schedule

import (
	"time"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"

	"github.com/robfig/cron/v3"
)

// The outcomes of a due time.
const (
	Ran        = "Ran"
	Overlapped = "Overlapped"
	Suspended  = "Suspended"
	Missed     = "Missed"
	TooLate    = "TooLate"
	// Unknown: the DAG was not this controller's, or the time is lost with a database that was restored. The due time may
	// have run elsewhere, so it does not run here.
	Unknown = "Unknown"
)

const (
	// DefaultLimit is the catchUpLimit of a DAG that states none.
	DefaultLimit = 100
	// punctual is how late a due time may be and still count as on time, as all of an "@every 1s" do on a busy machine.
	punctual = 10 * time.Second
	// lateness is how late the newest one may be: ten thousand that are due in one minute each have it, and so has a change
	// of leaders. No two due times of a five-field schedule are closer.
	lateness = time.Minute
	// chunk is how many due times one decision accounts for in a stretch.
	chunk = 10_000
)

// State is what a decision follows from.
type State struct {
	Schedule cron.Schedule
	// Cursor is the last due time that is accounted for; at first, when the schedule began.
	Cursor time.Time
	// Held is the outcome of everything that has been due since the cursor: Suspended, Missed, Unknown; empty: it may run.
	Held string
	// Deadline is how late a run may start; nil: however late. Less than ten seconds counts as ten.
	Deadline    *time.Duration
	CatchUp     v1alpha1.CatchUpPolicy
	Limit       int
	Concurrency v1alpha1.ConcurrencyPolicy
	// Live: a run of this schedule is.
	Live bool
}

// Tick is a row of the ledger: a due time that ran or overlapped, or a stretch of Count due times that did not.
type Tick struct {
	From, To time.Time
	Count    int
	Outcome  string
}

// Decision is what becomes of the due times up to now.
type Decision struct {
	Ticks []Tick
	// Replace: the runs that were live before are cancelled.
	Replace bool
	Cursor  time.Time
	// Next is the next due time; zero: there is none.
	Next time.Time
	// More: there are more due times up to now than one decision takes.
	More bool
}

// Decide accounts for the due times after the cursor.
func Decide(s State, now time.Time) Decision {
	if s.Limit <= 0 {
		s.Limit = DefaultLimit
	}
	due, next, more := dueTimes(s, now)
	d := Decision{Cursor: s.Cursor, Next: next, More: more}
	if len(due) == 0 {
		return d
	}
	d.Cursor = due[len(due)-1]
	first := len(due) // of those that may run
	if !more && s.Held == "" {
		first = s.firstToRun(due, now)
	}
	for _, at := range due[:first] {
		d.stretch(at, s.outcomeOfMissed(at, now))
	}
	for _, at := range due[first:] {
		outcome := Ran
		switch {
		case s.Concurrency == v1alpha1.ForbidConcurrent && s.Live:
			outcome = Overlapped
		case s.Concurrency == v1alpha1.ReplaceConcurrent && s.Live:
			d.Replace = true
		}
		d.Ticks = append(d.Ticks, Tick{From: at, To: at, Count: 1, Outcome: outcome})
	}
	return d
}

// dueTimes are those after the cursor, up to now. Where there are more than one decision takes, the newest that might run
// are left for the next one.
func dueTimes(s State, now time.Time) (due []time.Time, next time.Time, more bool) {
	at := s.Schedule.Next(s.Cursor)
	for !at.IsZero() && !at.After(now) {
		due = append(due, at.UTC())
		if len(due) == chunk+max(s.Limit, int(punctual/time.Second)+1) {
			return due[:chunk], due[chunk], true
		}
		at = s.Schedule.Next(at)
	}
	if at.IsZero() {
		return due, at, false
	}
	return due, at.UTC(), false
}

// firstToRun is the index of the oldest due time that may run; all after it may.
func (s State) firstToRun(due []time.Time, now time.Time) int {
	newest := len(due) - 1
	first := len(due)
	switch {
	case s.CatchUp == v1alpha1.CatchUpAll:
		first = max(0, len(due)-s.Limit)
	case s.CatchUp != v1alpha1.CatchUpNone, now.Sub(due[newest]) <= lateness:
		first = newest
	}
	for first > 0 && now.Sub(due[first-1]) <= punctual {
		first--
	}
	// Of those that may not overlap only the newest is worth a run.
	if s.Concurrency == v1alpha1.ForbidConcurrent || s.Concurrency == v1alpha1.ReplaceConcurrent {
		first = max(first, newest)
	}
	for first < len(due) && s.tooLate(due[first], now) {
		first++
	}
	return first
}

func (s State) outcomeOfMissed(at, now time.Time) string {
	switch {
	case s.Held != "":
		return s.Held
	case s.tooLate(at, now):
		return TooLate
	}
	return Missed
}

func (s State) tooLate(at, now time.Time) bool {
	return s.Deadline != nil && now.Sub(at) > max(*s.Deadline, punctual)
}

// Parse parses a schedule as its row has it; without a zone it is UTC.
func Parse(expression, zone string) (cron.Schedule, error) {
	var name *string
	if zone != "" {
		name = &zone
	}
	parsed, _, err := dag.ParseSchedule(expression, name)
	return parsed, err
}

// Before returns a cursor from which a due time of a schedule is the next one.
func Before(s cron.Schedule, due time.Time) time.Time {
	if every, ok := s.(cron.ConstantDelaySchedule); ok {
		return due.Add(-every.Delay)
	}
	return due.Add(-time.Second) // five fields name minutes
}

// stretch adds a due time to the stretch that the last tick is, or begins one.
func (d *Decision) stretch(at time.Time, outcome string) {
	if n := len(d.Ticks); n > 0 && d.Ticks[n-1].Outcome == outcome {
		d.Ticks[n-1].To = at
		d.Ticks[n-1].Count++
		return
	}
	d.Ticks = append(d.Ticks, Tick{From: at, To: at, Count: 1, Outcome: outcome})
}

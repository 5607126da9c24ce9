package schedule

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/names"
	"kontroler/store"
)

// facts are the input of a plan.
type facts struct {
	dag *v1alpha1.DAG
	// row is the schedule as the database has it.
	row store.Schedule
	// live are the scheduled runs that have not ended, oldest first. settled are the due times of those that have.
	live    []store.ScheduledRun
	settled []time.Time
	// since is when the controller's database was created.
	since, now time.Time
}

// plan is the update to commit for a schedule, and what follows from it.
type plan struct {
	store.ScheduleUpdate
	// runs are the live runs and those of new ticks, oldest first.
	runs []store.ScheduledRun
	// next is the next due time. It is zero if there is none, if the schedule is held, or if hasMore.
	next time.Time
	// hasMore reports that due times up to now are left for another plan.
	hasMore bool
}

// makePlan accounts for the due times of a schedule up to now. If the spec has changed to another schedule, the stored
// one is accounted for first, and the new one begins now.
func makePlan(f facts) *plan {
	row, state := stateOf(f)
	isOtherSchedule := differs(row, f.dag)
	var d decision
	if state.schedule != nil {
		state.hasLiveRun = len(f.live) > 0
		d = decide(state, f.now)
		row.Cursor = d.cursor
	}
	if !d.hasMore {
		row.HeldAs = heldAs(f.dag)
		if isOtherSchedule {
			row.Expression, row.TimeZone = dag.SplitSchedule(&f.dag.Spec)
			row.Cursor = later(row.Cursor, f.now)
		}
	}
	nameRuns(d.ticks, f.dag)
	p := &plan{
		ScheduleUpdate: store.ScheduleUpdate{
			Before: f.row, After: row, Ticks: d.ticks, Ended: f.settled, ReplaceRuns: d.replacesRuns, Now: f.now,
		},
		runs: f.live, hasMore: d.hasMore || isOtherSchedule,
	}
	if row.HeldAs == "" && !p.hasMore {
		p.next = d.next
	}
	if d.replacesRuns {
		for i := range p.runs {
			p.runs[i].IsReplaced = true
		}
	}
	for _, tick := range p.Ticks {
		if tick.RunName != "" {
			p.runs = append(p.runs, store.ScheduledRun{DueAt: tick.From, Name: tick.RunName})
		}
	}
	return p
}

// isChange reports whether there is anything to commit.
func (p *plan) isChange() bool { return len(p.Ticks) > 0 || len(p.Ended) > 0 || p.After != p.Before }

// keepFirstRun keeps the due times up to the first that runs, and leaves the others to another plan. It is used while
// the API server refuses DagRuns, so that one due time at a time is tried.
func (p *plan) keepFirstRun() {
	for i, tick := range p.Ticks {
		if tick.RunName == "" || i == len(p.Ticks)-1 {
			continue
		}
		left := len(p.Ticks) - 1 - i // each of them runs, and their runs are the last of p.runs
		p.Ticks, p.runs = p.Ticks[:i+1], p.runs[:len(p.runs)-left]
		p.After.Cursor, p.hasMore = tick.To, true
		return
	}
}

// stateOf returns the row that a plan starts from and the state to decide from. The state has the schedule of the row,
// which applied until now. The spec may name another one already.
func stateOf(f facts) (row store.Schedule, s state) {
	row = f.row
	row.DAGUID = string(f.dag.UID)
	switch begin := beginOf(f.dag, f.since, f.now); {
	case f.row.DAGUID == "":
		row.Expression, row.TimeZone = dag.SplitSchedule(&f.dag.Spec)
		row.HeldAs, row.Cursor = heldAs(f.dag), begin
	case f.row.DAGUID != row.DAGUID:
		// The DAG was deleted and created again. While there was none, nothing was due.
		row.Cursor = later(row.Cursor, begin)
	}
	spec := &f.dag.Spec
	s = state{cursor: row.Cursor, heldAs: row.HeldAs, catchUp: spec.CatchUp, concurrency: spec.ConcurrencyPolicy}
	if s.heldAs == "" {
		s.heldAs = heldAs(f.dag)
	}
	if differs(row, f.dag) {
		// Due times of a schedule that was replaced or removed do not run.
		s.heldAs = outcomeMissed
		if row.HeldAs != "" {
			s.heldAs = row.HeldAs
		}
	}
	if seconds := spec.StartingDeadlineSeconds; seconds != nil {
		s.deadline = new(time.Duration(*seconds) * time.Second)
	}
	if limit := spec.CatchUpLimit; limit != nil {
		s.limit = int(*limit)
	}
	if row.Expression == "" {
		return row, s
	}
	if parsed, err := parse(row.Expression, row.TimeZone); err == nil {
		s.schedule = parsed // otherwise the DAG is invalid, and nothing is due until it is valid
	}
	return row, s
}

// beginOf returns when a schedule without a row for this DAG object begins. It begins with the DAG if no other
// controller can have run it before: the spec was never changed, the status names no due times, and the DAG is younger
// than the controller's database. Otherwise it begins now.
func beginOf(d *v1alpha1.DAG, since, now time.Time) time.Time {
	created := d.CreationTimestamp.UTC()
	isNew := d.Generation == 1 && d.Status.NextScheduleTime == nil && d.Status.LastScheduleTime == nil
	if isNew && created.After(since) && created.Before(now) { // the API server's clock may be ahead
		return created
	}
	return now
}

// differs reports whether the spec of a DAG names another schedule than a row.
func differs(row store.Schedule, d *v1alpha1.DAG) bool {
	expression, zone := dag.SplitSchedule(&d.Spec)
	return row.Expression != expression || row.TimeZone != zone
}

// heldAs returns the outcome of the due times of a DAG that is suspended or invalid. It is empty if they may run.
func heldAs(d *v1alpha1.DAG) string {
	switch {
	case d.Spec.Suspended:
		return outcomeSuspended
	case meta.IsStatusConditionFalse(d.Status.Conditions, v1alpha1.DAGValid):
		return outcomeMissed
	}
	return ""
}

// nameRuns gives each tick that runs the name of its DagRun.
func nameRuns(ticks []store.Tick, d *v1alpha1.DAG) {
	for i := range ticks {
		if ticks[i].Outcome == outcomeRan {
			ticks[i].RunName = names.ScheduledRun(d.Name, string(d.UID), ticks[i].From)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

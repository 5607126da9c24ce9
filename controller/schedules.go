package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/schedule"
	"kontroler/store"
)

// scheduleWorkers is how many schedules are brought forward at once: they share transactions.
const scheduleWorkers = 32

// scheduleChanged: the schedule is looked at once the status says what the spec is, and whose. Its DagTasks may make a DAG
// invalid, and valid again, without a change of its own.
func (t *term) scheduleChanged(old, d *v1alpha1.DAG) {
	if old == nil || old.UID != d.UID || old.Generation != d.Generation || old.Status.Controller != d.Status.Controller ||
		old.Status.ObservedGeneration != d.Status.ObservedGeneration || held(old) != held(d) {
		t.schedules.Add(cache.MetaObjectToName(d))
	}
}

// syncSchedule brings one schedule forward: accounts for what is due, makes what that decided, and sets the timer.
func (t *term) syncSchedule(ctx context.Context, name cache.ObjectName) error {
	d, there := t.dagSource.get(name)
	if !there || d.Status.Controller != t.ID || d.DeletionTimestamp != nil {
		t.timers.drop(name)
		return nil
	}
	if d.Status.ObservedGeneration != d.Generation {
		return nil // the DAG's own sync says first whether it is valid; that is seen as a change
	}
	if set, ok := t.timers.get(name); ok && set.uid == d.UID && set.generation == d.Generation && set.held == held(d) && (set.next.IsZero() || t.now().Before(set.next)) {
		t.timers.set(name, set) // the clock may have gone back since it was due
		return nil
	}
	t.timers.drop(name)
	row, found, err := t.db.Schedule(ctx, name.Namespace, name.Name)
	if err != nil || !found || row.DAGUID == "" && d.Spec.Schedule == "" {
		return err
	}
	what, more, err := t.account(ctx, d, row)
	if err != nil {
		return err
	}
	if more {
		t.schedules.Add(name)
		return nil
	}
	t.timers.set(name, what)
	t.shows.Add(name)
	return nil
}

// account decides, commits, acts. more: there is more to account for before the timer is set.
func (t *term) account(ctx context.Context, d *v1alpha1.DAG, was store.Schedule) (what timer, more bool, err error) {
	runs, settled, err := t.scheduledRuns(ctx, d, was)
	if err != nil {
		return timer{}, false, err
	}
	p := planSchedule(d, was, runs, settled, t.Since, t.now())
	is := p.Is
	if p.changed() {
		if is, err = t.db.Account(ctx, p.Accounting); err != nil {
			return timer{}, false, fmt.Errorf("accounting for the schedule of DAG %s/%s: %w", d.Namespace, d.Name, err)
		}
		fault.Point("tick-committed")
	}
	if err := t.followTicks(ctx, d, is.DAGID, p.runs); err != nil {
		return timer{}, false, err
	}
	return timer{uid: d.UID, generation: d.Generation, held: held(d), last: is.LastDue, next: p.next}, p.more, nil
}

// schedulePlan is what is to be committed of a schedule, and what follows from it.
type schedulePlan struct {
	store.Accounting
	// runs have not ended, those of the new ticks among them.
	runs []store.ScheduledRun
	next time.Time // zero: never
	more bool
}

func (p *schedulePlan) changed() bool { return len(p.Ticks) > 0 || len(p.Settled) > 0 || p.Is != p.Was }

// planSchedule decides what becomes of the due times of a schedule up to now. runs are those of it that have not ended,
// settled the due times of those that have.
func planSchedule(d *v1alpha1.DAG, was store.Schedule, runs []store.ScheduledRun, settled []time.Time, since, now time.Time) *schedulePlan {
	is, state := scheduleState(d, was, since, now)
	var decision schedule.Decision
	if state.Schedule != nil {
		state.Live = len(runs) > 0
		decision = schedule.Decide(state, now)
		is.Cursor = decision.Cursor
	}
	closes := was.DAGUID != "" && rescheduled(was, d)
	if closes && !decision.More {
		// What the old schedule owed is accounted for: the new one begins now.
		is.Expression, is.TimeZone = dag.SplitSchedule(&d.Spec)
		is.Held = held(d)
		if is.Cursor.Before(now) {
			is.Cursor = now
		}
	}
	if !decision.More && !closes {
		is.Held = held(d)
	}
	p := &schedulePlan{
		Accounting: store.Accounting{Was: was, Is: is, Ticks: ledger(d, decision), Settled: settled, Replace: decision.Replace, Now: now},
		runs:       runs, more: closes || decision.More,
	}
	if is.Held == "" && !p.more {
		p.next = decision.Next
	}
	if decision.Replace {
		for i := range p.runs {
			p.runs[i].Replaced = true
		}
	}
	for _, tick := range p.Ticks {
		if tick.RunName != "" {
			p.runs = append(p.runs, store.ScheduledRun{DueAt: tick.From, Name: tick.RunName})
		}
	}
	return p
}

// scheduleState is what to decide from: the row as it is to be, and the schedule that governed until now.
func scheduleState(d *v1alpha1.DAG, was store.Schedule, since, now time.Time) (is store.Schedule, state schedule.State) {
	is = was
	is.DAGUID = string(d.UID)
	switch created := d.CreationTimestamp.UTC(); {
	case was.DAGUID == "":
		is.Expression, is.TimeZone = dag.SplitSchedule(&d.Spec)
		is.Held, is.Cursor = held(d), now
		// A schedule that was there from the first, and that no other controller kept, begins with its DAG.
		if d.Generation == 1 && created.After(since) && d.Status.NextScheduleTime == nil && d.Status.LastScheduleTime == nil {
			is.Cursor = created
		}
	case was.DAGUID != is.DAGUID && was.Cursor.Before(created):
		is.Cursor = created // made again under its name: what was due while there was none is nobody's
	}
	state = schedule.State{Cursor: is.Cursor, Held: is.Held, CatchUp: d.Spec.CatchUp, Concurrency: d.Spec.ConcurrencyPolicy}
	if state.Held == "" {
		state.Held = held(d)
	}
	if rescheduled(is, d) {
		state.Held = schedule.Missed // of the schedule that is no more
		if is.Held != "" {
			state.Held = is.Held
		}
	}
	if seconds := d.Spec.StartingDeadlineSeconds; seconds != nil {
		deadline := time.Duration(*seconds) * time.Second
		state.Deadline = &deadline
	}
	if limit := d.Spec.CatchUpLimit; limit != nil {
		state.Limit = int(*limit)
	}
	if is.Expression == "" {
		return is, state
	}
	var zone *string
	if is.TimeZone != "" {
		zone = &is.TimeZone
	}
	if parsed, _, err := dag.ParseSchedule(is.Expression, zone); err == nil {
		state.Schedule = parsed // else the DAG is not valid: nothing is due until it is
	}
	return is, state
}

// rescheduled reports that the DAG states another schedule than its row.
func rescheduled(row store.Schedule, d *v1alpha1.DAG) bool {
	expression, zone := dag.SplitSchedule(&d.Spec)
	return row.Expression != expression || row.TimeZone != zone
}

// held is the outcome of due times while they may not run; empty: they may.
func held(d *v1alpha1.DAG) string {
	switch {
	case d.Spec.Suspended:
		return schedule.Suspended
	case meta.IsStatusConditionFalse(d.Status.Conditions, v1alpha1.DAGValid):
		return schedule.Missed
	}
	return ""
}

// ledger names the runs of a decision's ticks.
func ledger(d *v1alpha1.DAG, decision schedule.Decision) []store.Tick {
	ticks := make([]store.Tick, len(decision.Ticks))
	for i, tick := range decision.Ticks {
		ticks[i] = store.Tick{From: tick.From, To: tick.To, Count: tick.Count, Outcome: tick.Outcome}
		if tick.Outcome == schedule.Ran {
			ticks[i].RunName = scheduledRunName(d.Name, string(d.UID), tick.From)
		}
	}
	return ticks
}

// scheduledRuns are the runs that have not ended, and the due times of those that have.
func (t *term) scheduledRuns(ctx context.Context, d *v1alpha1.DAG, row store.Schedule) (live []store.ScheduledRun, settled []time.Time, err error) {
	if row.DAGUID == "" {
		return nil, nil, nil
	}
	runs, err := t.db.ScheduledRuns(ctx, row.DAGID, string(d.UID))
	if err != nil {
		return nil, nil, err
	}
	for _, run := range runs {
		ended := v1alpha1.RunPhase(run.Phase).Ended()
		if run.UID != "" && run.RowUID == "" {
			is := t.cachedRun(runKey(run.UID))
			if is == nil {
				is, err = t.liveRun(ctx, store.Run{RunKey: store.RunKey{UID: run.UID, Namespace: d.Namespace, Name: run.Name}})
				if err != nil {
					return nil, nil, err
				}
			}
			ended = is == nil || is.Status.Phase.Ended() || is.IsOtherKontrolers() // deleted before it was admitted, or longer ago than rows are kept
		}
		if ended && run.UID != "" {
			settled = append(settled, run.DueAt)
			continue
		}
		live = append(live, run)
	}
	return live, settled, nil
}

// followTicks makes the DagRuns that are committed and not known to be there, and cancels those that were replaced.
func (t *term) followTicks(ctx context.Context, d *v1alpha1.DAG, dagID int64, runs []store.ScheduledRun) error {
	for _, run := range runs {
		if run.UID == "" {
			uid, err := t.makeScheduled(ctx, d, dagID, run)
			if err != nil {
				return err
			}
			if run.UID = uid; uid == "" {
				continue // it can never be made
			}
			t.retireByUID(runKey(uid)) // it may have ended, and waited for this
		}
		if run.Replaced {
			if err := t.cancelReplaced(ctx, d, run); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeScheduled makes the DagRun of a tick, unless a row says that it was there, and notes its UID; or that it can never
// be made: then there is no UID.
func (t *term) makeScheduled(ctx context.Context, d *v1alpha1.DAG, dagID int64, run store.ScheduledRun) (uid string, err error) {
	uid = run.RowUID
	if uid == "" {
		var never error
		if uid, never, err = t.createScheduled(ctx, d, run); err != nil {
			return "", fmt.Errorf("creating scheduled DagRun %s/%s: %w", d.Namespace, run.Name, err)
		}
		if never != nil {
			t.Log.Warn("a scheduled run was not made", "namespace", d.Namespace, "dag", d.Name, "run", run.Name, "due", run.DueAt, "error", never)
			t.events.Event(d, corev1.EventTypeWarning, "ScheduleMissed", shorten(fmt.Sprintf("DagRun %s, due at %s: %v", run.Name, run.DueAt.Format(time.RFC3339), never), 1024))
			return "", t.db.ScheduledRunDropped(ctx, dagID, run.DueAt)
		}
		fault.Point("tick-created")
	}
	return uid, t.db.ScheduledRunCreated(ctx, dagID, run.DueAt, uid)
}

// createScheduled creates the DagRun of a due time, or finds it there. never says why it can never be made.
func (t *term) createScheduled(ctx context.Context, d *v1alpha1.DAG, run store.ScheduledRun) (uid string, never, err error) {
	order := scheduledRun(d, run)
	runs := t.Client.KontrolerV1alpha1().DagRuns(d.Namespace)
	fault.Point("tick-create")
	made, err := runs.Create(ctx, order, metav1.CreateOptions{})
	switch {
	case err == nil:
		return string(made.UID), nil, nil
	case apierrors.IsInvalid(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return "", err, nil
	case !apierrors.IsAlreadyExists(err):
		return "", nil, err
	}
	if made, err = runs.Get(ctx, run.Name, metav1.GetOptions{}); err != nil {
		return "", nil, err
	}
	if !metav1.IsControlledBy(made, d) || made.Annotations[v1alpha1.AnnotationScheduledAt] != order.Annotations[v1alpha1.AnnotationScheduledAt] {
		return "", errNameTaken, nil
	}
	return string(made.UID), nil, nil
}

var errNameTaken = errors.New("a DagRun of another maker has its name")

// scheduledRun is the DagRun of a due time.
func scheduledRun(d *v1alpha1.DAG, run store.ScheduledRun) *v1alpha1.DagRun {
	controls := true
	order := &v1alpha1.DagRun{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: run.Name,
			Labels:      map[string]string{v1alpha1.LabelScheduled: "true"},
			Annotations: map[string]string{v1alpha1.AnnotationDAG: d.Name, v1alpha1.AnnotationScheduledAt: run.DueAt.UTC().Format(time.RFC3339)},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "DAG", Name: d.Name, UID: d.UID, Controller: &controls,
			}},
		},
		Spec: v1alpha1.DagRunSpec{DagName: d.Name},
	}
	if len(d.Name) <= maxNameBytes {
		order.Labels[v1alpha1.LabelDAG] = d.Name
	}
	return order
}

// cancelReplaced stops a run that a newer one replaces and keeps its DagRun: it is history.
func (t *term) cancelReplaced(ctx context.Context, d *v1alpha1.DAG, run store.ScheduledRun) error {
	if cached := t.cachedRun(runKey(run.UID)); cached != nil && cached.Spec.Cancel {
		return nil
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": run.UID}, "spec": map[string]any{"cancel": true}})
	if err != nil {
		return fmt.Errorf("encoding a cancellation: %w", err)
	}
	_, err = t.Client.KontrolerV1alpha1().DagRuns(d.Namespace).Patch(ctx, run.Name, types.MergePatchType, body, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it is gone, or another one has its name
	}
	if err != nil {
		return fmt.Errorf("cancelling DagRun %s/%s: %w", d.Namespace, run.Name, err)
	}
	fault.Point("tick-replaced")
	return nil
}

// showSchedule patches a DAG's last and next due time, when the cache shows others.
func (t *term) showSchedule(ctx context.Context, name cache.ObjectName) error {
	t.makeWay(ctx, t.shows.Len)
	d, there := t.dagSource.get(name)
	is, set := t.timers.get(name)
	if !there || !set || is.uid != d.UID || d.Status.Controller != t.ID {
		return nil
	}
	same := func(shown *metav1.Time, is time.Time) bool {
		return shown == nil && is.IsZero() || shown != nil && !is.IsZero() && shown.Unix() == is.Unix()
	}
	value := func(is time.Time) any {
		if is.IsZero() {
			return nil
		}
		return metav1.NewTime(is)
	}
	if same(d.Status.LastScheduleTime, is.last) && same(d.Status.NextScheduleTime, is.next) {
		return nil
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": d.UID}, "status": map[string]any{
		"lastScheduleTime": value(is.last), "nextScheduleTime": value(is.next)}})
	if err != nil {
		return fmt.Errorf("encoding a schedule's times: %w", err)
	}
	_, err = t.Client.KontrolerV1alpha1().DAGs(d.Namespace).Patch(ctx, d.Name, types.MergePatchType, body, metav1.PatchOptions{}, "status")
	if err = ignoreGone(err); err != nil {
		return fmt.Errorf("patching the schedule of DAG %s: %w", name, err)
	}
	return nil
}

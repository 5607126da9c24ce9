package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/kube"
	"kontroler/controller/names"
	"kontroler/controller/queue"
	"kontroler/controller/schedule"
	"kontroler/controller/text"
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

func (t *term) syncSchedule(ctx context.Context, name cache.ObjectName) error {
	return t.noteDAG(ctx, name, v1alpha1.DAGScheduled, t.scheduleTroubles, queue.Guard(name, func() error { return t.reconcileSchedule(ctx, name) }))
}

// reconcileSchedule brings one schedule forward: accounts for what is due, creates what that decided, and sets the timer.
func (t *term) reconcileSchedule(ctx context.Context, name cache.ObjectName) error {
	d, there := t.dagSource.Get(name)
	if !there || d.Status.Controller != t.ID || d.DeletionTimestamp != nil {
		t.timers.drop(name)
		t.refusals.drop(name)
		return t.db.EndSchedule(ctx, name.Namespace, name.Name)
	}
	if d.Status.ObservedGeneration != d.Generation {
		return nil // the DAG's own sync says first whether it is valid; that is seen as a change
	}
	now := t.now()
	set, ok := t.timers.get(name)
	if ok && set.uid == d.UID && set.generation == d.Generation && set.held == held(d) && (set.next.IsZero() || now.Before(set.next)) {
		t.timers.set(name, set) // the clock may have gone back since it was due
		return nil
	}
	t.timers.drop(name)
	if wait := t.refusals.wait(name, now); wait > 0 {
		t.schedules.AddAfter(name, wait)
		return nil
	}
	next, more, err := t.account(ctx, d)
	refusal, refused := errors.AsType[*createRefused](err)
	switch {
	case refused:
		return t.scheduleRefused(ctx, name, refusal)
	case err != nil:
		return err
	case more:
		t.schedules.Add(name)
		return nil
	}
	if next == nil {
		return nil // it has no schedule, or no row yet
	}
	t.timers.set(name, *next)
	t.shows.Add(name)
	return t.scheduleAccepted(ctx, name)
}

// account decides, commits, acts. more reports that due times are left; no timer, that the DAG has no schedule. Nothing
// new is decided while a DagRun that was decided before has not been created: a due time waits for the API server in no
// other way than as part of a gap.
func (t *term) account(ctx context.Context, d *v1alpha1.DAG) (next *timer, more bool, err error) {
	was, found, err := t.db.Schedule(ctx, d.Namespace, d.Name)
	if err != nil || !found || was.DAGUID == "" && d.Spec.Schedule == "" {
		return nil, false, err
	}
	runs, settled, err := t.scheduledRuns(ctx, d, was)
	if err != nil {
		return nil, false, err
	}
	if unmade, err := t.findUnmade(ctx, d, was.DAGID, runs); err != nil {
		return nil, false, err
	} else if len(unmade) > 0 {
		return nil, true, t.rewind(ctx, was, unmade)
	}
	p := planSchedule(d, was, runs, settled, t.Since, t.now())
	if t.refusals.has(cache.MetaObjectToName(d)) {
		p.tryOne()
	}
	is := p.Is
	if p.changed() {
		if is, err = t.db.Account(ctx, p.Accounting); err != nil {
			return nil, false, fmt.Errorf("accounting for the schedule of DAG %s/%s: %w", d.Namespace, d.Name, err)
		}
		fault.Point("tick-committed")
	}
	if err := t.followTicks(ctx, d, is, p.runs); err != nil {
		return nil, false, err
	}
	return &timer{uid: d.UID, generation: d.Generation, held: held(d), last: is.LastDue, next: p.next}, p.more, nil
}

// findUnmade looks for the DagRuns that were decided earlier and are not known to exist. It notes those that do and
// returns the due times of the others.
func (t *term) findUnmade(ctx context.Context, d *v1alpha1.DAG, dagID int64, runs []store.ScheduledRun) (unmade []time.Time, err error) {
	for i := range runs {
		run := &runs[i]
		if run.UID != "" {
			continue
		}
		uid := run.RowUID
		if uid == "" {
			found, err := t.Client.KontrolerV1alpha1().DagRuns(d.Namespace).Get(ctx, run.Name, metav1.GetOptions{})
			switch {
			case err == nil && isScheduledRun(found, d, *run):
				uid = string(found.UID)
			case err == nil || apierrors.IsNotFound(err):
				unmade = append(unmade, run.DueAt)
				continue
			default:
				return nil, fmt.Errorf("reading scheduled DagRun %s/%s: %w", d.Namespace, run.Name, err)
			}
		}
		if err := t.db.ScheduledRunCreated(ctx, dagID, run.DueAt, uid); err != nil {
			return nil, err
		}
		run.UID = uid
		t.retireByUID(queue.RunKey(uid)) // it may have ended, and waited for this
	}
	return unmade, nil
}

// rewind takes due times back whose DagRuns were not created, so that they are decided anew.
func (t *term) rewind(ctx context.Context, was store.Schedule, unmade []time.Time) error {
	if err := rewind(ctx, t.db, was, unmade); err != nil {
		return err
	}
	fault.Point("tick-rewound")
	return nil
}

func rewind(ctx context.Context, db *store.Leader, was store.Schedule, unmade []time.Time) error {
	parsed, err := schedule.Parse(was.Expression, was.TimeZone)
	if err != nil {
		return fmt.Errorf("parsing the stored schedule %q: %w", was.Expression, err)
	}
	return db.RewindSchedule(ctx, store.Rewind{Was: was, Unmade: unmade, Before: func(due time.Time) time.Time {
		return schedule.Before(parsed, due)
	}})
}

// passOver accounts for what has been due while a DAG that this controller kept before was not its own. It comes before
// the claim: the schedule begins at that moment.
func passOver(ctx context.Context, db *store.Leader, d *v1alpha1.DAG, since, now time.Time) error {
	for more := true; more; {
		was, found, err := db.Schedule(ctx, d.Namespace, d.Name)
		if err != nil || !found || was.DAGUID != string(d.UID) || was.Expression == "" {
			return err
		}
		was.Held = schedule.Unknown
		p := planSchedule(d, was, nil, nil, since, now)
		if _, err := db.Account(ctx, p.Accounting); err != nil {
			return fmt.Errorf("accounting for the schedule of DAG %s/%s before its claim: %w", d.Namespace, d.Name, err)
		}
		more = p.more
	}
	return nil
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

// tryOne leaves all due times after the first that runs for another plan: while the API server refuses DagRuns, one at a
// time is pending.
func (p *schedulePlan) tryOne() {
	for i, tick := range p.Ticks {
		if tick.RunName == "" || i == len(p.Ticks)-1 {
			continue
		}
		later := len(p.Ticks) - 1 - i // all of them run, and are the last of the runs
		p.Ticks, p.runs = p.Ticks[:i+1], p.runs[:len(p.runs)-later]
		p.Is.Cursor, p.more = tick.To, true
		return
	}
}

// scheduleState is what to decide from: the row as it is to be, and the schedule that governed until now.
func scheduleState(d *v1alpha1.DAG, was store.Schedule, since, now time.Time) (is store.Schedule, state schedule.State) {
	is = was
	is.DAGUID = string(d.UID)
	switch begins := beginning(d, since, now); {
	case was.DAGUID == "":
		is.Expression, is.TimeZone = dag.SplitSchedule(&d.Spec)
		is.Held, is.Cursor = held(d), begins
	case was.DAGUID != is.DAGUID && was.Cursor.Before(begins):
		is.Cursor = begins // made again under its name: what was due while there was none is nobody's
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
	if parsed, err := schedule.Parse(is.Expression, is.TimeZone); err == nil {
		state.Schedule = parsed // else the DAG is not valid: nothing is due until it is
	}
	return is, state
}

// beginning is when a schedule begins that this controller sees for the first time: with its DAG, if it was there from
// the first and no other controller can have kept it. since is when this controller's database began.
func beginning(d *v1alpha1.DAG, since, now time.Time) time.Time {
	created := d.CreationTimestamp.UTC()
	if d.Generation == 1 && created.After(since) && d.Status.NextScheduleTime == nil && d.Status.LastScheduleTime == nil {
		return earlier(created, now) // the API server's clock may be ahead
	}
	return now
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
			ticks[i].RunName = names.ScheduledRun(d.Name, string(d.UID), tick.From)
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
			is := t.cachedRun(queue.RunKey(run.UID))
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

// followTicks creates the DagRuns of new ticks, oldest first, and then cancels those that they replace. A DagRun that the
// API server refuses is a *createRefused: it and all after it are taken back.
func (t *term) followTicks(ctx context.Context, d *v1alpha1.DAG, is store.Schedule, runs []store.ScheduledRun) error {
	for i, run := range runs {
		if run.UID != "" {
			continue
		}
		uid, err := t.makeScheduled(ctx, d, is.DAGID, run)
		if _, refused := errors.AsType[*createRefused](err); refused {
			var unmade []time.Time
			for _, later := range runs[i:] {
				if later.UID == "" {
					unmade = append(unmade, later.DueAt)
				}
			}
			return errors.Join(err, t.rewind(ctx, is, unmade))
		}
		if err != nil {
			return err
		}
		if uid != "" { // else it can never be made
			t.retireByUID(queue.RunKey(uid)) // it may have ended, and waited for this
		}
	}
	for _, run := range runs {
		if run.Replaced && run.UID != "" {
			if err := t.cancelReplaced(ctx, d, run); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeScheduled creates the DagRun of a tick and notes its UID; or that it can never be created: then there is no UID.
func (t *term) makeScheduled(ctx context.Context, d *v1alpha1.DAG, dagID int64, run store.ScheduledRun) (uid string, err error) {
	uid, err = t.createScheduled(ctx, d, run)
	if never, ok := errors.AsType[*neverCreated](err); ok {
		t.Log.Warn("scheduled DagRun cannot be created", "namespace", d.Namespace, "dag", d.Name, "run", run.Name, "due", run.DueAt, "error", never)
		t.events.Event(d, corev1.EventTypeWarning, "ScheduleMissed", text.Shorten(fmt.Sprintf("DagRun %s, due at %s: %v", run.Name, run.DueAt.Format(time.RFC3339), never), 1024))
		return "", t.db.ScheduledRunDropped(ctx, dagID, run.DueAt)
	}
	if err != nil {
		return "", fmt.Errorf("creating scheduled DagRun %s/%s: %w", d.Namespace, run.Name, err)
	}
	fault.Point("tick-created")
	return uid, t.db.ScheduledRunCreated(ctx, dagID, run.DueAt, uid)
}

// createRefused is the API server's answer to a DagRun that it may accept another time: a quota is full, a webhook denies
// it or does not answer, a permission is missing.
type createRefused struct{ error }

// neverCreated is why a DagRun can never be created.
type neverCreated struct{ error }

func (e *neverCreated) Unwrap() error { return e.error }

// createScheduled creates the DagRun of a due time, or finds it there. Its errors are a *createRefused, a *neverCreated,
// or a failure that says nothing of the DagRun.
func (t *term) createScheduled(ctx context.Context, d *v1alpha1.DAG, run store.ScheduledRun) (uid string, err error) {
	runs := t.Client.KontrolerV1alpha1().DagRuns(d.Namespace)
	fault.Point("tick-create")
	created, err := runs.Create(ctx, scheduledRun(d, run), metav1.CreateOptions{})
	switch {
	case err == nil:
		return string(created.UID), nil
	case apierrors.IsInvalid(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return "", &neverCreated{err}
	case apierrors.IsAlreadyExists(err):
	case kube.IsRefusal(err):
		// Without the name, which each due time has its own of, the text stays the same.
		return "", &createRefused{errors.New(strings.ReplaceAll(err.Error(), strconv.Quote(run.Name)+" ", ""))}
	default:
		return "", err
	}
	if created, err = runs.Get(ctx, run.Name, metav1.GetOptions{}); err != nil {
		return "", err
	}
	if !isScheduledRun(created, d, run) {
		return "", &neverCreated{errNameTaken}
	}
	return string(created.UID), nil
}

var errNameTaken = errors.New("a DagRun of another maker has its name")

// isScheduledRun reports that a DagRun is the one of a due time.
func isScheduledRun(found *v1alpha1.DagRun, d *v1alpha1.DAG, run store.ScheduledRun) bool {
	return metav1.IsControlledBy(found, d) && found.Annotations[v1alpha1.AnnotationScheduledAt] == run.DueAt.UTC().Format(time.RFC3339)
}

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
	if len(d.Name) <= validation.DNS1123LabelMaxLength {
		order.Labels[v1alpha1.LabelDAG] = d.Name
	}
	return order
}

// cancelReplaced stops a run that a newer one replaces and keeps its DagRun: it is history.
func (t *term) cancelReplaced(ctx context.Context, d *v1alpha1.DAG, run store.ScheduledRun) error {
	if cached := t.cachedRun(queue.RunKey(run.UID)); cached != nil && cached.Spec.Cancel {
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
	d, there := t.dagSource.Get(name)
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
	if err = kube.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("patching the schedule of DAG %s: %w", name, err)
	}
	return nil
}

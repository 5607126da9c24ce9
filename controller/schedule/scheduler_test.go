package schedule

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/queue"
)

func TestChangedEnqueues(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.DAG) // nil: the DAG is new in the cache
		want   bool
	}{
		"a DAG that is new in the cache":     {nil, true},
		"an unchanged DAG":                   {func(*v1alpha1.DAG) {}, false},
		"a DAG whose due times were patched": {func(d *v1alpha1.DAG) { d.Status.NextScheduleTime = nil }, false},
		"a DAG that was created again":       {func(d *v1alpha1.DAG) { d.UID = "other" }, true},
		"a DAG whose spec changed":           {func(d *v1alpha1.DAG) { d.Generation++ }, true},
		"a DAG whose spec was observed":      {func(d *v1alpha1.DAG) { d.Status.ObservedGeneration++ }, true},
		"a DAG that was claimed":             {func(d *v1alpha1.DAG) { d.Status.Controller = "other" }, true},
		"a DAG that a DagTask made invalid":  {func(d *v1alpha1.DAG) { setValid(d, false) }, true},
		"a DAG that stays valid":             {func(d *v1alpha1.DAG) { setValid(d, true) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			old := newDAG("daily", "0 2 * * *")
			old.Status.NextScheduleTime = &metav1.Time{Time: hour(2)}
			f, d := newFixture(t, nil, old), old.DeepCopy()
			if c.change == nil {
				old = nil
			} else {
				c.change(d)
			}
			f.Changed(old, d)
			if got := len(f.waiting()) > 0; got != c.want {
				t.Errorf("enqueued: %t, want %t", got, c.want)
			}
		})
	}
}

// everyMinute makes a fixture with a DAG that is due every minute, first in a minute.
func everyMinute(t *testing.T) (*fixture, *v1alpha1.DAG, func() []string) {
	t.Helper()
	db, leader := newLeader(t)
	d := newDAG("tick", "* * * * *")
	f := newFixture(t, leader, d)
	d.CreationTimestamp = metav1.NewTime(f.now)
	f.save(d)
	f.must(f.syncAll(d))
	return f, d, func() []string { return outcomes(t, db, d.Name) }
}

func TestDueTimeBecomesADagRun(t *testing.T) {
	f, d, ledger := everyMinute(t)
	f.must(f.syncAll(d)) // not due
	if len(f.api.runs) > 0 || ledger() != nil {
		t.Fatalf("before the first due time there are DagRuns %v, ticks %v", f.api.names(), ledger())
	}
	f.now = f.now.Add(time.Minute)
	f.must(f.syncAll(d))
	if diff := cmp.Diff([]string{"1 Ran"}, ledger()); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	runs := f.api.names()
	if len(runs) != 1 {
		t.Fatalf("DagRuns %v, want one", runs)
	}
	if diff := cmp.Diff([]string{string(f.api.runs[runs[0]].UID)}, f.retired); diff != "" {
		t.Errorf("DagRuns that may be deleted once they ended (-want +got):\n%s", diff)
	}
	current, _ := f.timers.get(cache.MetaObjectToName(d))
	if !current.lastDue.Equal(f.now) || !current.nextDue.Equal(f.now.Add(time.Minute)) {
		t.Errorf("timer %+v at %s", current, f.now)
	}
}

func TestRefusedDagRunIsRetriedLater(t *testing.T) {
	f, d, ledger := everyMinute(t)
	f.api.fail = func(request string) error {
		if strings.HasPrefix(request, "create") {
			return apierrors.NewForbidden(runResource, strings.Fields(request)[2], errors.New("exceeded quota: none"))
		}
		return nil
	}
	for range 3 {
		f.now = f.now.Add(time.Minute)
		f.must(f.syncAll(d))
		f.must(f.syncAll(d)) // too early for the next try
	}
	if diff := cmp.Diff([]time.Duration{1e9, 1e9, 2e9, 2e9, 4e9, 4e9}, f.delayed.delays); diff != "" {
		t.Errorf("delays (-want +got):\n%s", diff)
	}
	if ledger := ledger(); len(ledger) > 1 || len(f.api.runs) > 0 {
		t.Errorf("while DagRuns are refused the ledger is %v, and there are %v", ledger, f.api.names())
	}
	want := &metav1.Condition{
		Status: metav1.ConditionFalse, Reason: "CreateRefused",
		Message: "the API server refuses the DagRun that is due: " +
			"dagruns.kontroler.greedykomodo is forbidden: exceeded quota: none",
	}
	if diff := cmp.Diff(want, f.condition); diff != "" {
		t.Errorf("condition (-want +got):\n%s", diff)
	}
	f.api.fail = func(string) error { return nil }
	f.now = f.now.Add(maxRetry)
	f.must(f.syncAll(d))
	if diff := cmp.Diff([]string{"2 Missed", "1 Ran"}, ledger()); diff != "" {
		t.Errorf("ledger after the refusals (-want +got):\n%s", diff)
	}
	if f.condition != nil || f.refusals.has(cache.MetaObjectToName(d)) {
		t.Errorf("after an accepted DagRun the condition is %+v", f.condition)
	}
}

// If the condition of a refusal cannot be removed after an accepted create, the next sync removes it.
func TestConditionOfARefusalIsRemovedLater(t *testing.T) {
	f, d, _ := everyMinute(t)
	f.refusals.add(cache.MetaObjectToName(d), f.now)
	f.now = f.now.Add(time.Minute)
	f.setError = errors.New("the object has changed")
	if err := f.syncAll(d); !errors.Is(err, f.setError) {
		t.Fatalf("the error of a condition that cannot be set is %v", err)
	}
	f.setError, f.condition = nil, &metav1.Condition{}
	f.must(f.syncAll(d))
	if f.condition != nil || f.refusals.has(cache.MetaObjectToName(d)) {
		t.Errorf("the schedule still counts as refused")
	}
}

func TestDagRunThatCannotBeCreatedIsMissed(t *testing.T) {
	f, d, ledger := everyMinute(t)
	f.api.fail = func(request string) error {
		if strings.HasPrefix(request, "create") {
			return apierrors.NewInvalid(runKind, "tick", field.ErrorList{field.Required(field.NewPath("spec"), "")})
		}
		return nil
	}
	f.now = f.now.Add(time.Minute)
	f.must(f.syncAll(d))
	if diff := cmp.Diff([]string{"1 Missed"}, ledger()); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	event := <-f.events.Events
	const begin = "Warning ScheduleMissed DagRun tick-"
	const end = `, due at 2026-03-01T00:01:00Z, cannot be created: ` +
		`DagRun.kontroler.greedykomodo "tick" is invalid: spec: Required value`
	if !strings.HasPrefix(event, begin) || !strings.HasSuffix(event, end) {
		t.Errorf("Event %q, want %s…%s", event, begin, end)
	}
}

// A run that cannot be created replaces none.
func TestDagRunThatCannotBeCreatedReplacesNone(t *testing.T) {
	f, d, ledger := everyMinute(t)
	d.Spec.ConcurrencyPolicy = v1alpha1.ReplaceConcurrent
	f.now = f.now.Add(time.Minute)
	f.must(f.syncAll(d))
	for _, run := range f.api.runs {
		f.cached[queue.RunKey(run.UID)] = run
	}
	f.api.fail = func(request string) error {
		if strings.HasPrefix(request, "create") {
			return apierrors.NewInvalid(runKind, "tick", field.ErrorList{field.Required(field.NewPath("spec"), "")})
		}
		return nil
	}
	f.api.requests = nil
	for range 2 { // in the second sync the ledger decides
		f.now = f.now.Add(time.Minute)
		f.must(f.syncAll(d))
	}
	if diff := cmp.Diff([]string{"1 Ran", "1 Missed", "1 Missed"}, ledger()); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	for _, request := range f.api.requests {
		if strings.HasPrefix(request, "patch dagrun") {
			t.Errorf("a run is cancelled: %s", request)
		}
	}
}

// A leader that dies between the commit and the create leaves a tick without a DagRun. The next leader takes the tick
// back, and decides again.
func TestDagRunThatWasNotCreatedIsDecidedAgain(t *testing.T) {
	f, d, ledger := everyMinute(t)
	f.api.fail = func(request string) error {
		if strings.HasPrefix(request, "create") {
			return errNoAnswer
		}
		return nil
	}
	f.now = f.now.Add(time.Minute)
	if err := f.syncAll(d); !errors.Is(err, errNoAnswer) {
		t.Fatalf("error %v, want no answer", err)
	}
	if diff := cmp.Diff([]string{"1 Ran"}, ledger()); diff != "" {
		t.Errorf("ledger after the commit (-want +got):\n%s", diff)
	}
	f.lead(f.leader)
	f.api.fail = func(string) error { return nil }
	f.now = f.now.Add(5 * time.Minute)
	f.must(f.syncAll(d))
	if diff := cmp.Diff([]string{"5 Missed", "1 Ran"}, ledger()); diff != "" {
		t.Errorf("ledger of the next leader (-want +got):\n%s", diff)
	}
}

// A create that fails again and again fails each sync, so that the syncs back off and the DAG says why.
func TestEachSyncWithoutADagRunFails(t *testing.T) {
	f, d, ledger := everyMinute(t)
	f.api.fail = func(request string) error {
		if strings.HasPrefix(request, "create") {
			return apierrors.NewConflict(runResource, strings.Fields(request)[2], errors.New("not now"))
		}
		return nil
	}
	f.now = f.now.Add(time.Minute)
	for n := range 4 {
		if err := f.syncAll(d); !apierrors.IsConflict(err) {
			t.Errorf("sync %d: error %v, want the conflict", n+1, err)
		}
	}
	f.api.fail = func(string) error { return nil }
	f.must(f.syncAll(d))
	if diff := cmp.Diff([]string{"1 Ran"}, ledger()); diff != "" {
		t.Errorf("ledger afterwards (-want +got):\n%s", diff)
	}
}

// When a schedule ends, a decided due time is Ran if its DagRun exists, and else Missed. No more are accounted for.
func TestScheduleEndsWith(t *testing.T) {
	for name, part := range map[string]func(*fixture, *v1alpha1.DAG){
		"a DAG that is gone":          func(f *fixture, d *v1alpha1.DAG) { clear(f.dags) },
		"a DAG that is being deleted": func(_ *fixture, d *v1alpha1.DAG) { d.DeletionTimestamp = &metav1.Time{} },
		"a DAG of another controller": func(_ *fixture, d *v1alpha1.DAG) { d.Status.Controller = "other" },
	} {
		for _, outcome := range []string{"Missed", "Ran"} {
			t.Run(name+" after a due time that is "+outcome, func(t *testing.T) {
				f, d, ledger := everyMinute(t)
				failing := &f.api.fail // the DagRun is not created
				if outcome == "Ran" {
					failing = &f.api.lose // the DagRun is created, and the answer is lost
				}
				pass := *failing
				*failing = func(string) error { return errNoAnswer }
				f.now = f.now.Add(time.Minute)
				if err := f.syncAll(d); !errors.Is(err, errNoAnswer) {
					t.Fatalf("error %v, want no answer", err)
				}
				*failing = pass
				part(f, d)
				f.now = f.now.Add(time.Minute)
				f.must(f.syncAll(d))
				if diff := cmp.Diff([]string{"1 " + outcome}, ledger()); diff != "" {
					t.Errorf("ledger (-want +got):\n%s", diff)
				}
				if _, isSet := f.timers.get(cache.MetaObjectToName(d)); isSet {
					t.Error("its timer is set")
				}
			})
		}
	}
}

func TestPassOver(t *testing.T) {
	f, d, ledger := everyMinute(t)
	f.now = f.now.Add(3 * time.Minute)
	f.must(f.PassOver(t.Context(), d))
	if diff := cmp.Diff([]string{"3 Unknown"}, ledger()); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	f.timers.drop(cache.MetaObjectToName(d))
	f.now = f.now.Add(time.Minute)
	f.must(f.syncAll(d))
	if diff := cmp.Diff([]string{"3 Unknown", "1 Ran"}, ledger()); diff != "" {
		t.Errorf("ledger after the claim (-want +got):\n%s", diff)
	}
	other := newDAG("other", "* * * * *")
	f.must(f.PassOver(t.Context(), other)) // it has no row
}

// A spec that its DAG's sync has not compiled yet may be invalid.
func TestUnobservedSpecWaits(t *testing.T) {
	f, d, ledger := everyMinute(t)
	d.Generation++
	f.now = f.now.Add(time.Minute)
	f.must(f.syncAll(d))
	if ledger() != nil {
		t.Errorf("ledger %v before the spec was observed", ledger())
	}
}

func TestSyncStatus(t *testing.T) {
	last, next := hour(1), hour(2)
	shown := func(at time.Time) *metav1.Time { return &metav1.Time{Time: at} }
	prefix := `patch dag daily ` +
		`{"metadata":{"resourceVersion":"7"},"status":`
	for name, c := range map[string]struct {
		timer  *timer
		change func(*v1alpha1.DAG)
		want   []string
	}{
		"outdated due times are patched": {
			timer: &timer{lastDue: last, nextDue: next},
			want: []string{
				prefix + `{"lastScheduleTime":"2025-03-01T01:00:00Z","nextScheduleTime":"2025-03-01T02:00:00Z"}}`,
			},
		},
		"due times that there are none of are removed": {
			timer:  &timer{},
			change: func(d *v1alpha1.DAG) { d.Status.NextScheduleTime = shown(next) },
			want:   []string{prefix + `{"lastScheduleTime":null,"nextScheduleTime":null}}`},
		},
		"what the status shows is not patched": {
			timer: &timer{lastDue: last.Add(time.Millisecond), nextDue: next},
			change: func(d *v1alpha1.DAG) {
				d.Status.LastScheduleTime, d.Status.NextScheduleTime = shown(last), shown(next)
			},
		},
		"a DAG without a timer is left alone": {},
		"a DAG that was created again is left alone": {
			timer: &timer{lastDue: last}, change: func(d *v1alpha1.DAG) { d.UID = "other" },
		},
		"another controller's DAG is left alone": {
			timer: &timer{lastDue: last}, change: func(d *v1alpha1.DAG) { d.Status.Controller = "other" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDAG("daily", "0 2 * * *")
			d.ResourceVersion = "7"
			f := newFixture(t, nil, d)
			if c.timer != nil {
				c.timer.uid = d.UID
				f.timers.set(cache.MetaObjectToName(d), *c.timer)
			}
			if c.change != nil {
				c.change(d)
			}
			f.must(f.syncStatus(t.Context(), cache.MetaObjectToName(d)))
			if diff := cmp.Diff(c.want, f.api.requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// The workers sync what is enqueued and what is due, and return after ShutDown.
func TestWorkers(t *testing.T) {
	_, leader := newLeader(t)
	d := newDAG("tick", "@every 1s")
	f := newFixture(t, leader, d)
	d.CreationTimestamp = metav1.NewTime(f.now)
	f.save(d)
	f.now = f.now.Add(time.Second)
	synced, shown := make(chan error, 100), make(chan struct{}, 100)
	f.cfg.Synced = func(_ context.Context, _ cache.ObjectName, err error) { synced <- err }
	f.api.fail = func(request string) error {
		if strings.HasPrefix(request, "patch dag ") {
			shown <- struct{}{}
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	var workers, loop sync.WaitGroup
	f.Start(ctx, func(n int, work func()) {
		for range n {
			workers.Go(work)
		}
	})
	f.Enqueue(cache.MetaObjectToName(d))
	f.must(<-synced)
	<-shown
	f.timers.set(cache.MetaObjectToName(d), timer{uid: d.UID, nextDue: f.now})
	loop.Go(func() { f.Scheduler.Run(ctx) })
	f.must(<-synced)
	<-shown
	f.ShutDown()
	workers.Wait()
	cancel()
	loop.Wait()
}

// A sync that panics is an error of its schedule.
func TestSyncReportsPanics(t *testing.T) {
	f := newFixture(t, nil, newDAG("daily", "0 2 * * *"))
	var reported error
	f.cfg.Synced = func(_ context.Context, _ cache.ObjectName, err error) { reported = err }
	f.cfg.CachedRun = func(queue.RunKey) *v1alpha1.DagRun { return nil }
	f.cfg.CachedDAG = func(cache.ObjectName) (*v1alpha1.DAG, bool) { panic("a bug") }
	err := f.sync(t.Context(), cache.NewObjectName(namespace, "daily"))
	if err == nil || !errors.Is(reported, err) || !strings.Contains(err.Error(), "a bug") {
		t.Errorf("error %v, reported %v", err, reported)
	}
}

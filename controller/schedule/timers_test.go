package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/queue"
)

func TestTimersAlarm(t *testing.T) {
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	minute := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Minute) }
	dag := func(n int) cache.ObjectName { return cache.NewObjectName("default", fmt.Sprint("dag-", n)) }
	timers := newTimers()
	for _, n := range []int{5, 1, 4, 2, 3} {
		timers.set(dag(n), timer{nextDue: minute(n)})
	}
	timers.set(dag(6), timer{})                   // never due
	timers.set(dag(1), timer{nextDue: minute(2)}) // later than before
	timers.drop(dag(2))
	for _, step := range []struct {
		minute int
		want   []cache.ObjectName
		wait   time.Duration
	}{
		{1, nil, time.Minute},
		{3, []cache.ObjectName{dag(1), dag(3)}, time.Minute},
		{3, nil, time.Minute}, // each alarm is given once
		{2, nil, 2 * time.Minute},
		{9, []cache.ObjectName{dag(4), dag(5)}, queue.MaxSleep},
		{9, nil, queue.MaxSleep},
	} {
		got, wait := timers.alarms.Due(minute(step.minute))
		if diff := cmp.Diff(step.want, got); diff != "" || wait != step.wait {
			t.Errorf("due at minute %d, then in %s, want %s (-want +got):\n%s", step.minute, wait, step.wait, diff)
		}
	}
	if current, isSet := timers.get(dag(5)); !isSet || !current.nextDue.Equal(minute(5)) {
		t.Errorf("after its alarm a timer is %+v, set: %t", current, isSet)
	}
	if _, isSet := timers.get(dag(2)); isSet {
		t.Error("a timer that was dropped is set")
	}
}

func TestTimerHoldsForOneDAG(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.DAG)
		want   bool
	}{
		"an unchanged DAG keeps its timer":     {func(*v1alpha1.DAG) {}, true},
		"a status patch keeps the timer":       {func(d *v1alpha1.DAG) { d.Status.Version++ }, true},
		"a new generation ends the timer":      {func(d *v1alpha1.DAG) { d.Generation++ }, false},
		"a DAG created again has no timer":     {func(d *v1alpha1.DAG) { d.UID = "other" }, false},
		"a DAG that became invalid has none":   {func(d *v1alpha1.DAG) { setValid(d, false) }, false},
		"a DAG that was found valid keeps its": {func(d *v1alpha1.DAG) { setValid(d, true) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDAG("daily", "0 2 * * *")
			set := newTimer(d, time.Time{}, time.Time{})
			c.change(d)
			if got := set.isOf(d); got != c.want {
				t.Errorf("the timer holds: %t, want %t", got, c.want)
			}
		})
	}
}

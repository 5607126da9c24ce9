package controller

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/cache"

	"kontroler/controller/queue"
)

// Timers that are due are told once, the first one first; what is set anew or dropped is not.
func TestTimers(t *testing.T) {
	timers, begin := newTimers(), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	name := func(i int) cache.ObjectName { return cache.NewObjectName("default", fmt.Sprint("dag-", i)) }
	for _, i := range []int{5, 1, 4, 2, 3} {
		timers.set(name(i), timer{next: begin.Add(time.Duration(i) * time.Minute)})
	}
	timers.set(name(6), timer{})                                 // never
	timers.set(name(1), timer{next: begin.Add(2 * time.Minute)}) // later than before
	timers.drop(name(2))
	due := func(minutes int) ([]cache.ObjectName, time.Duration) {
		return timers.alarms.Due(begin.Add(time.Duration(minutes) * time.Minute))
	}
	for _, step := range []struct {
		minutes int
		want    []cache.ObjectName
		wait    time.Duration
	}{
		{1, nil, time.Minute},
		{3, []cache.ObjectName{name(1), name(3)}, time.Minute},
		{3, nil, time.Minute},
		{2, nil, 2 * time.Minute}, // the clock went back
		{9, []cache.ObjectName{name(4), name(5)}, queue.MaxSleep},
		{9, nil, queue.MaxSleep},
	} {
		got, wait := due(step.minutes)
		if diff := cmp.Diff(step.want, got); diff != "" || wait != step.wait {
			t.Errorf("at minute %d, then %s (-want +got):\n%s", step.minutes, wait, diff)
		}
	}
	if what, ok := timers.get(name(5)); !ok || !what.next.Equal(begin.Add(5*time.Minute)) {
		t.Errorf("a timer that was due is %+v", what)
	}
}

// A rush lasts a minute at most, moments without one are a part of it, and another one begins when it was calm for long.
func TestRush(t *testing.T) {
	var r rush
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	for seconds := range 150 {
		is := seconds >= 1 && seconds < 120 && seconds%7 != 0 || seconds >= 135
		want := is && (seconds <= 60 || seconds >= 135)
		if got := r.on(is, at(seconds)); got != want {
			t.Errorf("after %d seconds: %t, want %t", seconds, got, want)
		}
	}
}

package queue

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAlarms(t *testing.T) {
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	a := NewAlarms[string]()
	for key, minutes := range map[string]int{"a": 5, "b": 2, "c": 9, "d": 7} {
		a.Set(key, at(minutes))
	}
	a.Set("a", at(60)) // later: it stays at 5
	a.Set("c", at(3))  // sooner
	a.Drop("b")
	a.Drop("nobody")
	for _, step := range []struct {
		minutes int
		want    []string
		wait    time.Duration
	}{
		{2, nil, time.Minute},
		{3, []string{"c"}, 2 * time.Minute},
		{1, nil, 4 * time.Minute}, // the clock went back
		{8, []string{"a", "d"}, MaxSleep},
		{9, nil, MaxSleep},
	} {
		got, wait := a.Due(at(step.minutes))
		if diff := cmp.Diff(step.want, got); diff != "" || wait != step.wait {
			t.Errorf("at minute %d, then %s (-want +got):\n%s", step.minutes, wait, diff)
		}
	}
	a.Set("a", at(60)) // once it was due it may be set to any time
	if _, wait := a.Due(at(30)); wait != 30*time.Minute {
		t.Errorf("the next one is due after %s", wait)
	}
}

// Keys are handed over when they are due, also one that is set while the watch waits for a later one.
func TestAlarmsWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, due := NewAlarms[string](), make(chan string)
	go a.Watch(ctx, time.Now, func(key string) { due <- key })
	a.Set("far", time.Now().Add(time.Hour))
	a.Set("near", time.Now().Add(50*time.Millisecond))
	a.Set("past", time.Now().Add(-time.Hour))
	for _, want := range []string{"past", "near"} {
		select {
		case got := <-due:
			if got != want {
				t.Errorf("%s is due, want %s", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s is not handed over", want)
		}
	}
}

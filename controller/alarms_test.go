package controller

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAlarms(t *testing.T) {
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	a := newAlarms[string]()
	for key, minutes := range map[string]int{"a": 5, "b": 2, "c": 9, "d": 7} {
		a.set(key, at(minutes))
	}
	a.set("a", at(60)) // later: it stays at 5
	a.set("c", at(3))  // sooner
	a.drop("b")
	a.drop("nobody")
	for _, step := range []struct {
		minutes int
		want    []string
		wait    time.Duration
	}{
		{2, nil, time.Minute},
		{3, []string{"c"}, 2 * time.Minute},
		{1, nil, 4 * time.Minute}, // the clock went back
		{8, []string{"a", "d"}, relook},
		{9, nil, relook},
	} {
		got, wait := a.due(at(step.minutes))
		if diff := cmp.Diff(step.want, got); diff != "" || wait != step.wait {
			t.Errorf("at minute %d, then %s (-want +got):\n%s", step.minutes, wait, diff)
		}
	}
	a.set("a", at(60)) // once it was due it may be set to any time
	if _, wait := a.due(at(30)); wait != 30*time.Minute {
		t.Errorf("the next one is due after %s", wait)
	}
}

// Keys are handed over when they are due, also one that is set while the watch waits for a later one.
func TestAlarmsWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, due := newAlarms[string](), make(chan string)
	go a.watch(ctx, time.Now, func(key string) { due <- key })
	a.set("far", time.Now().Add(time.Hour))
	a.set("near", time.Now().Add(50*time.Millisecond))
	a.set("past", time.Now().Add(-time.Hour))
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

// Runs that end before their deadline leave nothing behind: a year is the longest.
func TestAlarmsOfEndedRuns(t *testing.T) {
	term := &term{
		Controller: &Controller{}, clock: newClock(), wakes: newAlarms[runKey](), slots: newSlots(1, func(runKey) {}),
		workspaces: newWorkspaces(), runs: newQueue[runKey]("runs", NewMetrics()),
	}
	defer term.runs.ShutDown()
	year := time.Now().AddDate(1, 0, 0)
	key := func(i int) runKey { return runKey(fmt.Sprintf("00000000-0000-4000-8000-%012x", i)) }
	for i := range 10_000 {
		term.wakes.set(key(i), year.Add(time.Duration(i%97)*time.Second))
	}
	if n := len(term.wakes.byKey); n != 10_000 {
		t.Fatalf("%d runs have a deadline", n)
	}
	for i := range 10_000 {
		term.settle(key(i*7919%10_000), nil)
	}
	if len(term.wakes.byKey) != 0 || len(term.wakes.queue) != 0 {
		t.Errorf("%d keys and %d alarms are left", len(term.wakes.byKey), len(term.wakes.queue))
	}
}

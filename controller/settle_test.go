package controller

import (
	"fmt"
	"testing"
	"time"

	"kontroler/controller/queue"
)

// Runs that end before their deadline leave nothing behind: a year is the longest.
func TestAlarmsOfEndedRuns(t *testing.T) {
	term := &term{
		Controller: &Controller{}, clock: newClock(), wakes: queue.NewAlarms[queue.RunKey](), slots: queue.NewSlots(1, func(queue.RunKey) {}),
		workspaces: newWorkspaces(), runs: queue.New[queue.RunKey]("runs", NewMetrics()),
	}
	defer term.runs.ShutDown()
	year := time.Now().AddDate(1, 0, 0)
	key := func(i int) queue.RunKey { return queue.RunKey(fmt.Sprintf("00000000-0000-4000-8000-%012x", i)) }
	for i := range 10_000 {
		term.wakes.Set(key(i), year.Add(time.Duration(i%97)*time.Second))
	}
	if n := term.wakes.Len(); n != 10_000 {
		t.Fatalf("%d runs have a deadline", n)
	}
	for i := range 10_000 {
		term.settle(key(i*7919%10_000), nil)
	}
	if n := term.wakes.Len(); n != 0 {
		t.Errorf("%d runs that ended have a deadline", n)
	}
}

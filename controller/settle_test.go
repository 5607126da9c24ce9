package controller

import (
	"fmt"
	"testing"
	"time"

	"kontroler/controller/metrics"
	"kontroler/controller/queue"
)

// Runs that end before their deadline leave nothing behind: a year is the longest.
func TestAlarmsOfEndedRuns(t *testing.T) {
	backlog := newBacklog(&Config{MaxPods: 1, Metrics: metrics.New()})
	defer backlog.queue.ShutDown()
	runs := &runReconciler{core: &core{}, backlog: backlog, workspaces: &workspaces{}}
	year := time.Now().AddDate(1, 0, 0)
	key := func(i int) queue.RunKey { return queue.RunKey(fmt.Sprintf("00000000-0000-4000-8000-%012x", i)) }
	for i := range 10_000 {
		backlog.alarms.Set(key(i), year.Add(time.Duration(i%97)*time.Second))
	}
	if n := backlog.alarms.Len(); n != 10_000 {
		t.Fatalf("%d runs have a deadline", n)
	}
	for i := range 10_000 {
		runs.settle(key(i*7919%10_000), nil)
	}
	if n := backlog.alarms.Len(); n != 0 {
		t.Errorf("%d runs that ended have a deadline", n)
	}
}

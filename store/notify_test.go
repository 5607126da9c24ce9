package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"

	"kontroler/store"
	"kontroler/store/transition"
)

func TestNotify(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0)
	listener := pq.NewListener(f.url, time.Second, time.Second, nil)
	defer listener.Close()
	if err := listener.Listen(store.NotifyChannel); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { f.leader.Notify(ctx) })
	start := time.Now()
	commits := 0
	for ; time.Since(start) < 700*time.Millisecond; commits++ {
		f.mustCommit(run.ID, transition.RunHeld{Reason: "Throttled"})
	}
	most := int(time.Since(start)/(100*time.Millisecond)) + 2
	told := 0
	for isQuiet := false; !isQuiet; {
		select {
		case <-listener.Notify:
			told++
		case <-time.After(time.Second):
			isQuiet = true
		}
	}
	if told > most || told < 2 {
		t.Errorf("%d notifications of %d commits, want 2 to %d", told, commits, most)
	}
	f.mustCommit(run.ID, transition.RunHeld{})
	select {
	case <-listener.Notify:
	case <-time.After(10 * time.Second):
		t.Error("no notification of a commit after a pause")
	}
	cancel()
	wg.Wait()
}

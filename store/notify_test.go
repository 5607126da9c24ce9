package store_test

import (
	"context"
	"strconv"
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
	newest := f.text(`SELECT max(id) FROM kontroler.changes`)
	told, last := 0, 0
	deadline := time.After(10 * time.Second)
	for strconv.Itoa(last) != newest {
		select {
		case n := <-listener.Notify:
			id, err := strconv.Atoi(n.Extra)
			if err != nil || id <= last {
				t.Errorf("notified of %q after %d", n.Extra, last)
			}
			told, last = told+1, id
		case <-deadline:
			t.Fatalf("no notification of change %s, the last was of %d", newest, last)
		}
	}
	if most := int(time.Since(start)/(100*time.Millisecond)) + 1; told > most || told < 2 {
		t.Errorf("%d notifications of %d commits, want 2 to %d", told, commits, most)
	}
	cancel()
	wg.Wait()
}

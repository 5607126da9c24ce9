package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/tools/cache"

	"kontroler/controller/queue"
	"kontroler/store"
)

// depths are the depths that queues have reported.
type depths map[string]int

func (d depths) SyncDone(string, time.Duration, error) {}
func (d depths) QueueDepth(queue string, waiting int)  { d[queue] = waiting }

type noMetrics struct{}

func (noMetrics) SyncDone(string, time.Duration, error) {}
func (noMetrics) QueueDepth(string, int)                {}

// The process may go on as a standby. What its queues held is counted by the next leader.
func TestQueueThatHasShutDownReportsNoKeys(t *testing.T) {
	reported := depths{"runs": -1}
	q := queue.New("runs", reported, func(int) string { return "" })
	q.Add(1)
	q.Add(2)
	q.Work(t.Context(), func(context.Context, int) error { q.ShutDown(); return nil }, func(err error) { t.Error(err) })
	if reported["runs"] != 0 {
		t.Errorf("the queue reports %d keys", reported["runs"])
	}
}

// A database that answers and cannot write is not seen by the ping of package leader. Only the callers can log it.
func TestQueueReportsAnUnavailableDatabase(t *testing.T) {
	q := queue.New("runs", depths{}, func(int) string { return "" })
	q.Add(1)
	var reported []error
	q.Work(t.Context(), func(context.Context, int) error {
		return store.ErrUnavailable
	}, func(err error) { reported = append(reported, err); q.ShutDown() })
	if len(reported) != 1 || !store.IsUnavailable(reported[0]) {
		t.Errorf("reported %v", reported)
	}
}

// Runs whose creates fail are retried with backoff, however few slots there are and however long a create takes. A sync
// that finds no slot succeeds and sends nothing.
func TestBackoffOfRunsWithoutSlots(t *testing.T) {
	const perMinute = 15 // retries of a run
	for _, free := range []int{0, 2} {
		for _, runs := range []int{1, 2, 30} {
			for _, took := range []time.Duration{time.Millisecond, 100 * time.Millisecond} {
				t.Run(fmt.Sprintf("%d free slots, %d runs, %v", free, runs, took), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						got := createsInAMinute(t, free, runs, took)
						if most := perMinute * runs * max(1, free); got > most {
							t.Errorf("%d creates, want at most %d", got, most)
						}
					})
				})
			}
		}
	}
}

// createsInAMinute counts the creates of runs with two tasks. All creates fail. Another namespace has all slots but the
// free ones.
func createsInAMinute(t *testing.T, free, runs int, took time.Duration) int {
	var sent atomic.Int32
	q := queue.New("runs", noMetrics{}, func(queue.RunKey) string { return "b" })
	slots := queue.NewSlots(1+free, 8, func(key queue.RunKey) { q.Add(key) })
	slots.Seen(cache.NewObjectName("a", "pod"))
	sync := func(_ context.Context, key queue.RunKey) error {
		time.Sleep(5 * time.Millisecond) // reading and writing the database
		grant := slots.Take("b", key, 2)
		defer grant.Settle()
		if n := grant.Remaining(); n > 0 {
			sent.Add(int32(n))
			time.Sleep(took)
			return errors.New("connection refused")
		}
		slots.Wait("b", key)
		q.KeepBackoff(key)
		return nil
	}
	for range 16 {
		go q.Work(t.Context(), sync, func(error) {})
	}
	synctest.Wait()
	for i := range runs {
		q.Add(queue.RunKey(fmt.Sprint(i)))
	}
	time.Sleep(time.Minute)
	q.ShutDown()
	time.Sleep(time.Minute) // the workers end
	return int(sent.Load())
}

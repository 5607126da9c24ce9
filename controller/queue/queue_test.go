package queue_test

import (
	"context"
	"testing"
	"time"

	"kontroler/controller/queue"
	"kontroler/store"
)

// depths are the depths that queues have reported.
type depths map[string]int

func (d depths) SyncDone(string, time.Duration, error) {}
func (d depths) QueueDepth(queue string, waiting int)  { d[queue] = waiting }

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

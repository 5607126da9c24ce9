package queue_test

import (
	"context"
	"testing"
	"time"

	"kontroler/controller/queue"
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

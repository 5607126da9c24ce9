package controller

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"k8s.io/client-go/util/workqueue"

	"kontroler/store"
)

// queue is a workqueue: a key is worked on by one worker at a time, what arrives meanwhile waits for the next sync.
type queue[K comparable] struct {
	workqueue.TypedRateLimitingInterface[K]
	name    string
	metrics *Metrics
}

// newQueue makes a queue whose keys go first come, first served.
func newQueue[K comparable](name string, metrics *Metrics) *queue[K] {
	return newOrderedQueue(name, metrics, workqueue.DefaultQueue[K]())
}

func newOrderedQueue[K comparable](name string, metrics *Metrics, order workqueue.Queue[K]) *queue[K] {
	waiting := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[K]{Queue: order})
	return &queue[K]{name: name, metrics: metrics, TypedRateLimitingInterface: workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[K](20*time.Millisecond, 30*time.Second),
		workqueue.TypedRateLimitingQueueConfig[K]{DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[K]{Queue: waiting})},
	)}
}

// work is the whole contract of a queue: Get, sync, then Forget or AddRateLimited, Done always. An unreachable database
// is asked again every second, not ever more rarely.
func (q *queue[K]) work(ctx context.Context, sync func(context.Context, K) error, failed func(error)) {
	for {
		key, down := q.Get()
		if down || q.ShuttingDown() {
			return // what still waits is for the next term
		}
		began := time.Now()
		err := guard(key, func() error { return sync(ctx, key) })
		q.metrics.SyncDone(q.name, time.Since(began), err)
		q.metrics.QueueDepth(q.name, q.Len())
		switch {
		case err == nil:
			q.Forget(key)
		case store.IsUnavailable(err):
			q.Forget(key)
			q.AddAfter(key, time.Second)
		default:
			failed(err)
			q.AddRateLimited(key)
		}
		q.Done(key)
	}
}

// guard makes a panic of the work on one key the error of that key.
func guard(key any, work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(fmt.Errorf("panic while syncing %v: %v", key, p), errors.New(string(debug.Stack())))
		}
	}()
	return work()
}

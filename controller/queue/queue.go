package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"k8s.io/client-go/util/workqueue"

	"kontroler/store"
)

// Metrics records syncs.
type Metrics interface {
	// SyncDone is called after each sync with its duration and its error.
	SyncDone(queue string, took time.Duration, err error)
	// QueueDepth is called with the number of keys that wait.
	QueueDepth(queue string, depth int)
}

// Queue is a workqueue. One worker at a time syncs a key; a key that is added meanwhile is synced again.
type Queue[K comparable] struct {
	workqueue.TypedRateLimitingInterface[K]
	name    string
	metrics Metrics
}

// New makes a queue that serves its keys first in, first out.
func New[K comparable](name string, metrics Metrics) *Queue[K] {
	return NewOrdered(name, metrics, workqueue.DefaultQueue[K]())
}

// NewOrdered makes a queue with another order.
func NewOrdered[K comparable](name string, metrics Metrics, order workqueue.Queue[K]) *Queue[K] {
	waiting := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[K]{Queue: order})
	return &Queue[K]{
		name:    name,
		metrics: metrics,
		TypedRateLimitingInterface: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[K](20*time.Millisecond, 30*time.Second),
			workqueue.TypedRateLimitingQueueConfig[K]{
				DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(
					workqueue.TypedDelayingQueueConfig[K]{Queue: waiting},
				),
			},
		),
	}
}

// Work is the contract of a queue: Get, sync, then Forget or AddRateLimited, always Done. It returns when the queue
// shuts down. failed is called with the error of a sync before the key is added again. While the database is
// unavailable a key is retried every second, without backoff and without a call of failed.
func (q *Queue[K]) Work(ctx context.Context, sync func(context.Context, K) error, failed func(error)) {
	for {
		key, down := q.Get()
		if down || q.ShuttingDown() {
			q.metrics.QueueDepth(q.name, 0) // the next term enqueues what is left
			return
		}
		began := time.Now()
		err := Guard(key, func() error { return sync(ctx, key) })
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

// Guard returns a panic of work as an error.
func Guard(key any, work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(fmt.Errorf("panic while syncing %v: %v", key, p), errors.New(string(debug.Stack())))
		}
	}()
	return work()
}

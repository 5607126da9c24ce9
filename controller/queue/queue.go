package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/client-go/tools/cache"
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

// Queue is a workqueue. One worker at a time syncs a key; a key that is added meanwhile is synced again. Namespaces
// take turns, and one has at most half of the workers.
type Queue[K comparable] struct {
	workqueue.TypedRateLimitingInterface[K]
	name    string
	metrics Metrics
	fair    *fair[K]
	// kept has the keys whose syncs have called KeepBackoff.
	kept sync.Map
}

// ByName returns the namespace of an object's name, as New needs it.
func ByName(name cache.ObjectName) string { return name.Namespace }

// New makes a queue that serves the keys of a namespace first in, first out. namespaceOf returns the namespace of a
// key.
func New[K comparable](name string, metrics Metrics, namespaceOf func(K) string) *Queue[K] {
	return NewOrdered(name, metrics, namespaceOf, workqueue.DefaultQueue[K])
}

// NewOrdered makes a queue in which newQueue orders the keys of a namespace.
func NewOrdered[K comparable](
	name string, metrics Metrics, namespaceOf func(K) string, newQueue func() workqueue.Queue[K],
) *Queue[K] {
	fair := newFair(namespaceOf, newQueue)
	waiting := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[K]{Queue: fair})
	return &Queue[K]{
		name:    name,
		metrics: metrics,
		fair:    fair,
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

// Done ends the sync of a key.
func (q *Queue[K]) Done(key K) {
	q.fair.done(key)
	q.TypedRateLimitingInterface.Done(key)
}

// Len returns how many keys wait.
func (q *Queue[K]) Len() int { return q.fair.depth() }

// KeepBackoff makes the backoff of a key go on although its sync succeeds. A sync calls it if it could not try what may
// have failed before.
func (q *Queue[K]) KeepBackoff(key K) { q.kept.Store(key, nil) }

// Work runs one worker until the queue shuts down. It implements the contract of a workqueue: Get, sync, then Forget or
// AddRateLimited, always Done. failed is called with the error of a sync before the key is added again. While the
// database is unavailable, a key is retried every second, without backoff.
func (q *Queue[K]) Work(ctx context.Context, syncKey func(context.Context, K) error, failed func(error)) {
	q.fair.addWorker()
	for {
		key, down := q.Get()
		if down || q.ShuttingDown() {
			q.metrics.QueueDepth(q.name, 0) // the next term enqueues the remaining keys again
			return
		}
		began := time.Now()
		err := Guard(key, func() error { return syncKey(ctx, key) })
		q.metrics.SyncDone(q.name, time.Since(began), err)
		q.metrics.QueueDepth(q.name, q.Len())
		_, keepsBackoff := q.kept.LoadAndDelete(key)
		switch {
		case err == nil:
			if !keepsBackoff {
				q.Forget(key)
			}
		case store.IsUnavailable(err):
			failed(err)
			q.Forget(key)
			q.AddAfter(key, time.Second)
		default:
			failed(err)
			q.AddRateLimited(key)
		}
		q.Done(key)
	}
}

// Guard calls work and returns its error. A panic becomes an error with the stack.
func Guard(key any, work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(fmt.Errorf("panic while syncing %v: %v", key, p), errors.New(string(debug.Stack())))
		}
	}()
	return work()
}

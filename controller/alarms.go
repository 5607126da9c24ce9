package controller

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// relook is how soon a clock that was set is noticed.
const relook = time.Second

// alarms remembers when keys are due: a deadline, the end of a time to live, a schedule. Unlike a delaying queue it forgets
// a key that is dropped, and it asks the clock again when somebody sets that. One goroutine watches the clock for all keys;
// a key that is not due costs its entry.
type alarms[K comparable] struct {
	mu    sync.Mutex
	byKey map[K]*alarm[K]
	queue alarmQueue[K] // the first one first
	wake  chan struct{}
}

type alarm[K comparable] struct {
	key K
	at  time.Time
	// index in the queue.
	index int
}

func newAlarms[K comparable]() *alarms[K] {
	return &alarms[K]{byKey: map[K]*alarm[K]{}, wake: make(chan struct{}, 1)}
}

// set has a key become due at a time, or sooner: what was set before may mean something else, so it is never put off. Who
// is due too soon looks, and sets the next time.
func (a *alarms[K]) set(key K, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	entry := a.byKey[key]
	switch {
	case entry == nil:
		entry = &alarm[K]{key: key, at: at}
		a.byKey[key] = entry
		heap.Push(&a.queue, entry)
	case at.Before(entry.at):
		entry.at = at
		heap.Fix(&a.queue, entry.index)
	}
	if entry.index == 0 {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// put has a key become due at a time, whatever was set before; zero: never.
func (a *alarms[K]) put(key K, at time.Time) {
	a.drop(key)
	if !at.IsZero() {
		a.set(key, at)
	}
}

// drop forgets a key.
func (a *alarms[K]) drop(key K) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if entry := a.byKey[key]; entry != nil {
		heap.Remove(&a.queue, entry.index)
		delete(a.byKey, key)
	}
}

// due takes the keys that are due, the first one first, and says how long until the next one is.
func (a *alarms[K]) due(now time.Time) (keys []K, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.queue) > 0 && !now.Before(a.queue[0].at) {
		entry := heap.Pop(&a.queue).(*alarm[K])
		delete(a.byKey, entry.key)
		keys = append(keys, entry.key)
	}
	if len(a.queue) == 0 {
		return keys, relook
	}
	return keys, a.queue[0].at.Sub(now)
}

// watch hands over the keys that are due, until ctx ends.
func (a *alarms[K]) watch(ctx context.Context, now func() time.Time, add func(K)) {
	for {
		keys, wait := a.due(now())
		for _, key := range keys {
			add(key)
		}
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-time.After(min(wait, relook)):
		}
	}
}

// alarmQueue is a heap by time.
type alarmQueue[K comparable] []*alarm[K]

func (q alarmQueue[K]) Len() int           { return len(q) }
func (q alarmQueue[K]) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q alarmQueue[K]) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push adds an alarm, for package heap.
func (q *alarmQueue[K]) Push(x any) {
	entry := x.(*alarm[K])
	entry.index = len(*q)
	*q = append(*q, entry)
}

// Pop takes the last one, for package heap.
func (q *alarmQueue[K]) Pop() any {
	last := len(*q) - 1
	entry := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return entry
}

package queue

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// MaxSleep is the longest sleep before the clock is read again. The clock may be set meanwhile.
const MaxSleep = time.Second

// Alarms remembers when keys are due: a deadline, the end of a time to live, a schedule. Unlike client-go's delaying
// queue it can drop a key, and it follows a clock that is set. One goroutine watches the clock for all keys; a key that
// is not due costs only its entry.
type Alarms[K comparable] struct {
	mu    sync.Mutex
	byKey map[K]*alarm[K]
	queue alarmQueue[K] // a heap by time
	wake  chan struct{}
}

type alarm[K comparable] struct {
	key K
	at  time.Time
	// index in the queue.
	index int
}

// NewAlarms makes an empty set of alarms.
func NewAlarms[K comparable]() *Alarms[K] {
	return &Alarms[K]{byKey: map[K]*alarm[K]{}, wake: make(chan struct{}, 1)}
}

// Set makes a key due at a time, unless it is already due sooner. In that case the sync of the key must set the later
// time.
func (a *Alarms[K]) Set(key K, at time.Time) {
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

// Put makes a key due at a time, whatever was set before. A zero time drops the key.
func (a *Alarms[K]) Put(key K, at time.Time) {
	a.Drop(key)
	if !at.IsZero() {
		a.Set(key, at)
	}
}

// Drop forgets a key.
func (a *Alarms[K]) Drop(key K) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if entry := a.byKey[key]; entry != nil {
		heap.Remove(&a.queue, entry.index)
		delete(a.byKey, key)
	}
}

// Len returns how many keys have an alarm.
func (a *Alarms[K]) Len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.queue)
}

// Due removes and returns the keys that are due, earliest first. wait is the time until the next key is due.
func (a *Alarms[K]) Due(now time.Time) (keys []K, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.queue) > 0 && !now.Before(a.queue[0].at) {
		entry := heap.Pop(&a.queue).(*alarm[K])
		delete(a.byKey, entry.key)
		keys = append(keys, entry.key)
	}
	if len(a.queue) == 0 {
		return keys, MaxSleep
	}
	return keys, a.queue[0].at.Sub(now)
}

// Watch calls add with each key that is due, until ctx ends.
func (a *Alarms[K]) Watch(ctx context.Context, now func() time.Time, add func(K)) {
	for {
		keys, wait := a.Due(now())
		for _, key := range keys {
			add(key)
		}
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-time.After(min(wait, MaxSleep)):
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

// Push adds an alarm. Only package heap calls it.
func (q *alarmQueue[K]) Push(x any) {
	entry := x.(*alarm[K])
	entry.index = len(*q)
	*q = append(*q, entry)
}

// Pop removes the last alarm. Only package heap calls it.
func (q *alarmQueue[K]) Pop() any {
	last := len(*q) - 1
	entry := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return entry
}

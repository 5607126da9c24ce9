package controller

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// relook is how soon a clock that was set is noticed.
const relook = time.Second

// timers remembers when each schedule is due next, for the object, generation and validity that it was computed from. One
// goroutine watches the clock for all of them, and asks nobody: a schedule that is not due costs its entry.
type timers struct {
	mu    sync.Mutex
	byDAG map[cache.ObjectName]*timer
	queue timerQueue // those that are due some day, the first one first
	wake  chan struct{}
}

type timer struct {
	uid        types.UID
	generation int64
	held       string
	last, next time.Time // zero: never
	name       cache.ObjectName
	at         int // in the queue; -1: not there
}

func newTimers() *timers {
	return &timers{byDAG: map[cache.ObjectName]*timer{}, wake: make(chan struct{}, 1)}
}

// set replaces the timer of a DAG.
func (t *timers) set(name cache.ObjectName, what timer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(name)
	what.name, what.at = name, -1
	t.byDAG[name] = &what
	if what.next.IsZero() {
		return
	}
	heap.Push(&t.queue, &what)
	if what.at == 0 {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

func (t *timers) drop(name cache.ObjectName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(name)
}

func (t *timers) remove(name cache.ObjectName) {
	if old := t.byDAG[name]; old != nil && old.at >= 0 {
		heap.Remove(&t.queue, old.at)
	}
	delete(t.byDAG, name)
}

func (t *timers) get(name cache.ObjectName) (timer, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	what, ok := t.byDAG[name]
	if !ok {
		return timer{}, false
	}
	return *what, true
}

// due takes the schedules that are due out of the queue, and says how long until the next one is.
func (t *timers) due(now time.Time) (names []cache.ObjectName, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.queue) > 0 && !now.Before(t.queue[0].next) {
		names = append(names, heap.Pop(&t.queue).(*timer).name)
	}
	if len(t.queue) == 0 {
		return names, relook
	}
	return names, t.queue[0].next.Sub(now)
}

// watchClock puts the schedules that are due on their queue.
func (t *term) watchClock(ctx context.Context) {
	for {
		names, wait := t.timers.due(t.now())
		for _, name := range names {
			t.schedules.Add(name)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.timers.wake:
		case <-time.After(min(wait, relook)):
		}
	}
}

// timerQueue is a heap by due time.
type timerQueue []*timer

func (q timerQueue) Len() int           { return len(q) }
func (q timerQueue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q timerQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push adds a timer, for package heap.
func (q *timerQueue) Push(x any) {
	what := x.(*timer)
	what.at = len(*q)
	*q = append(*q, what)
}

// Pop takes the last one, for package heap.
func (q *timerQueue) Pop() any {
	last := len(*q) - 1
	what := (*q)[last]
	what.at = -1
	(*q)[last] = nil
	*q = (*q)[:last]
	return what
}

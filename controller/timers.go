package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/controller/queue"
)

// timers remembers when each schedule is due next, for the object, generation and validity that it was computed from. A
// schedule that is not due costs its entry.
type timers struct {
	mu    sync.Mutex
	byDAG map[cache.ObjectName]timer
	// alarms are of those that are due some day.
	alarms *queue.Alarms[cache.ObjectName]
}

type timer struct {
	uid        types.UID
	generation int64
	held       string
	last, next time.Time // zero: never
}

func newTimers() *timers {
	return &timers{byDAG: map[cache.ObjectName]timer{}, alarms: queue.NewAlarms[cache.ObjectName]()}
}

// set replaces the timer of a DAG.
func (t *timers) set(name cache.ObjectName, what timer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byDAG[name] = what
	t.alarms.Put(name, what.next)
}

func (t *timers) drop(name cache.ObjectName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byDAG, name)
	t.alarms.Drop(name)
}

func (t *timers) get(name cache.ObjectName) (timer, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	what, ok := t.byDAG[name]
	return what, ok
}

package schedule

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/queue"
)

// timers remember when each schedule is due next. A schedule that is not due costs only its entry.
type timers struct {
	mu    sync.Mutex
	byDAG map[cache.ObjectName]timer
	// alarms are the timers that have a next due time.
	alarms *queue.Alarms[cache.ObjectName]
}

// timer is the result of a sync. It is valid for one UID and generation of the DAG, and while the DAG is held or not as
// it was then.
type timer struct {
	uid        types.UID
	generation int64
	heldAs     string
	// lastDue is the due time of the newest run, nextDue the next due time. Zero means none.
	lastDue, nextDue time.Time
}

func newTimer(d *v1alpha1.DAG, lastDue, nextDue time.Time) *timer {
	return &timer{uid: d.UID, generation: d.Generation, heldAs: heldAs(d), lastDue: lastDue, nextDue: nextDue}
}

// isOf reports whether a timer is valid for a DAG as it is now.
func (t timer) isOf(d *v1alpha1.DAG) bool {
	return t.uid == d.UID && t.generation == d.Generation && t.heldAs == heldAs(d)
}

func (t timer) isDue(now time.Time) bool { return !t.nextDue.IsZero() && !now.Before(t.nextDue) }

func newTimers() *timers {
	return &timers{byDAG: map[cache.ObjectName]timer{}, alarms: queue.NewAlarms[cache.ObjectName]()}
}

// set replaces the timer of a DAG, and its alarm.
func (t *timers) set(name cache.ObjectName, next timer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byDAG[name] = next
	t.alarms.Put(name, next.nextDue)
}

func (t *timers) drop(name cache.ObjectName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byDAG, name)
	t.alarms.Drop(name)
}

// get returns the timer of a DAG, also after its alarm.
func (t *timers) get(name cache.ObjectName) (current timer, isSet bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	current, isSet = t.byDAG[name]
	return current, isSet
}

package queue

import (
	"sync"

	"k8s.io/client-go/tools/cache"

	"kontroler/controller/engine"
	"kontroler/store"
	"kontroler/store/transition"
)

// Counted has the attempts whose ends this term has just committed, by the names of their Pods. It saves the sync that
// cleans up such a Pod a read of the row. Each attempt is taken once. If that sync fails, the next one reads the row.
type Counted struct {
	mu       sync.Mutex
	attempts map[cache.ObjectName]store.Attempt
}

// NewCounted makes an empty set.
func NewCounted() *Counted { return &Counted{attempts: map[cache.ObjectName]store.Attempt{}} }

// Put adds the attempts that a committed decision has ended and whose Pods exist. The caller enqueues these Pods.
func (c *Counted) Put(namespace string, attempts []engine.Attempt, decision engine.Decision) {
	ends, reaped := map[int64]transition.AttemptEnded{}, map[string]bool{}
	for _, t := range decision.Transitions {
		if end, ok := t.(transition.AttemptEnded); ok {
			ends[end.Attempt] = end
		}
	}
	for _, name := range decision.Reap {
		reaped[name] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range attempts {
		if end, ok := ends[a.ID]; ok && reaped[a.PodName] {
			c.attempts[cache.NewObjectName(namespace, a.PodName)] = store.Attempt{
				ID: end.Attempt, Phase: end.Phase, Reason: end.Reason, PodName: a.PodName, PodUID: end.PodUID,
				StartedAt: end.StartedAt, FinishedAt: end.FinishedAt,
			}
		}
	}
}

// Take removes and returns the attempt of a Pod. It is zero if there is none.
func (c *Counted) Take(pod cache.ObjectName) store.Attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer delete(c.attempts, pod)
	return c.attempts[pod]
}

package controller

import (
	"maps"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/engine"
	"kontroler/controller/queue"
)

// pendingChanges is what happened to a run since its last sync.
type pendingChanges struct {
	// isFull reports that nothing is known: the sync gathers every live attempt.
	isFull bool
	// isClaimed reports that the admission has claimed the DagRun. The cache may not show it yet.
	isClaimed bool
	// hasSlot reports that a slot is reserved for the run.
	hasSlot bool
	// pods that changed, by name.
	pods map[string]struct{}
	// created are Pods that this term created and that the cache does not show yet.
	created map[string]types.UID
	// refusals are the API server's answers to creates, by Pod name.
	refusals map[string]engine.Refusal
}

func newPendingChanges() *pendingChanges {
	return &pendingChanges{
		pods:     map[string]struct{}{},
		created:  map[string]types.UID{},
		refusals: map[string]engine.Refusal{},
	}
}

// pending holds the changes of runs beside the keys of the queue. A sync takes those of its run.
type pending struct {
	mu   sync.Mutex
	runs map[queue.RunKey]*pendingChanges
}

func newPending() *pending { return &pending{runs: map[queue.RunKey]*pendingChanges{}} }

func (p *pending) with(key queue.RunKey, f func(*pendingChanges)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.runs[key]
	if c == nil {
		c = newPendingChanges()
		p.runs[key] = c
	}
	f(c)
}

// full makes the next sync gather every live attempt.
func (p *pending) full(key queue.RunKey) { p.with(key, func(c *pendingChanges) { c.isFull = true }) }

// claimed records that the DagRun is claimed.
func (p *pending) claimed(key queue.RunKey) {
	p.with(key, func(c *pendingChanges) { c.isClaimed = true })
}

// slotReserved records that a slot is reserved for the run.
func (p *pending) slotReserved(key queue.RunKey) {
	p.with(key, func(c *pendingChanges) { c.hasSlot = true })
}

// isUrgent reports whether Pods of a run changed, or a slot is reserved for it: its sync frees or uses slots that other
// runs wait for.
func (p *pending) isUrgent(key queue.RunKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.runs[key]
	return c != nil && (c.hasSlot || len(c.pods) > 0)
}

// pod records that a Pod changed.
func (p *pending) pod(key queue.RunKey, name string) {
	p.with(key, func(c *pendingChanges) { c.pods[name] = struct{}{} })
}

// created records that a Pod was created.
func (p *pending) created(key queue.RunKey, name string, uid types.UID) {
	p.with(key, func(c *pendingChanges) { c.created[name] = uid })
}

// refused records that the create of a Pod was refused.
func (p *pending) refused(key queue.RunKey, name string, r engine.Refusal) {
	p.with(key, func(c *pendingChanges) { c.refusals[name] = r })
}

// take returns the changes of a run, at most limit Pods of them. hasMore reports that others are left for the next
// sync.
func (p *pending) take(key queue.RunKey, limit int) (taken *pendingChanges, hasMore bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.runs[key]
	if c == nil {
		return newPendingChanges(), false
	}
	if len(c.pods) <= limit {
		delete(p.runs, key)
		return c, false
	}
	rest := newPendingChanges()
	rest.created = c.created
	for name := range c.pods {
		if len(rest.pods) >= len(c.pods)-limit {
			break
		}
		rest.pods[name] = struct{}{}
	}
	for name := range rest.pods {
		delete(c.pods, name)
	}
	c.created = maps.Clone(c.created)
	p.runs[key] = rest
	return c, true
}

// restore gives back what a failed sync took. Newer changes win.
func (p *pending) restore(key queue.RunKey, taken *pendingChanges) {
	p.with(key, func(c *pendingChanges) {
		c.isFull, c.isClaimed, c.hasSlot = c.isFull ||
			taken.isFull, c.isClaimed ||
			taken.isClaimed, c.hasSlot ||
			taken.hasSlot
		maps.Copy(c.pods, taken.pods)
		for name, uid := range taken.created {
			if _, isNewer := c.created[name]; !isNewer {
				c.created[name] = uid
			}
		}
		for name, r := range taken.refusals {
			if _, isNewer := c.refusals[name]; !isNewer {
				c.refusals[name] = r
			}
		}
	})
}

package queue

import (
	"maps"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/engine"
)

// Changes is what happened to a run since its last sync.
type Changes struct {
	// IsFull reports that any attempt may have changed: the sync must gather every live attempt.
	IsFull bool
	// IsClaimed reports that the admission has claimed the DagRun. The cache may not show it yet.
	IsClaimed bool
	// HasSlot reports that a slot is reserved for the run.
	HasSlot bool
	// Pods are the Pods that changed, by name.
	Pods map[string]struct{}
	// Created are Pods that this term created and that the cache does not show yet.
	Created map[string]types.UID
	// Refusals are the API server's answers to creates, by Pod name.
	Refusals map[string]engine.Refusal
}

func newChanges() *Changes {
	return &Changes{
		Pods:     map[string]struct{}{},
		Created:  map[string]types.UID{},
		Refusals: map[string]engine.Refusal{},
	}
}

// Pending holds what has changed in each run. A sync takes the changes of its run.
type Pending struct {
	mu   sync.Mutex
	runs map[RunKey]*Changes
}

// NewPending makes an empty set of changes.
func NewPending() *Pending { return &Pending{runs: map[RunKey]*Changes{}} }

func (p *Pending) with(key RunKey, f func(*Changes)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.runs[key]
	if c == nil {
		c = newChanges()
		p.runs[key] = c
	}
	f(c)
}

// Full makes the next sync gather every live attempt.
func (p *Pending) Full(key RunKey) { p.with(key, func(c *Changes) { c.IsFull = true }) }

// Claimed records that the DagRun is claimed.
func (p *Pending) Claimed(key RunKey) {
	p.with(key, func(c *Changes) { c.IsClaimed = true })
}

// SlotReserved records that a slot is reserved for the run.
func (p *Pending) SlotReserved(key RunKey) {
	p.with(key, func(c *Changes) { c.HasSlot = true })
}

// IsUrgent reports whether Pods of a run changed, or a slot is reserved for it: its sync frees or uses slots that other
// runs wait for.
func (p *Pending) IsUrgent(key RunKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.runs[key]
	return c != nil && (c.HasSlot || len(c.Pods) > 0)
}

// Pod records that a Pod changed.
func (p *Pending) Pod(key RunKey, name string) {
	p.with(key, func(c *Changes) { c.Pods[name] = struct{}{} })
}

// Created records that a Pod was created.
func (p *Pending) Created(key RunKey, name string, uid types.UID) {
	p.with(key, func(c *Changes) { c.Created[name] = uid })
}

// Refused records that the create of a Pod was refused.
func (p *Pending) Refused(key RunKey, name string, r engine.Refusal) {
	p.with(key, func(c *Changes) { c.Refusals[name] = r })
}

// Take returns the changes of a run, at most limit Pods of them. hasMore reports that others are left for the next
// sync.
func (p *Pending) Take(key RunKey, limit int) (taken *Changes, hasMore bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.runs[key]
	if c == nil {
		return newChanges(), false
	}
	if len(c.Pods) <= limit {
		delete(p.runs, key)
		return c, false
	}
	rest := newChanges()
	rest.Created = c.Created
	for name := range c.Pods {
		if len(rest.Pods) >= len(c.Pods)-limit {
			break
		}
		rest.Pods[name] = struct{}{}
	}
	for name := range rest.Pods {
		delete(c.Pods, name)
	}
	c.Created = maps.Clone(c.Created)
	p.runs[key] = rest
	return c, true
}

// Restore puts back the changes that a failed sync took, except for HasSlot: a slot is reserved for one sync. The
// caller must not use taken afterwards. Newer changes win.
func (p *Pending) Restore(key RunKey, taken *Changes) {
	p.with(key, func(c *Changes) {
		c.IsFull = c.IsFull || taken.IsFull
		c.IsClaimed = c.IsClaimed || taken.IsClaimed
		maps.Copy(c.Pods, taken.Pods)
		maps.Copy(taken.Created, c.Created)
		maps.Copy(taken.Refusals, c.Refusals)
		c.Created, c.Refusals = taken.Created, taken.Refusals
	})
}

package controller

import (
	"maps"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/engine"
	"kontroler/controller/queue"
)

// change is what happened to a run since its last sync.
type change struct {
	// full: nothing is known, look at every live attempt.
	full bool
	// granted: a slot is kept for it.
	granted bool
	// pods that changed, by name.
	pods map[string]struct{}
	// created are the Pods that this term created and no watch has shown yet.
	created map[string]types.UID
	// refusals are the API server's answers to creates.
	refusals map[string]engine.Refusal
}

func newChange() *change {
	return &change{pods: map[string]struct{}{}, created: map[string]types.UID{}, refusals: map[string]engine.Refusal{}}
}

// dirty is the set of changes that lies beside the keys of the queue.
type dirty struct {
	mu   sync.Mutex
	runs map[queue.RunKey]*change
}

func newDirty() *dirty { return &dirty{runs: map[queue.RunKey]*change{}} }

func (d *dirty) with(key queue.RunKey, f func(*change)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.runs[key]
	if c == nil {
		c = newChange()
		d.runs[key] = c
	}
	f(c)
}

func (d *dirty) full(key queue.RunKey) { d.with(key, func(c *change) { c.full = true }) }

// granted notes that a slot is kept for a run.
func (d *dirty) granted(key queue.RunKey) { d.with(key, func(c *change) { c.granted = true }) }

// isUrgent reports whether Pods of a run changed, or a slot is reserved for it: its sync frees or uses slots that other
// runs wait for.
func (d *dirty) isUrgent(key queue.RunKey) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.runs[key]
	return c != nil && (c.granted || len(c.pods) > 0)
}

func (d *dirty) pod(key queue.RunKey, name string) {
	d.with(key, func(c *change) { c.pods[name] = struct{}{} })
}

func (d *dirty) created(key queue.RunKey, name string, uid types.UID) {
	d.with(key, func(c *change) { c.created[name] = uid })
}

func (d *dirty) refused(key queue.RunKey, name string, r engine.Refusal) {
	d.with(key, func(c *change) { c.refusals[name] = r })
}

// take gives the changes to a sync, at most limit Pods of them; more reports that some stay for the next.
func (d *dirty) take(key queue.RunKey, limit int) (taken *change, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.runs[key]
	if c == nil {
		return newChange(), false
	}
	if len(c.pods) <= limit {
		delete(d.runs, key)
		return c, false
	}
	rest := newChange()
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
	d.runs[key] = rest
	return c, true
}

// restore gives back what a failed sync had taken.
func (d *dirty) restore(key queue.RunKey, taken *change) {
	d.with(key, func(c *change) {
		c.full, c.granted = c.full || taken.full, c.granted || taken.granted
		maps.Copy(c.pods, taken.pods)
		for name, uid := range taken.created {
			if _, newer := c.created[name]; !newer {
				c.created[name] = uid
			}
		}
		for name, r := range taken.refusals {
			if _, newer := c.refusals[name]; !newer {
				c.refusals[name] = r
			}
		}
	})
}

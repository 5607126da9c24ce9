package versions

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
)

// Saved has the stored version of each DAG object at a generation, so that an unchanged DAG is neither compiled
// nor stored again.
type Saved struct {
	mu    sync.Mutex
	byDAG map[cache.ObjectName]savedVersion
}

type savedVersion struct {
	uid        types.UID
	generation int64
	version    store.Version
}

// NewSaved makes an empty set.
func NewSaved() *Saved {
	return &Saved{byDAG: map[cache.ObjectName]savedVersion{}}
}

// Get returns the version of a DAG, if this term has stored its generation.
func (c *Saved) Get(key cache.ObjectName, d *v1alpha1.DAG) (store.Version, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	saved, ok := c.byDAG[key]
	if !ok || saved.uid != d.UID || saved.generation != d.Generation {
		return store.Version{}, false
	}
	return saved.version, true
}

// Put records the version of a DAG. It ignores DAGs with a taskRef: they may change without a new generation.
func (c *Saved) Put(key cache.ObjectName, d *v1alpha1.DAG, version store.Version) {
	if slices.ContainsFunc(d.Spec.Task, func(task v1alpha1.Task) bool { return task.TaskRef != nil }) {
		return
	}
	version.Spec = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byDAG[key] = savedVersion{d.UID, d.Generation, version}
}

// Drop forgets a DAG.
func (c *Saved) Drop(key cache.ObjectName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byDAG, key)
}

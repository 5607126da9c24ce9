package controller

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
)

// versionCache has the stored version of each DAG object at a generation, so that an unchanged DAG is neither compiled
// nor stored again.
type versionCache struct {
	mu    sync.Mutex
	byDAG map[cache.ObjectName]savedVersion
}

type savedVersion struct {
	uid        types.UID
	generation int64
	version    store.Version
}

func newVersionCache() *versionCache {
	return &versionCache{byDAG: map[cache.ObjectName]savedVersion{}}
}

// get returns the version of a DAG, if this term has stored its generation.
func (c *versionCache) get(key cache.ObjectName, d *v1alpha1.DAG) (store.Version, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	saved, ok := c.byDAG[key]
	if !ok || saved.uid != d.UID || saved.generation != d.Generation {
		return store.Version{}, false
	}
	return saved.version, true
}

// put records the version of a DAG. It ignores DAGs with a taskRef: they may change without a new generation.
func (c *versionCache) put(key cache.ObjectName, d *v1alpha1.DAG, version store.Version) {
	if slices.ContainsFunc(d.Spec.Task, func(task v1alpha1.Task) bool { return task.TaskRef != nil }) {
		return
	}
	version.Spec = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byDAG[key] = savedVersion{d.UID, d.Generation, version}
}

func (c *versionCache) drop(key cache.ObjectName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byDAG, key)
}

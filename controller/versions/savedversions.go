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
// nor stored again. The zero value is empty.
type Saved struct {
	byDAG sync.Map // savedVersion, by cache.ObjectName
}

type savedVersion struct {
	uid        types.UID
	generation int64
	version    store.Version
}

// Get returns the version of a DAG, if this term has stored its generation.
func (s *Saved) Get(key cache.ObjectName, d *v1alpha1.DAG) (store.Version, bool) {
	found, _ := s.byDAG.Load(key)
	saved, ok := found.(savedVersion)
	if !ok || saved.uid != d.UID || saved.generation != d.Generation {
		return store.Version{}, false
	}
	return saved.version, true
}

// Put records the version of a DAG. It ignores DAGs with a taskRef: they may change without a new generation.
func (s *Saved) Put(key cache.ObjectName, d *v1alpha1.DAG, version store.Version) {
	if slices.ContainsFunc(d.Spec.Task, func(task v1alpha1.Task) bool { return task.TaskRef != nil }) {
		return
	}
	version.Spec = nil
	s.byDAG.Store(key, savedVersion{d.UID, d.Generation, version})
}

// Drop forgets a DAG.
func (s *Saved) Drop(key cache.ObjectName) { s.byDAG.Delete(key) }

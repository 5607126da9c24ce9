package controller

import (
	"container/list"
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
)

// graphTasksCached bounds the compiled versions kept in memory, by their tasks.
const graphTasksCached = 200_000

// graphCache keeps compiled versions, least recently used out first. Versions are immutable: nothing is ever stale.
type graphCache struct {
	mu    sync.Mutex
	tasks int
	order *list.List
	byID  map[int64]*list.Element
}

type cachedGraph struct {
	id    int64
	graph *dag.Graph
}

func newGraphCache() *graphCache {
	return &graphCache{order: list.New(), byID: map[int64]*list.Element{}}
}

func (c *graphCache) get(id int64) (*dag.Graph, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.byID[id]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(element)
	return element.Value.(cachedGraph).graph, true
}

func (c *graphCache) put(id int64, graph *dag.Graph) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byID[id]; ok {
		return
	}
	c.byID[id] = c.order.PushFront(cachedGraph{id, graph})
	c.tasks += graph.Len()
	for c.tasks > graphTasksCached && c.order.Len() > 1 {
		last := c.order.Remove(c.order.Back()).(cachedGraph)
		delete(c.byID, last.id)
		c.tasks -= last.graph.Len()
	}
}

// graph is the compiled form of a stored version.
func (t *term) graph(ctx context.Context, versionID int64) (*dag.Graph, error) {
	if graph, ok := t.graphs.get(versionID); ok {
		return graph, nil
	}
	version, err := t.db.VersionByID(ctx, versionID)
	if err != nil {
		return nil, fmt.Errorf("reading version %d: %w", versionID, err)
	}
	graph, err := compileVersion(version)
	if err != nil {
		return nil, err
	}
	t.graphs.put(versionID, graph)
	return graph, nil
}

func compileVersion(version store.Version) (*dag.Graph, error) {
	spec, err := dag.Decode(version.Spec)
	if err != nil {
		return nil, fmt.Errorf("decoding version %d: %w", version.ID, err)
	}
	graph, faults := dag.Compile(spec)
	if len(faults) > 0 {
		return nil, fmt.Errorf("compiling version %d, which was valid when it was stored: %w", version.ID, faults.ToAggregate())
	}
	return graph, nil
}

// versionCache remembers the version of each DAG object at a generation: an unchanged DAG is neither compiled nor stored
// again. It holds an entry for each DAG.
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

// get returns the version of a DAG as it was read, and its graph, if this term has stored that generation.
func (c *versionCache) get(key cache.ObjectName, d *v1alpha1.DAG, graphs *graphCache) (store.Version, *dag.Graph, bool) {
	c.mu.Lock()
	saved, ok := c.byDAG[key]
	c.mu.Unlock()
	if !ok || saved.uid != d.UID || saved.generation != d.Generation {
		return store.Version{}, nil, false
	}
	graph, ok := graphs.get(saved.version.ID)
	return saved.version, graph, ok
}

// put notes the version of a DAG. What a DAG with a taskRef compiles to is not a matter of its generation alone.
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

package controller

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/text"
	"kontroler/store"
)

// graphBytesCached bounds the versions kept in memory, by what they take of it: some 24,000 ordinary tasks.
const graphBytesCached = 64 << 20

// errUnreadable is the error of a stored version of which no graph can be made: trying again does not help.
var errUnreadable = errors.New("the version cannot be read")

// graphCache keeps the versions that runs use, least recently used out first. Versions are immutable: nothing is ever
// stale. One that is larger than the bound is kept alone.
type graphCache struct {
	mu    sync.Mutex
	bytes int64
	limit int64
	order *list.List
	byID  map[int64]*list.Element
}

type cachedGraph struct {
	id    int64
	bytes int64
	graph *dag.Graph
}

func newGraphCache(limit int64) *graphCache {
	return &graphCache{limit: limit, order: list.New(), byID: map[int64]*list.Element{}}
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
	bytes := graph.Bytes()
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byID[id]; ok {
		return
	}
	c.byID[id] = c.order.PushFront(cachedGraph{id, bytes, graph})
	c.bytes += bytes
	for c.bytes > c.limit && c.order.Len() > 1 {
		last := c.order.Remove(c.order.Back()).(cachedGraph)
		delete(c.byID, last.id)
		c.bytes -= last.bytes
	}
}

// graphs loads stored versions of DAGs.
type graphs struct {
	*core
	cache *graphCache
}

// graph is a stored version. What is used goes to the cache, nothing else does: there may be many more DAGs than run. An
// error is errUnreadable, or may pass.
func (g *graphs) graph(ctx context.Context, versionID int64) (*dag.Graph, error) {
	if graph, ok := g.cache.get(versionID); ok {
		return graph, nil
	}
	version, found, err := g.db.VersionByID(ctx, versionID)
	switch {
	case errors.Is(err, store.ErrCorrupt):
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	case err != nil:
		return nil, err
	case !found:
		return nil, fmt.Errorf("%w: its row %d is not in the database", errUnreadable, versionID)
	}
	graph, err := dag.Load(version.Spec, version.Tasks)
	if err != nil {
		return nil, fmt.Errorf("%w: version %d: %w", errUnreadable, version.Number, err)
	}
	g.cache.put(versionID, graph)
	return graph, nil
}

// logPolicy returns what a version says about the logs of its tasks. The logs of a version that cannot be read are
// captured, as by default.
func (g *graphs) logPolicy(ctx context.Context, versionID int64) (v1alpha1.LogPolicy, error) {
	graph, err := g.graph(ctx, versionID)
	if errors.Is(err, errUnreadable) {
		return v1alpha1.LogsCapture, nil
	}
	if err != nil {
		return "", err
	}
	return graph.Spec().Logs, nil
}

// webhook returns the webhook of a stored version. It is nil if the version has none.
func (g *graphs) webhook(ctx context.Context, versionID int64) (*v1alpha1.Webhook, error) {
	graph, err := g.graph(ctx, versionID)
	if err != nil {
		return nil, err
	}
	return graph.Spec().Webhook, nil
}

// runGraph is the version of a run. A run whose version cannot be read is to be stopped for that reason, one that is to be
// stopped anyway does not need it: both get a blank graph.
func (g *graphs) runGraph(ctx context.Context, row store.Run, stops bool) (graph *dag.Graph, unreadable string, err error) {
	graph, err = g.graph(ctx, row.VersionID)
	switch {
	case err == nil:
		return graph, "", nil
	case errors.Is(err, errUnreadable):
		return dag.Blank(row.Counts.Total), text.Clean(err.Error()), nil
	case stops && !store.IsUnavailable(err) && ctx.Err() == nil:
		return dag.Blank(row.Counts.Total), "", nil
	}
	return nil, "", err
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

// get returns the version of a DAG as it was read, if this term has stored that generation.
func (c *versionCache) get(key cache.ObjectName, d *v1alpha1.DAG) (store.Version, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	saved, ok := c.byDAG[key]
	if !ok || saved.uid != d.UID || saved.generation != d.Generation {
		return store.Version{}, false
	}
	return saved.version, true
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

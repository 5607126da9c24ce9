package versions

import (
	"container/list"
	"sync"

	"kontroler/apis/dag"
)

// graphCache is an LRU cache of versions, bounded in bytes. A version is immutable, so an entry is never stale. A
// version that is larger than the bound is kept alone.
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

package store

import (
	"errors"
	"sync"
)

// groupLimit is the maximum number of requests that share a transaction.
const groupLimit = 200

var errGroupPanicked = errors.New("a request in the same transaction panicked")

// group lets concurrent requests share a transaction. While one transaction runs, further requests wait; the next
// transaction serves all of them, up to groupLimit. A request that finds no transaction running starts
// one.
type group[In, Out any] struct {
	mu      sync.Mutex
	waiting []*request[In, Out]
	serving sync.Mutex // held while a transaction runs
}

// request is the request of one caller, with its answer.
type request[In, Out any] struct {
	in     In
	out    Out
	err    error
	isDone bool
}

// do makes a request and returns its answer. serve answers a group of requests in one transaction: it sets out and err
// of each. The caller that serves a group may have its own request in it, or find that an earlier group had it.
func (g *group[In, Out]) do(in In, serve func([]*request[In, Out])) (Out, error) {
	r := &request[In, Out]{in: in}
	g.mu.Lock()
	g.waiting = append(g.waiting, r)
	g.mu.Unlock()
	g.serving.Lock()
	defer g.serving.Unlock()
	for !r.isDone {
		requests := g.next()
		for _, r := range requests {
			r.isDone, r.err = true, errGroupPanicked // serve overwrites err unless it panics
		}
		serve(requests)
	}
	return r.out, r.err
}

// next removes the next group from the waiting requests.
func (g *group[In, Out]) next() []*request[In, Out] {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), groupLimit)
	requests := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return requests
}

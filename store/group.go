package store

import (
	"errors"
	"sync"
)

// groupLimit bounds how much one transaction does for how many callers.
const groupLimit = 200

var errAborted = errors.New("the transaction that it was a part of was aborted")

// group lets callers share transactions: while one is under way, whatever is asked for waits, and the next one does all
// of it. A caller that is alone waits for nobody.
type group[Q, A any] struct {
	mu      sync.Mutex
	waiting []*request[Q, A]
	turn    sync.Mutex // held by whoever has the transaction
}

// request is what one caller asks for, and its answer.
type request[Q, A any] struct {
	ask    Q
	answer A
	err    error
	done   bool
}

// do asks for one thing. all does what several callers ask for, and answers each of them.
func (g *group[Q, A]) do(ask Q, all func([]*request[Q, A])) (A, error) {
	r := &request[Q, A]{ask: ask}
	g.mu.Lock()
	g.waiting = append(g.waiting, r)
	g.mu.Unlock()
	g.turn.Lock()
	defer g.turn.Unlock()
	for !r.done {
		requests := g.take()
		for _, taken := range requests {
			taken.done, taken.err = true, errAborted // should all panic
		}
		all(requests)
	}
	return r.answer, r.err
}

func (g *group[Q, A]) take() []*request[Q, A] {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), groupLimit)
	taken := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return taken
}

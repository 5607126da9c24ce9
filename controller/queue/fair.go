package queue

import (
	"sync"

	"k8s.io/client-go/util/workqueue"
)

// fair divides the workers of a queue between namespaces, because a sync may take long in one of them: a webhook may
// hang for 30 s. A free worker goes to the namespace with the fewest, in turns. A namespace may have half of the
// workers that the others leave, and always one if one is free. Its keys have an order of their own.
//
// It is the order of a workqueue, in which workers sleep while Len is 0. done wakes none of them: only the worker that
// is done looks for a key. Once it has taken one, no namespace may be due another worker. A namespace whose keys wait
// is due one if it has none, or fewer than idle-1. One more idle worker makes those with idle-1 due, too. If the worker
// goes to the one with the fewest, there is one less idle again, and the others are no longer due.
type fair[K comparable] struct {
	namespaceOf func(K) string
	order       func() workqueue.Queue[K]

	mu            sync.Mutex
	workers, busy int
	waiting       int
	shares        map[string]*share[K]
	// turns are the namespaces with keys that wait. The first comes next.
	turns []*share[K]
	// keys has the share of each key that waits or is synced.
	keys map[K]*share[K]
}

// share is a namespace with keys that wait or are synced.
type share[K comparable] struct {
	namespace string
	order     workqueue.Queue[K]
	busy      int // workers
}

// FairShare returns how many of a number of things one namespace may have: half of what the others leave, and at least
// one.
func FairShare(all, ofOthers int) int { return max(1, (all-ofOthers)/2) }

// LeastPerNamespace is the least number of keys of one namespace that a queue syncs at the same time. With the workers
// for fewer, syncs that hang in three namespaces would leave none to a fourth.
const LeastPerNamespace = 4

// WorkersFor returns how many workers a queue needs to sync n keys of one namespace at the same time. n is
// LeastPerNamespace or more.
func WorkersFor(n int) int { return 2 * n }

func newFair[K comparable](namespaceOf func(K) string, order func() workqueue.Queue[K]) *fair[K] {
	return &fair[K]{
		namespaceOf: namespaceOf, order: order, shares: map[string]*share[K]{}, keys: map[K]*share[K]{},
	}
}

// addWorker adds a worker.
func (f *fair[K]) addWorker() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workers++
}

// depth returns how many keys wait.
func (f *fair[K]) depth() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting
}

// Push adds a key that neither waits nor is synced.
func (f *fair[K]) Push(key K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	namespace := f.namespaceOf(key)
	s := f.shares[namespace]
	if s == nil {
		s = &share[K]{namespace: namespace, order: f.order()}
		f.shares[namespace] = s
	}
	if s.order.Len() == 0 {
		f.turns = append(f.turns, s)
	}
	s.order.Push(key)
	f.keys[key] = s
	f.waiting++
}

// Touch is called for a key that waits and was added again.
func (f *fair[K]) Touch(key K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.keys[key]; s != nil {
		s.order.Touch(key)
	}
}

// Len returns how many keys wait, or 0 if no worker may take one of them.
func (f *fair[K]) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next() < 0 {
		return 0
	}
	return f.waiting
}

// Pop gives the next key to a worker. Len must not be 0.
func (f *fair[K]) Pop() K {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.next()
	s := f.turns[i]
	f.turns = append(f.turns[:i], f.turns[i+1:]...)
	key := s.order.Pop()
	if s.order.Len() > 0 {
		f.turns = append(f.turns, s)
	}
	f.waiting--
	f.busy++
	s.busy++
	return key
}

// done takes a key back from its worker. It comes before Done of the workqueue, which may push the key again.
func (f *fair[K]) done(key K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.keys[key]
	delete(f.keys, key)
	f.busy--
	s.busy--
	if s.busy == 0 && s.order.Len() == 0 {
		delete(f.shares, s.namespace)
	}
}

// next returns the index of the namespace that gets the next worker, -1 if none may have another one. It looks at one
// namespace without workers at most, and therefore at no more namespaces than there are workers, and one.
func (f *fair[K]) next() int {
	next := -1
	for i, s := range f.turns {
		if s.busy < FairShare(f.workers, f.busy-s.busy) && (next < 0 || s.busy < f.turns[next].busy) {
			next = i
		}
		if s.busy == 0 {
			break
		}
	}
	return next
}

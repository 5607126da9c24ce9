package queue

import (
	"sync"

	"k8s.io/client-go/util/workqueue"

	"kontroler/apis/fairness"
)

// fair divides the workers of a queue between namespaces, because syncs may take long in one of them: an admission
// webhook may hang for 30 s. A free worker goes to the namespace with the fewest workers; namespaces with equally many
// take turns. A namespace may have half of the workers that the others leave, and always one if one is free. newQueue
// makes the queue of one namespace's keys.
//
// fair implements workqueue.Queue. Workers sleep while Len is 0, and done wakes none of them: only the worker that has
// finished a key looks for the next one. Still, no key waits while an idle worker may take it. A namespace with waiting
// keys may have another worker if it has none, or fewer than idle-1, idle being the number of workers without a key. A
// finished key raises idle by one, so namespaces with one worker more may have another one too. Once the worker has
// taken a key of the namespace with the fewest workers, idle is back at its old value, and so is the limit for the
// others.
type fair[K comparable] struct {
	namespaceOf func(K) string
	newQueue    func() workqueue.Queue[K]

	mu            sync.Mutex
	workers, busy int
	waiting       int
	shares        map[string]*share[K]
	// turns are the namespaces with waiting keys, in the order of their turns.
	turns []*share[K]
	// keys has the share of each key that waits or is synced.
	keys map[K]*share[K]
}

// share is a namespace with keys that wait or are synced.
type share[K comparable] struct {
	namespace string
	waiting   workqueue.Queue[K]
	busy      int // workers
}

// LeastPerNamespace is the least number of keys of one namespace that a queue must sync at the same time. With fewer,
// and so with fewer workers, syncs that hang in three namespaces would leave no worker for a fourth.
const LeastPerNamespace = 4

// WorkersFor returns how many workers a queue needs to sync n keys of one namespace at the same time. n is
// LeastPerNamespace or more.
func WorkersFor(n int) int { return 2 * n }

func newFair[K comparable](namespaceOf func(K) string, newQueue func() workqueue.Queue[K]) *fair[K] {
	return &fair[K]{
		namespaceOf: namespaceOf, newQueue: newQueue, shares: map[string]*share[K]{}, keys: map[K]*share[K]{},
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
		s = &share[K]{namespace: namespace, waiting: f.newQueue()}
		f.shares[namespace] = s
	}
	if s.waiting.Len() == 0 {
		f.turns = append(f.turns, s)
	}
	s.waiting.Push(key)
	f.keys[key] = s
	f.waiting++
}

// Touch is called for a key that waits and was added again.
func (f *fair[K]) Touch(key K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.keys[key]; s != nil {
		s.waiting.Touch(key)
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
	key := s.waiting.Pop()
	if s.waiting.Len() > 0 {
		f.turns = append(f.turns, s)
	}
	f.waiting--
	f.busy++
	s.busy++
	return key
}

// done ends the sync of a key. It must be called before Done of the workqueue, which may push the key again.
func (f *fair[K]) done(key K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.keys[key]
	delete(f.keys, key)
	f.busy--
	s.busy--
	if s.busy == 0 && s.waiting.Len() == 0 {
		delete(f.shares, s.namespace)
	}
}

// next returns the index in turns of the namespace that gets the next worker, or -1 if none may have another one. It
// stops at the first namespace without workers, so it checks at most one namespace more than there are workers.
func (f *fair[K]) next() int {
	next := -1
	for i, s := range f.turns {
		if s.busy < fairness.Share(f.workers, f.busy-s.busy) && (next < 0 || s.busy < f.turns[next].busy) {
			next = i
		}
		if s.busy == 0 {
			break
		}
	}
	return next
}

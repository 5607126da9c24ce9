package versions

import (
	"errors"
	"sync"
)

// Shared makes one call at a time for each key, so that an older state is never stored after a newer one. Callers that
// arrive during a call share the next one. That call begins after all of them have arrived, so it reads nothing older
// than a call of their own would.
type Shared[K comparable, V any] struct {
	mu sync.Mutex
	// running is the call of a key that has begun, next the one that begins after it.
	running, next map[K]*call[V]
}

type call[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// errPanicked is returned to the callers that shared a call that panicked. The caller that made the call panics.
var errPanicked = errors.New("a call that was shared panicked")

// NewShared makes a Shared without calls.
func NewShared[K comparable, V any]() *Shared[K, V] {
	return &Shared[K, V]{running: map[K]*call[V]{}, next: map[K]*call[V]{}}
}

// Do returns the result of f, or of the f of another caller with the same key.
func (s *Shared[K, V]) Do(key K, f func() (V, error)) (V, error) {
	s.mu.Lock()
	if shared := s.next[key]; shared != nil {
		s.mu.Unlock()
		<-shared.done
		return shared.value, shared.err
	}
	mine, before := &call[V]{done: make(chan struct{}), err: errPanicked}, s.running[key]
	s.next[key] = mine
	s.mu.Unlock()
	if before != nil {
		<-before.done
	}
	s.mu.Lock()
	s.running[key] = mine
	delete(s.next, key)
	s.mu.Unlock()
	defer s.end(key, mine)
	mine.value, mine.err = f()
	return mine.value, mine.err
}

func (s *Shared[K, V]) end(key K, ended *call[V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[key] == ended {
		delete(s.running, key)
	}
	close(ended.done)
}

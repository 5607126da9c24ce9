package events

import (
	"slices"
	"sync"

	"kontroler/store/view"
)

// Subscription gets batches until it is closed or the feed stops.
type Subscription struct {
	feed *Feed
	user int64
	// begun is closed when the subscription follows the feed, or cannot. Then snapshot and id are its beginning, or err
	// says why it cannot.
	begun    chan struct{}
	snapshot view.Snapshot
	id       string
	err      error

	ended      chan struct{}
	hasPending chan struct{}
	closing    sync.Once

	mu      sync.Mutex
	pending []Batch
}

// Ended is closed when the feed stops.
func (s *Subscription) Ended() <-chan struct{} { return s.ended }

// HasPending has a value when batches wait for Take.
func (s *Subscription) HasPending() <-chan struct{} { return s.hasPending }

// Take removes and returns the batches that wait, oldest first.
func (s *Subscription) Take() []Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.pending
	s.pending = nil
	return taken
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.closing.Do(func() {
		s.feed.mu.Lock()
		defer s.feed.mu.Unlock()
		delete(s.feed.joining, s)
		delete(s.feed.following, s)
		if s.feed.users[s.user]--; s.feed.users[s.user] == 0 {
			delete(s.feed.users, s.user)
		}
	})
}

func (s *Subscription) begin(at view.Snapshot, id string, err error) {
	s.snapshot, s.id, s.err = at, id, err
	close(s.begun)
}

// add appends a batch. If too many wait, it replaces all with a TooSlow reset.
func (s *Subscription) add(batch Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) >= maxPending {
		s.pending, batch = s.pending[:0], Batch{Reset: TooSlow, ID: batch.ID}
	}
	s.pending = append(s.pending, batch)
	s.signal()
}

// prepend inserts a batch before those that wait.
func (s *Subscription) prepend(batch Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = slices.Insert(s.pending, 0, batch)
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.hasPending <- struct{}{}:
	default:
	}
}

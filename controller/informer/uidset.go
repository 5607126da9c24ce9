package informer

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// UIDSet remembers UIDs of objects, such as those whose deletion was requested, until an informer shows it.
type UIDSet struct {
	mu   sync.Mutex
	uids map[types.UID]struct{}
}

// NewUIDSet makes an empty set.
func NewUIDSet() *UIDSet { return &UIDSet{uids: map[types.UID]struct{}{}} }

// Add adds a UID.
func (s *UIDSet) Add(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uids[uid] = struct{}{}
}

// Begin adds a UID and reports whether it was not in the set.
func (s *UIDSet) Begin(uid types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.uids[uid]
	s.uids[uid] = struct{}{}
	return !there
}

// Has reports whether a UID is in the set.
func (s *UIDSet) Has(uid types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.uids[uid]
	return ok
}

// Remove removes a UID.
func (s *UIDSet) Remove(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uids, uid)
}

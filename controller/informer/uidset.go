package informer

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// UIDSet remembers UIDs of objects, such as those whose deletion was requested, until an informer shows it. The zero
// value is empty.
type UIDSet struct{ uids sync.Map }

// Add adds a UID.
func (s *UIDSet) Add(uid types.UID) { s.uids.Store(uid, nil) }

// Has reports whether a UID is in the set.
func (s *UIDSet) Has(uid types.UID) bool {
	_, ok := s.uids.Load(uid)
	return ok
}

// Remove removes a UID.
func (s *UIDSet) Remove(uid types.UID) { s.uids.Delete(uid) }

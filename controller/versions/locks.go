package versions

import (
	"hash/maphash"
	"sync"

	"k8s.io/client-go/tools/cache"
)

// Locks serialize reads and stores of objects, so that nothing older is stored after something newer. Names share
// locks, so a goroutine holds at most one of a set.
type Locks struct {
	seed  maphash.Seed
	locks [64]sync.Mutex
}

// NewLocks makes a set of locks.
func NewLocks() *Locks { return &Locks{seed: maphash.MakeSeed()} }

// Lock locks a name. The caller calls unlock.
func (l *Locks) Lock(name cache.ObjectName) (unlock func()) {
	m := &l.locks[maphash.Comparable(l.seed, name)%uint64(len(l.locks))]
	m.Lock()
	return m.Unlock
}

package controller

import (
	"hash/maphash"
	"sync"

	"k8s.io/client-go/tools/cache"
)

// nameLocks serialize reads and stores of objects, so that nothing older is stored after something newer. Names share
// locks, so a goroutine holds at most one of a set.
type nameLocks struct {
	seed  maphash.Seed
	locks [64]sync.Mutex
}

func newNameLocks() *nameLocks { return &nameLocks{seed: maphash.MakeSeed()} }

func (l *nameLocks) lock(name cache.ObjectName) (unlock func()) {
	m := &l.locks[maphash.Comparable(l.seed, name)%uint64(len(l.locks))]
	m.Lock()
	return m.Unlock
}

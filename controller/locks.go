package controller

import (
	"hash/maphash"
	"sync"

	"k8s.io/client-go/tools/cache"
)

// nameLocks serialise what is read live and then stored of objects, so that nothing older is stored after something newer.
// Names share locks: whoever holds one asks for no other of the same set.
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

package queue

import (
	"slices"
	"sync"

	"k8s.io/client-go/tools/cache"
)

// Slots shares --max-pods between runs. A create takes a slot. If the create is refused, the slot is free again.
// Otherwise the Pod holds it until it ends or is gone. A run takes as many free slots as it wants, except those that
// are left for waiting runs. When no slot is free, runs wait. Each slot that becomes free is then reserved for one of
// them: the namespaces take turns, and so do the runs of a namespace.
//
// Slots may never become free, for example if the Pods of one namespace wait for nodes that nobody adds. Therefore a
// namespace without a slot gets one beyond --max-pods.
type Slots struct {
	mu  sync.Mutex
	max int
	// maxReserved is how many slots are reserved for runs of one namespace at a time. A namespace that is slow to use
	// them must not collect them.
	maxReserved int
	pods        map[cache.ObjectName]struct{} // live Pods
	held        int                           // slots of syncs that may still send creates
	reserved    map[RunKey]string             // one slot each, with the namespace of the run
	shares      map[string]*namespaceShare    // of the namespaces that have slots, or runs that wait
	turns       []string                      // the namespaces in which runs wait. The first comes next.
	wake        func(RunKey)
}

// namespaceShare is what a namespace has of the slots.
type namespaceShare struct {
	slots    int // of Pods, held by syncs, and reserved
	reserved int
	waiting  ring
}

// NewSlots makes max free slots. syncs is how many runs of one namespace are synced at the same time. A namespace never
// has more reserved slots than that. wake enqueues a run for which a slot is reserved.
func NewSlots(max, syncs int, wake func(RunKey)) *Slots {
	return &Slots{
		max:         max,
		maxReserved: syncs,
		pods:        map[cache.ObjectName]struct{}{},
		reserved:    map[RunKey]string{},
		shares:      map[string]*namespaceShare{},
		wake:        wake,
	}
}

// Grant has the slots of one sync. Only the goroutines of that sync use it.
type Grant struct {
	*Slots
	namespace string
	left      int // guarded by slots.mu once Pods are created
}

// Take gives the sync of a run up to want slots, and at least one if its namespace has none. Had the run to wait for
// that one, a sync without slots would succeed before each sync whose creates fail, and their error would never last.
// The sync must call Settle.
func (s *Slots) Take(namespace string, key RunKey, want int) *Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := 0
	if owner, isReserved := s.reserved[key]; isReserved {
		got = min(want, 1)
		delete(s.reserved, key)
		s.count(owner, -1, -1)
	}
	got += max(0, min(want-got, s.unassigned()-got-s.leftForWaiting()))
	if s.shareOf(namespace).slots == 0 {
		got = max(got, min(want, 1)) // no other run loses its turn: while one waits, its namespace has a slot
	}
	s.held += got
	s.count(namespace, got, 0)
	s.reserveFree()
	return &Grant{Slots: s, namespace: namespace, left: got}
}

// shareOf returns the share of a namespace. It makes one if there is none.
func (s *Slots) shareOf(namespace string) *namespaceShare {
	share := s.shares[namespace]
	if share == nil {
		share = &namespaceShare{}
		s.shares[namespace] = share
	}
	return share
}

// count adds to the slots of a namespace, and to those of them that are reserved.
func (s *Slots) count(namespace string, slots, reserved int) {
	share := s.shareOf(namespace)
	share.slots += slots
	share.reserved += reserved
	if share.slots == 0 && share.waiting.len() == 0 {
		delete(s.shares, namespace)
	}
}

// Remaining returns how many creates may be sent. It must be called before any create is sent.
func (g *Grant) Remaining() int { return g.left }

// Use assigns a slot to a Pod that was created.
func (g *Grant) Use(pod cache.ObjectName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free(1)
	g.add(pod) // does nothing if the Pod has a slot already
	g.reserveFree()
}

// Keep frees all slots but n. It must be called before any create is sent.
func (g *Grant) Keep(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free(max(0, g.left-n))
	g.reserveFree()
}

// Settle frees the slots that were not used.
func (g *Grant) Settle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free(g.left)
	g.reserveFree()
}

// free frees n of the slots.
func (g *Grant) free(n int) {
	g.left -= n
	g.held -= n
	g.count(g.namespace, -n, 0)
}

// Seen assigns a slot to a Pod that exists, even if none is free.
func (s *Slots) Seen(pod cache.ObjectName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(pod)
}

func (s *Slots) add(pod cache.ObjectName) {
	if _, isCounted := s.pods[pod]; !isCounted {
		s.pods[pod] = struct{}{}
		s.count(pod.Namespace, 1, 0)
	}
}

// Release frees the slots of Pods that ended or are gone.
func (s *Slots) Release(pods ...cache.ObjectName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pod := range pods {
		if _, isCounted := s.pods[pod]; isCounted {
			delete(s.pods, pod)
			s.count(pod.Namespace, -1, 0)
		}
	}
	s.reserveFree()
}

// Wait makes a run that could use more slots wait for one.
func (s *Slots) Wait(namespace string, key RunKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, isReserved := s.reserved[key]; !isReserved {
		share := s.shareOf(namespace)
		if share.waiting.len() == 0 {
			s.turns = append(s.turns, namespace)
		}
		share.waiting.add(key)
	}
	s.reserveFree()
}

// Forget frees the slot that is reserved for a run. A waiting run keeps waiting.
func (s *Slots) Forget(key RunKey) { s.Take("", key, 0).Settle() }

// InUse returns the number of live Pods, as far as this term knows.
func (s *Slots) InUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pods)
}

// unassigned returns how many slots are free. It is negative if there are more Pods than slots.
func (s *Slots) unassigned() int { return s.max - len(s.pods) - s.held - len(s.reserved) }

// leftForWaiting returns how many free slots are left for waiting runs: at most maxReserved for each namespace.
func (s *Slots) leftForWaiting() int {
	n := 0
	for _, namespace := range s.turns {
		n += min(s.shares[namespace].waiting.len(), s.maxReserved)
	}
	return n
}

// reserveFree reserves free slots for the runs whose turn it is, one each.
func (s *Slots) reserveFree() {
	for {
		turn := slices.IndexFunc(s.turns, func(namespace string) bool {
			share := s.shares[namespace]
			return share.slots == 0 || s.unassigned() > 0 && share.reserved < s.maxReserved
		})
		if turn < 0 {
			return
		}
		namespace := s.turns[turn]
		share := s.shares[namespace]
		key := share.waiting.next()
		if s.turns = slices.Delete(s.turns, turn, turn+1); share.waiting.len() > 0 {
			s.turns = append(s.turns, namespace)
		}
		s.reserved[key] = namespace
		s.count(namespace, 1, 1)
		s.wake(key)
	}
}

// RunKey is the workqueue key of a run: the UID of its DagRun.
type RunKey string

package queue

import (
	"slices"
	"sync"

	"k8s.io/client-go/tools/cache"
)

// Slots shares --max-pods between runs. A create takes a slot. If the create is refused, the slot is free again; else
// the Pod holds it until it ends or is gone. A run takes as many free slots as it wants, except those that are left for
// runs that wait. Once there are none, runs wait, and each slot that comes free is reserved for one of them: the
// namespaces take turns, and so do the runs of a namespace.
type Slots struct {
	mu  sync.Mutex
	max int
	// maxUnused is how many slots are reserved for runs of one namespace at a time. A namespace that is slow to use
	// them must not collect them.
	maxUnused int
	pods      map[cache.ObjectName]struct{} // that are live
	held      int                           // by syncs that may still send creates
	reserved  map[RunKey]string             // one slot each, with the namespace of the run
	unused    map[string]int                // how many slots are reserved for runs of a namespace
	// turns are the namespaces in which runs wait, runs these runs. The first comes next.
	turns   []string
	runs    map[string][]RunKey
	waiting map[RunKey]bool
	wake    func(RunKey)
}

// NewSlots makes max free slots. syncs is how many runs of one namespace are synced at the same time: it needs no more
// reserved slots. wake enqueues a run for which a slot is reserved.
func NewSlots(max, syncs int, wake func(RunKey)) *Slots {
	return &Slots{
		max:       max,
		maxUnused: syncs,
		pods:      map[cache.ObjectName]struct{}{},
		reserved:  map[RunKey]string{},
		unused:    map[string]int{},
		runs:      map[string][]RunKey{},
		waiting:   map[RunKey]bool{},
		wake:      wake,
	}
}

// Grant has the slots of one sync. Only the goroutines of that sync use it.
type Grant struct {
	*Slots
	left int // guarded by slots.mu once Pods are created
}

// Take gives a sync of a run up to want slots. The sync must call Settle.
func (s *Slots) Take(key RunKey, want int) *Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := 0
	if namespace, isReserved := s.reserved[key]; isReserved {
		got = min(want, 1)
		delete(s.reserved, key)
		if s.unused[namespace]--; s.unused[namespace] == 0 {
			delete(s.unused, namespace)
		}
	}
	got += max(0, min(want-got, s.free()-got-s.leftForWaiting()))
	s.held += got
	s.reserveFree()
	return &Grant{Slots: s, left: got}
}

// Remaining returns how many creates may be sent. It must be called before any create is sent.
func (g *Grant) Remaining() int { return g.left }

// Use assigns a slot to a Pod that was created.
func (g *Grant) Use(pod cache.ObjectName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left--
	g.held--
	g.pods[pod] = struct{}{}
	g.Slots.reserveFree() // the Pod may have had a slot already
}

// Keep frees all slots but n. It must be called before any create is sent.
func (g *Grant) Keep(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held -= max(0, g.left-n)
	g.left = min(g.left, n)
	g.Slots.reserveFree()
}

// Settle frees the slots that were not used.
func (g *Grant) Settle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held -= g.left
	g.left = 0
	g.Slots.reserveFree()
}

// Seen assigns a slot to a Pod that exists, even if none is free.
func (s *Slots) Seen(pod cache.ObjectName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods[pod] = struct{}{}
}

// Release frees the slots of Pods that ended or are gone.
func (s *Slots) Release(pods ...cache.ObjectName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pod := range pods {
		delete(s.pods, pod)
	}
	s.reserveFree()
}

// Wait lets a run of a namespace that could use more wait for a slot.
func (s *Slots) Wait(namespace string, key RunKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, isReserved := s.reserved[key]; !s.waiting[key] && !isReserved {
		s.waiting[key] = true
		if len(s.runs[namespace]) == 0 {
			s.turns = append(s.turns, namespace)
		}
		s.runs[namespace] = append(s.runs[namespace], key)
	}
	s.reserveFree()
}

// Forget frees the slot that is reserved for a run. A run that waits goes on waiting.
func (s *Slots) Forget(key RunKey) { s.Take(key, 0).Settle() }

// InUse returns the number of live Pods, as far as this term knows.
func (s *Slots) InUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pods)
}

func (s *Slots) free() int { return s.max - len(s.pods) - s.held - len(s.reserved) }

// leftForWaiting returns how many free slots are left for runs that wait: as many as are reserved next for each
// namespace.
func (s *Slots) leftForWaiting() int {
	n := 0
	for _, namespace := range s.turns {
		n += min(len(s.runs[namespace]), s.maxUnused)
	}
	return n
}

// reserveFree reserves free slots for the runs whose turn it is, one each.
func (s *Slots) reserveFree() {
	for s.free() > 0 {
		turn := slices.IndexFunc(s.turns, func(namespace string) bool { return s.unused[namespace] < s.maxUnused })
		if turn < 0 {
			return
		}
		namespace := s.turns[turn]
		key := s.runs[namespace][0]
		s.turns, s.runs[namespace] = slices.Delete(s.turns, turn, turn+1), s.runs[namespace][1:]
		if len(s.runs[namespace]) > 0 {
			s.turns = append(s.turns, namespace)
		} else {
			delete(s.runs, namespace)
		}
		delete(s.waiting, key)
		s.reserved[key] = namespace
		s.unused[namespace]++
		s.wake(key)
	}
}

// RunKey is the workqueue key of a run: the UID of its DagRun.
type RunKey string

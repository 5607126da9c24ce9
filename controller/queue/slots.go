package queue

import (
	"sync"

	"k8s.io/client-go/tools/cache"
)

// Slots shares --max-pods between runs. A create takes a slot. If the create is refused, the slot is free again; else
// the Pod holds it until it ends or is gone. A run takes as many free slots as it wants. Once there are none, runs
// wait, and each slot that comes free is reserved for one of them: the namespaces take turns, and so do the runs of a
// namespace.
type Slots struct {
	mu       sync.Mutex
	max      int
	pods     map[cache.ObjectName]struct{} // that are live
	held     int                           // by syncs that may still send creates
	reserved map[RunKey]bool               // one slot each
	// turns are the namespaces in which runs wait, runs these runs. The first comes next.
	turns   []string
	runs    map[string][]RunKey
	waiting map[RunKey]bool
	wake    func(RunKey)
}

// NewSlots makes max free slots. wake enqueues a run for which a slot is reserved.
func NewSlots(max int, wake func(RunKey)) *Slots {
	return &Slots{
		max:      max,
		pods:     map[cache.ObjectName]struct{}{},
		reserved: map[RunKey]bool{},
		runs:     map[string][]RunKey{},
		waiting:  map[RunKey]bool{},
		wake:     wake,
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
	if s.reserved[key] {
		got = min(want, 1)
		delete(s.reserved, key)
	}
	if len(s.turns) == 0 && got < want {
		got += max(0, min(want-got, s.free()-got))
	}
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
	if !s.waiting[key] && !s.reserved[key] {
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

// reserveFree reserves free slots for the runs whose turn it is, one each.
func (s *Slots) reserveFree() {
	for s.free() > 0 && len(s.turns) > 0 {
		namespace := s.turns[0]
		key := s.runs[namespace][0]
		s.turns, s.runs[namespace] = s.turns[1:], s.runs[namespace][1:]
		if len(s.runs[namespace]) > 0 {
			s.turns = append(s.turns, namespace)
		} else {
			delete(s.runs, namespace)
		}
		delete(s.waiting, key)
		s.reserved[key] = true
		s.wake(key)
	}
}

// RunKey is the workqueue key of a run: the UID of its DagRun.
type RunKey string

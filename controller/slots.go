package controller

import (
	"sync"

	"k8s.io/client-go/tools/cache"
)

// slots shares --max-pods between runs. A slot is taken when a create is sent, given back when that is refused, and held by
// the Pod until it has ended or is gone. While there are free ones a run takes what it wants; once there are none, runs wait
// in a ring, and each slot that comes free is kept for the one at its head: round robin, oldest first.
type slots struct {
	mu       sync.Mutex
	max      int
	pods     map[cache.ObjectName]struct{} // live Pods
	held     int                           // by syncs, for creates to send
	reserved map[runKey]int
	kept     int // sum of reserved
	ring     []runKey
	waiting  map[runKey]bool
	wake     func(runKey)
}

func newSlots(max int, wake func(runKey)) *slots {
	return &slots{max: max, pods: map[cache.ObjectName]struct{}{}, reserved: map[runKey]int{}, waiting: map[runKey]bool{}, wake: wake}
}

// grant is what a sync may create. It is used by the sync's goroutines alone.
type grant struct {
	*slots
	left int // guarded by slots.mu once Pods are created
}

// take gives a sync of the run up to want slots, which it must settle.
func (s *slots) take(key runKey, want int) *grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := min(want, s.reserved[key])
	s.kept -= s.reserved[key]
	delete(s.reserved, key)
	if len(s.ring) == 0 && got < want {
		got += max(0, min(want-got, s.free()-got))
	}
	s.held += got
	s.grant()
	return &grant{slots: s, left: got}
}

// use gives a slot to the Pod that was created.
func (g *grant) use(pod cache.ObjectName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left--
	g.held--
	g.pods[pod] = struct{}{}
	g.slots.grant() // the Pod may have had one
}

// settle gives back the slots that were not used.
func (g *grant) settle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held -= g.left
	g.left = 0
	g.slots.grant()
}

// seen notes a live Pod, also where there is no free slot: it is there.
func (s *slots) seen(pod cache.ObjectName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods[pod] = struct{}{}
}

// release frees the slot of a Pod that has ended or is gone, if it has one.
func (s *slots) release(pods ...cache.ObjectName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pod := range pods {
		delete(s.pods, pod)
	}
	s.grant()
}

// wait puts a run that could use more at the end of the ring.
func (s *slots) wait(key runKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.waiting[key] && s.reserved[key] == 0 {
		s.waiting[key] = true
		s.ring = append(s.ring, key)
	}
	s.grant()
}

// forget drops what is kept for a run that has ended.
func (s *slots) forget(key runKey) { s.take(key, 0).settle() }

// inUse is how many Pods are live, as far as this term knows.
func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pods)
}

func (s *slots) free() int { return s.max - len(s.pods) - s.held - s.kept }

// grant keeps free slots for the runs at the head of the ring, one each.
func (s *slots) grant() {
	for s.free() > 0 && len(s.ring) > 0 {
		key := s.ring[0]
		s.ring = s.ring[1:]
		delete(s.waiting, key)
		s.reserved[key]++
		s.kept++
		s.wake(key)
	}
}

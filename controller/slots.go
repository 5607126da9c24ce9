package controller

import "sync"

// slots shares --max-pods between runs. While there are free ones a run takes what it wants; once there are none, runs wait
// in a ring, and each slot that comes free is kept for the one at its head: round robin, oldest first.
type slots struct {
	mu       sync.Mutex
	max      int
	used     int // live attempts that are committed
	held     int // taken by syncs that have not committed yet
	settled  int // counts settlements
	reserved map[runKey]int
	kept     int // sum of reserved
	ring     []runKey
	waiting  map[runKey]bool
	wake     func(runKey)
}

func newSlots(max int, wake func(runKey)) *slots {
	return &slots{max: max, reserved: map[runKey]int{}, waiting: map[runKey]bool{}, wake: wake}
}

// reset states how many attempts are live, as counted in the database since mark; unless a sync was under way meanwhile.
func (s *slots) reset(live, mark int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held > 0 || s.settled != mark {
		return
	}
	s.used = live
	s.grant()
}

// mark is what reset wants to know of the time before the count.
func (s *slots) mark() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled
}

// take gives a sync of the run up to want slots. What it does not use it must settle.
func (s *slots) take(key runKey, want int) int {
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
	return got
}

// settle ends what take began: of taken slots, started are in use now, and ended earlier ones are free again.
func (s *slots) settle(taken, started, ended int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held -= taken
	s.settled++
	s.used = max(0, s.used+started-ended)
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

// inUse is how many attempts are live, as far as this term knows.
func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

func (s *slots) free() int { return s.max - s.used - s.held - s.kept }

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

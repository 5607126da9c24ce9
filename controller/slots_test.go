package controller

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// take, start what was given, and settle: what a sync does.
func syncSlots(s *slots, key runKey, want int) int {
	got := s.take(key, want)
	s.settle(got, got, 0)
	if got < want {
		s.wait(key)
	}
	return got
}

func TestSlotsAreSharedRoundRobin(t *testing.T) {
	var woken []runKey
	s := newSlots(4, func(key runKey) { woken = append(woken, key) })
	got := []int{syncSlots(s, "a", 10), syncSlots(s, "b", 10), syncSlots(s, "c", 10)}
	if diff := cmp.Diff([]int{4, 0, 0}, got); diff != "" {
		t.Fatalf("what the first syncs got (-want +got):\n%s", diff)
	}
	var order []runKey
	for range 7 {
		woken = nil
		s.settle(0, 0, 1) // somebody's Pod ends
		if len(woken) != 1 {
			t.Fatalf("one free slot woke %v", woken)
		}
		key := woken[0]
		if got := syncSlots(s, key, 10); got != 1 {
			t.Fatalf("%s was woken and got %d slots, want 1", key, got)
		}
		order = append(order, key)
	}
	if diff := cmp.Diff([]runKey{"a", "b", "c", "a", "b", "c", "a"}, order); diff != "" {
		t.Errorf("order of the woken (-want +got):\n%s", diff)
	}
}

func TestSlotsNeverExceedTheirNumber(t *testing.T) {
	var woken []runKey
	s := newSlots(5, func(key runKey) { woken = append(woken, key) })
	live := map[runKey]int{}
	for step := range 2000 {
		key := runKey(fmt.Sprint(step * 7 % 11))
		if len(woken) > 0 {
			key, woken = woken[0], woken[1:]
		}
		taken := s.take(key, 1+step%4)
		started := min(taken, step%3)
		ended := 0
		if live[key] > 0 && step%2 == 0 {
			ended = 1
		}
		s.settle(taken, started, ended)
		live[key] += started - ended
		if step%5 == 0 {
			s.wait(key)
		}
		total := 0
		for _, n := range live {
			total += n
		}
		if total > 5 || total != s.inUse() {
			t.Fatalf("step %d: %d live attempts, slots say %d, of 5", step, total, s.inUse())
		}
	}
}

func TestSlotsOfASyncThatFailsAreFreeAgain(t *testing.T) {
	s := newSlots(3, func(runKey) {})
	for range 10 {
		s.settle(s.take("a", 3), 0, 0)
	}
	if got := s.take("b", 3); got != 3 {
		t.Errorf("take = %d, want 3", got)
	}
}

func TestSlotsKeptForARunThatEndedGoToTheNext(t *testing.T) {
	var woken []runKey
	s := newSlots(1, func(key runKey) { woken = append(woken, key) })
	syncSlots(s, "a", 1)
	s.wait("b")
	s.wait("c")
	s.settle(0, 0, 1)
	s.settle(s.take("b", 0), 0, 0) // b has ended meanwhile
	if diff := cmp.Diff([]runKey{"b", "c"}, woken); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
}

package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/cache"
)

// slotWorld creates a Pod for each slot that a run is given, as a sync does whose creates are all accepted.
type slotWorld struct {
	*Slots
	woken []RunKey
	live  []cache.ObjectName
	made  int
}

func newSlotWorld(max int) *slotWorld {
	w := &slotWorld{}
	w.Slots = NewSlots(max, 8, func(key RunKey) { w.woken = append(w.woken, key) })
	return w
}

// sync takes slots, has all but the refused creates accepted, and settles. The namespace of a key is all but its last
// letter.
func (w *slotWorld) sync(key RunKey, want, refused int) int {
	namespace := string(key[:len(key)-1])
	g := w.Take(namespace, key, want)
	got := g.left
	for range got - min(got, refused) {
		w.made++
		pod := cache.NewObjectName(namespace, fmt.Sprint("pod-", w.made))
		w.live = append(w.live, pod)
		g.Use(pod)
	}
	g.Settle()
	if got < want {
		w.Wait(namespace, key)
	}
	return got
}

// end ends the oldest Pod.
func (w *slotWorld) end() {
	w.Release(w.live[0])
	w.live = w.live[1:]
}

func TestSlotsAreSharedRoundRobin(t *testing.T) {
	w := newSlotWorld(4)
	got := []int{w.sync("a", 10, 0), w.sync("b", 10, 0), w.sync("c", 10, 0)}
	if diff := cmp.Diff([]int{4, 0, 0}, got); diff != "" {
		t.Fatalf("what the first syncs got (-want +got):\n%s", diff)
	}
	var order []RunKey
	for range 7 {
		w.woken = nil
		w.end()
		if len(w.woken) != 1 {
			t.Fatalf("one free slot woke %v", w.woken)
		}
		key := w.woken[0]
		if got := w.sync(key, 10, 0); got != 1 {
			t.Fatalf("%s was woken and got %d slots, want 1", key, got)
		}
		order = append(order, key)
	}
	if diff := cmp.Diff([]RunKey{"a", "b", "c", "a", "b", "c", "a"}, order); diff != "" {
		t.Errorf("order of the woken (-want +got):\n%s", diff)
	}
}

// A namespace with many runs has no more slots than one with few.
func TestSlotsAreSharedBetweenNamespaces(t *testing.T) {
	w := newSlotWorld(4)
	w.Seen(cache.NewObjectName("b", "old"))
	w.Seen(cache.NewObjectName("c", "old"))
	for _, key := range []RunKey{"a1", "a2", "a3", "b1", "c1", "c2"} {
		w.sync(key, 10, 0)
	}
	w.Seen(cache.NewObjectName("a", "old"))
	w.max++ // the old Pods do not end
	var order []RunKey
	for range 9 {
		w.woken = nil
		w.end()
		for _, key := range w.woken {
			w.sync(key, 10, 0)
		}
		order = append(order, w.woken...)
	}
	want := []RunKey{"a1", "b1", "c1", "a2", "b1", "c2", "a3", "b1", "c1"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order of the woken (-want +got):\n%s", diff)
	}
}

// However many Pods of a namespace never end, each other one has a slot, and no more beyond all slots.
func TestNamespaceWithoutSlotsGetsOne(t *testing.T) {
	w := newSlotWorld(5)
	if got := w.sync("a1", 10, 0); got != 5 {
		t.Fatalf("the first run got %d slots, want 5", got)
	}
	got := []int{w.sync("b1", 10, 0), w.sync("b2", 10, 0), w.sync("c1", 10, 0)}
	if diff := cmp.Diff([]int{1, 0, 1}, got); diff != "" {
		t.Fatalf("what the first syncs of b and c got (-want +got):\n%s", diff)
	}
	syncWoken := func(want ...RunKey) {
		t.Helper()
		woken := w.woken
		if w.woken = nil; !slices.Equal(woken, want) {
			t.Fatalf("woke %v, want %v", woken, want)
		}
		for _, key := range woken {
			if got := w.sync(key, 10, 0); got != 1 {
				t.Fatalf("%s got %d slots, want 1", key, got)
			}
		}
	}
	for _, next := range []RunKey{"b1", "c1", "b2"} {
		syncWoken()
		if got := w.InUse(); got != 7 {
			t.Fatalf("%d Pods, want 7", got)
		}
		w.Release(w.live[5])
		w.live = slices.Delete(w.live, 5, 6)
		syncWoken(next)
	}
}

// A run whose creates fail leaves the slot of its namespace to those that wait, in turn.
func TestSlotOfANamespaceWhoseCreatesFail(t *testing.T) {
	w := newSlotWorld(1)
	w.sync("a1", 1, 0)
	first := w.Take("b", "b1", 1)
	for _, key := range []RunKey{"b2", "b3"} {
		if got := w.sync(key, 1, 0); got != 0 {
			t.Fatalf("%s got %d slots beside b1", key, got)
		}
	}
	first.Settle() // its create has failed
	again := w.Take("b", "b1", 1)
	if again.Settle(); again.Remaining() != 0 {
		t.Error("b1 has a slot before b2 and b3")
	}
	w.sync("b2", 1, 1)
	if diff := cmp.Diff([]RunKey{"b2", "b3"}, w.woken); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
}

// A namespace that does not use the slots that are reserved for its runs leaves the others to the next.
func TestSlotsAreNotCollected(t *testing.T) {
	const max = 40
	w := newSlotWorld(max)
	w.sync("x1", max, 0)
	for i := range max {
		w.Wait("slow", RunKey(fmt.Sprint("slow", i)))
		w.Wait("quick", RunKey(fmt.Sprint("quick", i)))
	}
	got := map[bool]int{}
	for range max - 5 {
		w.end()
		for _, key := range w.woken {
			isSlow := strings.HasPrefix(string(key), "slow")
			if got[isSlow]++; !isSlow {
				w.Take("quick", key, 1).Use(cache.NewObjectName("quick", string(key)))
			}
		}
		w.woken = nil
	}
	if diff := cmp.Diff(map[bool]int{true: w.maxReserved, false: max - 5 - w.maxReserved}, got); diff != "" {
		t.Errorf("slots of the slow namespace and of the other one (-want +got):\n%s", diff)
	}
}

// Runs that wait do not keep other runs from slots that are free beyond those left for them, however many they are.
func TestSlotsThatAreFreeWhileRunsWait(t *testing.T) {
	const free, want = 1000, 100
	for _, waiting := range []int{1, 8, 9, 20, 5000} {
		t.Run(fmt.Sprint(waiting), func(t *testing.T) {
			w := newSlotWorld(2 * free)
			w.sync("big1", 2*free, 0)
			for i := range waiting {
				w.Wait("a", RunKey(fmt.Sprint("a", i)))
			}
			w.Release(w.live[:free]...)
			if got := w.Take("b", "b1", want); got.Remaining() != want {
				t.Errorf("a run of another namespace has %d slots, want %d", got.Remaining(), want)
			} else {
				got.Settle()
			}
			for syncs, made := 0, 0; made < free; syncs++ {
				if syncs > free/want+2*w.maxReserved {
					t.Fatalf("%d of %d Pods after %d syncs", made, free, syncs)
				}
				key := w.woken[0]
				w.woken = w.woken[1:]
				g := w.Take("a", key, min(want, free-made))
				for range g.Remaining() {
					made++
					g.Use(cache.NewObjectName("a", fmt.Sprint("pod-", made)))
				}
				g.Settle()
				w.Wait("a", key)
			}
		})
	}
}

// A sync keeps only the slots that it is going to use.
func TestSlotsThatASyncDoesNotKeep(t *testing.T) {
	w := newSlotWorld(10)
	first := w.Take("a", "a1", 10)
	first.Keep(3)
	if got := w.Take("b", "b1", 10).Remaining(); got != 7 || first.Remaining() != 3 {
		t.Errorf("the second run has %d slots, want 7; the first has %d, want 3", got, first.Remaining())
	}
}

func TestSlotsNeverExceedTheirNumber(t *testing.T) {
	w := newSlotWorld(5)
	for step := range 2000 {
		key := RunKey(fmt.Sprint(step * 7 % 11))
		if len(w.woken) > 0 {
			key, w.woken = w.woken[0], w.woken[1:]
		}
		w.sync(key, 1+step%4, step%3)
		if len(w.live) > 0 && step%2 == 0 {
			w.end()
		}
		if len(w.live) > 5 || len(w.live) != w.InUse() {
			t.Fatalf("step %d: %d live Pods, slots say %d, of 5", step, len(w.live), w.InUse())
		}
	}
}

// Refused Pods hold no slots: the run of another namespace finds them free.
func TestSlotsOfRefusedCreatesAreFreeAgain(t *testing.T) {
	w := newSlotWorld(3)
	for range 10 {
		w.sync("refused", 3, 3)
	}
	if got := w.sync("b", 3, 0); got != 3 {
		t.Errorf("another run got %d slots, want 3", got)
	}
}

func TestSlotsOfAPodAreReleasedOnce(t *testing.T) {
	w := newSlotWorld(2)
	w.sync("a", 2, 0)
	pod := w.live[0]
	w.Release(pod)
	w.Release(pod) // its end is committed, and its deletion is seen
	w.Seen(w.live[1])
	if w.InUse() != 1 {
		t.Errorf("%d slots in use, want 1", w.InUse())
	}
}

func TestSlotsKeptForARunThatEndedGoToTheNext(t *testing.T) {
	w := newSlotWorld(1)
	w.sync("a", 1, 0)
	w.Wait("ns", "b")
	w.Wait("ns", "c")
	w.end()
	w.Forget("b")
	if diff := cmp.Diff([]RunKey{"b", "c"}, w.woken); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
}

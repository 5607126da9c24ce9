package controller

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/controller/engine"
)

// gateWorld is the gates of one cluster and a clock.
type gateWorld struct {
	*testing.T
	*gates
	now   time.Time
	woken []runKey
}

func newGateWorld(t *testing.T) *gateWorld {
	w := &gateWorld{T: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.gates = newGates(func(key runKey) { w.woken = append(w.woken, key) })
	return w
}

var quotaFull = engine.Refusal{Reason: engine.ReasonQuotaExceeded, Message: "exceeded quota"}

// wants that a create of a run passes, or that it does not.
func (w *gateWorld) wants(pass bool, key runKey, t template) {
	w.Helper()
	if why, got := w.pass("n", key, t); got != pass {
		w.Fatalf("a create of %s passes: %v (%s), want %v", key, got, why.Reason, pass)
	}
}

// after moves the clock and returns whom that woke.
func (w *gateWorld) after(d time.Duration) []runKey {
	w.now, w.woken = w.now.Add(d), nil
	w.probe(w.now)
	return w.woken
}

func TestFullQuotaIsProbedByOneCreateOfTheNamespaceInTurns(t *testing.T) {
	w, any := newGateWorld(t), template{}
	w.wants(true, "a", any)
	w.refused("n", "a", any, quotaFull, w.now)
	w.wants(false, "b", any)
	w.wants(false, "c", any)
	turns := []runKey{"a", "b", "c", "a", "b", "c", "a", "b"}
	for i, delay := 0, time.Second; i < len(turns); i, delay = i+1, min(2*delay, time.Minute) {
		if woken := w.after(delay - time.Millisecond); len(woken) > 0 {
			t.Fatalf("%v was woken before %s were over", woken, delay)
		}
		if diff := cmp.Diff([]runKey{turns[i]}, w.after(time.Millisecond)); diff != "" {
			t.Fatalf("woken for probe %d (-want +got):\n%s", i, diff)
		}
		w.wants(true, turns[i], any)
		w.wants(false, turns[i], any) // one create
		w.refused("n", turns[i], any, quotaFull, w.now)
	}
	if _, pass := w.pass("other", "z", any); !pass {
		t.Error("another namespace is closed")
	}
}

func TestCreatesThatWereSentBeforeTheNamespaceClosedDoNotDelayTheProbe(t *testing.T) {
	w, any := newGateWorld(t), template{}
	for range 16 {
		w.wants(true, "a", any)
	}
	for range 16 {
		w.refused("n", "a", any, quotaFull, w.now)
	}
	if woken := w.after(time.Second); len(woken) != 1 {
		t.Errorf("woken after a second: %v, want one probe", woken)
	}
}

func TestAcceptedProbesReopenANamespaceStepByStep(t *testing.T) {
	w, any := newGateWorld(t), template{}
	runs := []runKey{"a", "b", "c", "d", "e", "f", "g", "h"}
	w.refused("n", "a", any, quotaFull, w.now)
	for _, run := range runs[1:] {
		w.wants(false, run, any)
	}
	queue := w.after(time.Second)
	var order []runKey
	for len(queue) > 0 {
		run := queue[0]
		w.woken = nil
		w.wants(true, run, any)
		w.accepted("n", any)
		order, queue = append(order, run), append(queue[1:], w.woken...)
	}
	if diff := cmp.Diff(runs, order); diff != "" {
		t.Errorf("order of the creates (-want +got):\n%s", diff)
	}
	w.wants(true, "z", any)
}

func TestAProbeThatNobodySendsIsTheNextRuns(t *testing.T) {
	w, any := newGateWorld(t), template{}
	w.refused("n", "a", any, quotaFull, w.now)
	w.wants(false, "b", any)
	w.after(time.Second) // a has ended meanwhile
	if diff := cmp.Diff([]runKey{"b"}, w.after(time.Second)); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
}

func TestANamespaceForWhichNobodyWaitsIsForgotten(t *testing.T) {
	w, any := newGateWorld(t), template{}
	w.refused("n", "a", any, quotaFull, w.now)
	w.after(time.Second)
	w.after(time.Second)
	if len(w.closed) > 0 {
		t.Errorf("%d gates are left", len(w.closed))
	}
}

func TestAPolicyClosesANamespaceForTheTemplateThatItRefuses(t *testing.T) {
	w, bad, worse, good := newGateWorld(t), template{version: 1}, template{version: 1, task: 1}, template{version: 2}
	denied := engine.Refusal{Reason: engine.ReasonCreateRefused, Message: "violates PodSecurity"}
	w.wants(true, "a", bad)
	w.refused("n", "a", bad, denied, w.now)
	w.wants(false, "b", bad)
	w.wants(true, "g", good)
	w.accepted("n", good)
	w.wants(true, "a", worse) // nobody has tried
	w.refused("n", "a", worse, denied, w.now)
	if reason := w.reason("n"); reason != "" {
		t.Errorf("the whole namespace is closed: %s", reason)
	}
	if diff := cmp.Diff([]runKey{"a"}, w.after(time.Second)); diff != "" {
		t.Fatalf("woken (-want +got):\n%s", diff)
	}
	w.wants(true, "a", bad) // one probe for all templates
	w.wants(false, "a", worse)
	w.accepted("n", bad) // the policy has changed
	w.wants(true, "a", worse)
	w.wants(true, "b", bad)
}

func TestTasksAreBlockedBeforeTheyTakeSlots(t *testing.T) {
	w := newGateWorld(t)
	if blocked := w.blocked("n", "a", 1, []int{0, 1}); len(blocked) > 0 {
		t.Errorf("blocked in an open namespace: %v", blocked)
	}
	denied := engine.Refusal{Reason: engine.ReasonCreateRefused, Message: "violates PodSecurity"}
	w.refused("n", "x", template{version: 1, task: 1}, denied, w.now)
	if diff := cmp.Diff(map[int]engine.Refusal{1: denied}, w.blocked("n", "a", 1, []int{0, 1})); diff != "" {
		t.Errorf("one template is refused (-want +got):\n%s", diff)
	}
	w.refused("n", "x", template{version: 1}, quotaFull, w.now)
	both := map[int]engine.Refusal{0: quotaFull, 1: quotaFull}
	if diff := cmp.Diff(both, w.blocked("n", "a", 1, []int{0, 1})); diff != "" {
		t.Errorf("the quota is full (-want +got):\n%s", diff)
	}
	w.after(time.Second)
	if diff := cmp.Diff([]runKey{"a"}, w.after(time.Second)); diff != "" { // x was first
		t.Fatalf("woken (-want +got):\n%s", diff)
	}
	for range 2 { // asking uses nothing up
		if diff := cmp.Diff(map[int]engine.Refusal{1: quotaFull}, w.blocked("n", "a", 1, []int{0, 1})); diff != "" {
			t.Errorf("its turn is one create (-want +got):\n%s", diff)
		}
	}
	w.wants(true, "a", template{version: 1})
}

func TestAPolicySaysNothingOfTheQuota(t *testing.T) {
	w, bad, good := newGateWorld(t), template{version: 1}, template{version: 2}
	w.refused("n", "a", bad, quotaFull, w.now)
	w.wants(false, "b", good)
	w.after(time.Second)
	w.wants(true, "a", bad)
	w.refused("n", "a", bad, engine.Refusal{Reason: engine.ReasonCreateRefused}, w.now)
	if diff := cmp.Diff([]runKey{"b"}, w.after(time.Second)); diff != "" {
		t.Fatalf("woken (-want +got):\n%s", diff)
	}
	w.wants(true, "b", good)
}

package queue

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/controller/engine"
)

// gateWorld is the gates of one cluster and a clock.
type gateWorld struct {
	*testing.T
	*Gates
	now   time.Time
	woken []RunKey
}

func newGateWorld(t *testing.T) *gateWorld {
	w := &gateWorld{T: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.Gates = NewGates(func(key RunKey) { w.woken = append(w.woken, key) })
	return w
}

var quotaFull = engine.Refusal{Reason: engine.ReasonQuotaExceeded, Message: "exceeded quota"}

// wants that a create of a run passes, or that it does not.
func (w *gateWorld) wants(pass bool, key RunKey, t Template) {
	w.Helper()
	if why, got := w.Pass("n", key, t); got != pass {
		w.Fatalf("a create of %s passes: %v (%s), want %v", key, got, why.Reason, pass)
	}
}

// after moves the clock and returns whom that woke.
func (w *gateWorld) after(d time.Duration) []RunKey {
	w.now, w.woken = w.now.Add(d), nil
	w.Probe(w.now)
	return w.woken
}

func TestFullQuotaIsProbedByOneCreateOfTheNamespaceInTurns(t *testing.T) {
	w, any := newGateWorld(t), Template{}
	w.wants(true, "a", any)
	w.Refused("n", "a", any, quotaFull, w.now)
	w.wants(false, "b", any)
	w.wants(false, "c", any)
	turns := []RunKey{"a", "b", "c", "a", "b", "c", "a", "b"}
	for i, delay := 0, time.Second; i < len(turns); i, delay = i+1, min(2*delay, time.Minute) {
		if woken := w.after(delay - time.Millisecond); len(woken) > 0 {
			t.Fatalf("%v was woken before %s were over", woken, delay)
		}
		if diff := cmp.Diff([]RunKey{turns[i]}, w.after(time.Millisecond)); diff != "" {
			t.Fatalf("woken for probe %d (-want +got):\n%s", i, diff)
		}
		w.wants(true, turns[i], any)
		w.wants(false, turns[i], any) // one create
		w.Refused("n", turns[i], any, quotaFull, w.now)
	}
	if _, pass := w.Pass("other", "z", any); !pass {
		t.Error("another namespace is closed")
	}
}

func TestCreatesThatWereSentBeforeTheNamespaceClosedDoNotDelayTheProbe(t *testing.T) {
	w, any := newGateWorld(t), Template{}
	for range 16 {
		w.wants(true, "a", any)
	}
	for range 16 {
		w.Refused("n", "a", any, quotaFull, w.now)
	}
	if woken := w.after(time.Second); len(woken) != 1 {
		t.Errorf("woken after a second: %v, want one probe", woken)
	}
}

func TestAcceptedProbesReopenANamespaceStepByStep(t *testing.T) {
	w, any := newGateWorld(t), Template{}
	runs := []RunKey{"a", "b", "c", "d", "e", "f", "g", "h"}
	w.Refused("n", "a", any, quotaFull, w.now)
	for _, run := range runs[1:] {
		w.wants(false, run, any)
	}
	queue := w.after(time.Second)
	var order []RunKey
	for len(queue) > 0 {
		run := queue[0]
		w.woken = nil
		w.wants(true, run, any)
		w.Accepted("n", any)
		order, queue = append(order, run), append(queue[1:], w.woken...)
	}
	if diff := cmp.Diff(runs, order); diff != "" {
		t.Errorf("order of the creates (-want +got):\n%s", diff)
	}
	w.wants(true, "z", any)
}

func TestAProbeThatNobodySendsIsTheNextRuns(t *testing.T) {
	w, any := newGateWorld(t), Template{}
	w.Refused("n", "a", any, quotaFull, w.now)
	w.wants(false, "b", any)
	w.after(time.Second) // a has ended meanwhile
	if diff := cmp.Diff([]RunKey{"b"}, w.after(time.Second)); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
}

// Runs that end while they wait do not delay those behind them, whether their turn has come or not.
func TestRunsThatHaveEndedDoNotDelayAProbe(t *testing.T) {
	w, any := newGateWorld(t), Template{}
	w.Refused("n", "a", any, quotaFull, w.now)
	for _, key := range []RunKey{"b", "c"} {
		w.wants(false, key, any)
	}
	w.Forget("n", "b")
	w.after(time.Second) // the turn of a
	w.Forget("n", "a")
	w.wants(true, "c", any)
}

func TestANamespaceForWhichNobodyWaitsIsForgotten(t *testing.T) {
	w, any := newGateWorld(t), Template{}
	w.Refused("n", "a", any, quotaFull, w.now)
	w.after(time.Second)
	w.after(time.Second)
	if len(w.closed) > 0 {
		t.Errorf("%d gates are left", len(w.closed))
	}
}

func TestAPolicyClosesANamespaceForTheTemplateThatItRefuses(t *testing.T) {
	w, bad, worse, good := newGateWorld(t), Template{Version: 1}, Template{Version: 1, Task: 1}, Template{Version: 2}
	denied := engine.Refusal{Reason: engine.ReasonCreateRefused, Message: "violates PodSecurity"}
	w.wants(true, "a", bad)
	w.Refused("n", "a", bad, denied, w.now)
	w.wants(false, "b", bad)
	w.wants(true, "g", good)
	w.Accepted("n", good)
	w.wants(true, "a", worse) // nobody has tried
	w.Refused("n", "a", worse, denied, w.now)
	if reason := w.Reason("n"); reason != "" {
		t.Errorf("the whole namespace is closed: %s", reason)
	}
	if diff := cmp.Diff([]RunKey{"a"}, w.after(time.Second)); diff != "" {
		t.Fatalf("woken (-want +got):\n%s", diff)
	}
	w.wants(true, "a", bad) // one probe for all templates
	w.wants(false, "a", worse)
	w.Accepted("n", bad) // the policy has changed
	w.wants(true, "a", worse)
	w.wants(true, "b", bad)
}

func TestTasksAreBlockedBeforeTheyTakeSlots(t *testing.T) {
	w := newGateWorld(t)
	if blocked := w.Blocked("n", "a", 1, []int{0, 1}); len(blocked) > 0 {
		t.Errorf("blocked in an open namespace: %v", blocked)
	}
	denied := engine.Refusal{Reason: engine.ReasonCreateRefused, Message: "violates PodSecurity"}
	w.Refused("n", "x", Template{Version: 1, Task: 1}, denied, w.now)
	if diff := cmp.Diff(map[int]engine.Refusal{1: denied}, w.Blocked("n", "a", 1, []int{0, 1})); diff != "" {
		t.Errorf("one template is refused (-want +got):\n%s", diff)
	}
	w.Refused("n", "x", Template{Version: 1}, quotaFull, w.now)
	both := map[int]engine.Refusal{0: quotaFull, 1: quotaFull}
	if diff := cmp.Diff(both, w.Blocked("n", "a", 1, []int{0, 1})); diff != "" {
		t.Errorf("the quota is full (-want +got):\n%s", diff)
	}
	w.after(time.Second)
	if diff := cmp.Diff([]RunKey{"a"}, w.after(time.Second)); diff != "" { // x was first
		t.Fatalf("woken (-want +got):\n%s", diff)
	}
	for range 2 { // asking uses nothing up
		if diff := cmp.Diff(map[int]engine.Refusal{1: quotaFull}, w.Blocked("n", "a", 1, []int{0, 1})); diff != "" {
			t.Errorf("its turn is one create (-want +got):\n%s", diff)
		}
	}
	w.wants(true, "a", Template{Version: 1})
}

func TestAPolicySaysNothingOfTheQuota(t *testing.T) {
	w, bad, good := newGateWorld(t), Template{Version: 1}, Template{Version: 2}
	w.Refused("n", "a", bad, quotaFull, w.now)
	w.wants(false, "b", good)
	w.after(time.Second)
	w.wants(true, "a", bad)
	w.Refused("n", "a", bad, engine.Refusal{Reason: engine.ReasonCreateRefused}, w.now)
	if diff := cmp.Diff([]RunKey{"b"}, w.after(time.Second)); diff != "" {
		t.Fatalf("woken (-want +got):\n%s", diff)
	}
	w.wants(true, "b", good)
}

package queue

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/engine"
)

func TestPendingGivesEachChangeToOneSync(t *testing.T) {
	d, key, seen := NewPending(), RunKey("r"), map[string]int{}
	for i := range 1200 {
		d.Pod(key, fmt.Sprint(i))
	}
	for more := true; more; {
		var c *Changes
		if c, more = d.Take(key, 500); len(c.Pods) > 500 {
			t.Fatalf("a sync was given %d Pods", len(c.Pods))
		} else {
			for name := range c.Pods {
				seen[name]++
			}
		}
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("Pod %s was given to %d syncs", name, n)
		}
	}
	if len(seen) != 1200 {
		t.Errorf("%d of 1200 Pods were given out", len(seen))
	}
	if c, _ := d.Take(key, 500); c.IsFull || len(c.Pods) > 0 {
		t.Error("something is left")
	}
}

func TestPendingRestoreKeepsWhatCameMeanwhile(t *testing.T) {
	d, key := NewPending(), RunKey("r")
	d.Full(key)
	d.Pod(key, "a")
	d.Refused(key, "a", engine.Refusal{Reason: "old"})
	d.Created(key, "a", types.UID("old"))
	taken, _ := d.Take(key, 500)
	d.Pod(key, "b")
	d.Refused(key, "a", engine.Refusal{Reason: "new"})
	d.Created(key, "a", types.UID("new"))
	d.Restore(key, taken)
	c, _ := d.Take(key, 500)
	if !c.IsFull || len(c.Pods) != 2 || c.Refusals["a"].Reason != "new" || c.Created["a"] != "new" {
		t.Errorf("after restore: %+v", c)
	}
}

// A run whose syncs fail is urgent for the one sync that a slot was reserved for.
func TestPendingRestoreForgetsTheSlot(t *testing.T) {
	d, key := NewPending(), RunKey("r")
	d.SlotReserved(key)
	if !d.IsUrgent(key) {
		t.Error("a run with a reserved slot is not urgent")
	}
	taken, _ := d.Take(key, 500)
	d.Restore(key, taken)
	if d.IsUrgent(key) {
		t.Error("the run is urgent after its sync has failed")
	}
}

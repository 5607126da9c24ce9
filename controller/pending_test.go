package controller

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/engine"
	"kontroler/controller/queue"
)

func TestPendingGivesEachChangeToOneSync(t *testing.T) {
	d, key, seen := newPending(), queue.RunKey("r"), map[string]int{}
	for i := range 1200 {
		d.pod(key, fmt.Sprint(i))
	}
	for more := true; more; {
		var c *pendingChanges
		if c, more = d.take(key, 500); len(c.pods) > 500 {
			t.Fatalf("a sync was given %d Pods", len(c.pods))
		} else {
			for name := range c.pods {
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
	if c, _ := d.take(key, 500); c.isFull || len(c.pods) > 0 {
		t.Error("something is left")
	}
}

func TestPendingRestoreKeepsWhatCameMeanwhile(t *testing.T) {
	d, key := newPending(), queue.RunKey("r")
	d.full(key)
	d.pod(key, "a")
	d.refused(key, "a", engine.Refusal{Reason: "old"})
	d.created(key, "a", types.UID("old"))
	taken, _ := d.take(key, 500)
	d.pod(key, "b")
	d.refused(key, "a", engine.Refusal{Reason: "new"})
	d.created(key, "a", types.UID("new"))
	d.restore(key, taken)
	c, _ := d.take(key, 500)
	if !c.isFull || len(c.pods) != 2 || c.refusals["a"].Reason != "new" || c.created["a"] != "new" {
		t.Errorf("after restore: %+v", c)
	}
}

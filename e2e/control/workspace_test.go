package control_test

import (
	"testing"

	"kontroler/apis/kontroler/v1alpha1"
)

// A controller is killed around the creation and the deletion of a claim. One claim is created, and none is left.
func TestWorkspaceKilledAt(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{
		"claim-create:1", "claim-created:1", "claim-recorded:1", "run-end-committed:1", "claim-delete:1",
		"claim-deleted:1", "end-recorded:1",
	} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			w.prepareWorkspace()
			w.DieAt(fault, nil)
			var made []string
			for _, claim := range w.Claims() {
				made = append(made, string(claim.UID))
			}
			w.Controller(takeOver)
			row := w.CheckFinal(theRun, "Succeeded", all("Succeeded", "a", "b"))
			w.CheckOnce("a", "b")
			w.CheckStarts(theRun)
			w.CheckEvent(row.UID, "Succeeded")
			if uid := w.RecordedClaim(theRun); len(made) > 0 && made[0] != uid {
				t.Errorf("claim %s was replaced by %s", made[0], uid)
			}
			w.WaitClaims()
		})
	}
}

func (w *world) prepareWorkspace() {
	w.T.Helper()
	w.Apply(w.Manifest("DAG", "dag", v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{
		play("a", ""), play("b", "", after("a")),
	}}) + w.Manifest("DagRun", theRun, v1alpha1.DagRunSpec{DagName: "dag"}))
}

// A run that is cancelled before its claim is recorded leaves no claim behind.
func TestWorkspaceKilledThenCancelled(t *testing.T) {
	w := newWorld(t)
	w.prepareWorkspace()
	w.DieAt("claim-created:1", nil)
	w.Claim(theRun)
	w.Cancel(theRun)
	w.Controller(takeOver)
	w.CheckFinal(theRun, "Cancelled", map[string]string{"a": "Cancelled 1", "b": "Cancelled"})
	if uid := w.RecordedClaim(theRun); uid != "" {
		t.Errorf("claim %s was recorded", uid)
	}
	w.WaitClaims()
}

package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the existing Kontroler, whose custom resources these are too, leaves on its objects.
var (
	// oldDAGFinalizers, oldRunFinalizers and oldTaskFinalizers are the finalizers that its controller puts on objects and takes
	// off again. Once it is gone, nobody else does.
	oldDAGFinalizers  = []string{"dag.finalizer.kontroler.greedykomodo", "kontroler.greedykomodo/dag.finalizer"}
	oldRunFinalizers  = []string{"dagrun.finalizer.kontroler.greedykomodo", "kontroler.greedykomodo/dagrun.finalizer"}
	oldTaskFinalizers = []string{
		"dagTask.finalizer.kontroler.greedykomodo", "dagtask.finalizer.kontroler.greedykomodo", "kontroler.greedykomodo/dagtask.finalizer",
	}
)

// OldFinalizers returns the names of the existing Kontroler's finalizers on a DAG. Read-only.
func (*DAG) OldFinalizers() []string { return oldDAGFinalizers }

// OldFinalizers returns the names of the existing Kontroler's finalizers on a DagRun. Read-only.
func (*DagRun) OldFinalizers() []string { return oldRunFinalizers }

// OldFinalizers returns the names of the existing Kontroler's finalizers on a DagTask. Read-only.
func (*DagTask) OldFinalizers() []string { return oldTaskFinalizers }

// IsOtherKontrolers reports whether the existing Kontroler has run this DagRun: its status says so. What it did is in that
// one's database: the DagRun is history, and stays that once its condition Admitted says so. A DagRun that has a runId, or
// names a controller, is this project's. A finalizer says nothing: people copy it with a manifest.
func (r *DagRun) IsOtherKontrolers() bool {
	s := &r.Status
	if s.RunID != 0 || s.Controller != "" {
		return false
	}
	wasTold := func(c metav1.Condition) bool {
		return c.Type == RunConditionAdmitted && c.Reason == RunReasonOtherKontroler
	}
	return s.DagRunID != 0 || !s.Phase.isOurs() || slices.ContainsFunc(s.Conditions, wasTold)
}

package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The existing Kontroler uses the same custom resources. It puts these finalizers on its objects and removes them
// itself. Once it is uninstalled, nobody else does.
var (
	oldDAGFinalizers  = []string{"dag.finalizer.kontroler.greedykomodo", "kontroler.greedykomodo/dag.finalizer"}
	oldRunFinalizers  = []string{"dagrun.finalizer.kontroler.greedykomodo", "kontroler.greedykomodo/dagrun.finalizer"}
	oldTaskFinalizers = []string{
		"dagTask.finalizer.kontroler.greedykomodo", "dagtask.finalizer.kontroler.greedykomodo",
		"kontroler.greedykomodo/dagtask.finalizer",
	}
)

// OldFinalizers returns the names of the existing Kontroler's finalizers on a DAG. Read-only.
func (*DAG) OldFinalizers() []string { return oldDAGFinalizers }

// OldFinalizers returns the names of the existing Kontroler's finalizers on a DagRun. Read-only.
func (*DagRun) OldFinalizers() []string { return oldRunFinalizers }

// OldFinalizers returns the names of the existing Kontroler's finalizers on a DagTask. Read-only.
func (*DagTask) OldFinalizers() []string { return oldTaskFinalizers }

// IsOtherKontrolers reports whether the existing Kontroler has run this DagRun, according to its status. Such a
// DagRun is history, and its condition Admitted records that. A DagRun with a runId or a controller belongs to this
// project. Finalizers prove nothing, because people copy them with a manifest.
func (r *DagRun) IsOtherKontrolers() bool {
	s := &r.Status
	if s.RunID != 0 || s.Controller != "" {
		return false
	}
	isRecorded := func(c metav1.Condition) bool {
		return c.Type == RunConditionAdmitted && c.Reason == RunReasonOtherKontroler
	}
	return s.DagRunID != 0 || !s.Phase.isOurs() || slices.ContainsFunc(s.Conditions, isRecorded)
}

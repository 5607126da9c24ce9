package v1alpha1_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// TestIsOtherKontrolers: a DagRun that the existing Kontroler ran is distinguished from a new one and from our own.
func TestIsOtherKontrolers(t *testing.T) {
	admitted := func(reason string) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.RunConditionAdmitted, Status: metav1.ConditionFalse, Reason: reason}}
	}
	for name, c := range map[string]struct {
		finalizers []string
		status     v1alpha1.DagRunStatus
		want       bool
	}{
		"new":                     {want: false},
		"with its run id":         {status: v1alpha1.DagRunStatus{DagRunID: 5}, want: true},
		"with a phase of its own": {status: v1alpha1.DagRunStatus{Phase: "Successful"}, want: true},
		"with its finalizer alone": {
			finalizers: []string{"kontroler.greedykomodo/dagrun.finalizer"}, want: false,
		},
		"with the older finalizer alone": {
			finalizers: []string{"dagrun.finalizer.kontroler.greedykomodo"}, want: false,
		},
		"with the condition Admitted that records it": {
			status: v1alpha1.DagRunStatus{Conditions: admitted("OtherKontroler")}, want: true,
		},
		"with somebody else's finalizer": {finalizers: []string{"example.com/audit"}, want: false},
		"waiting for its DAG": {
			status: v1alpha1.DagRunStatus{Phase: "Pending", Conditions: admitted("DagNotFound")}, want: false,
		},
		"ours": {status: v1alpha1.DagRunStatus{Phase: "Running", RunID: 7, Controller: "c"}, want: false},
		"ours, with what the other one added": {
			finalizers: []string{"kontroler.greedykomodo/dagrun.finalizer"},
			status:     v1alpha1.DagRunStatus{Phase: "Running", RunID: 7, Controller: "c", DagRunID: 5}, want: false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := &v1alpha1.DagRun{ObjectMeta: metav1.ObjectMeta{Finalizers: c.finalizers}, Status: c.status}
			if is := run.IsOtherKontrolers(); is != c.want {
				t.Errorf("is %t, want %t", is, c.want)
			}
		})
	}
}

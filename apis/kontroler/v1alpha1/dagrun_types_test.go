package v1alpha1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

func TestScheduleOwner(t *testing.T) {
	isController := true
	owner := func(kind string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{Kind: kind, Name: "nightly", UID: "u1", Controller: &isController}}
	}
	labels := map[string]string{v1alpha1.LabelScheduled: "true"}
	tests := map[string]struct {
		labels map[string]string
		owners []metav1.OwnerReference
		want   string // name of the DAG; empty means that no schedule created the DagRun
	}{
		"a DagRun that a DAG controls and that has the label is of its schedule": {
			labels: labels, owners: owner("DAG"), want: "nightly",
		},
		"a DagRun with the label alone is of no schedule":                  {labels: labels},
		"a DagRun that a DAG controls without the label is of no schedule": {owners: owner("DAG")},
		"a DagRun that another kind controls is of no schedule":            {labels: labels, owners: owner("Job")},
		"a DagRun that a DAG owns without controlling it is of no schedule": {
			labels: labels, owners: []metav1.OwnerReference{{Kind: "DAG", Name: "nightly", UID: "u1"}},
		},
		"a DagRun with another value of the label is of no schedule": {
			labels: map[string]string{v1alpha1.LabelScheduled: "false"}, owners: owner("DAG"),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			run := &v1alpha1.DagRun{ObjectMeta: metav1.ObjectMeta{Labels: test.labels, OwnerReferences: test.owners}}
			got := ""
			if ref := run.ScheduleOwner(); ref != nil {
				got = ref.Name
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

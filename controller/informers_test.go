package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// The cache holds the parameters of a DagRun until its run has a row, and never what nobody reads.
func TestTrimRun(t *testing.T) {
	parameters := []v1alpha1.ParameterValue{{Name: "p", Value: new("v")}}
	tests := map[string]struct {
		runID int64
		want  []v1alpha1.ParameterValue
	}{
		"a DagRun that is yet to be admitted keeps its parameters": {0, parameters},
		"an admitted one does not":                                 {7, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run := &v1alpha1.DagRun{
				ObjectMeta: metav1.ObjectMeta{
					Name:          "r",
					Annotations:   map[string]string{v1alpha1.AnnotationScheduledAt: "2026-01-01T00:00:00Z", "x": "y"},
					ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
				},
				Spec:   v1alpha1.DagRunSpec{DagName: "d", Parameters: parameters},
				Status: v1alpha1.DagRunStatus{RunID: tt.runID},
			}
			trimmed, err := trimRun(run)
			if err != nil {
				t.Fatal(err)
			}
			want := &v1alpha1.DagRun{
				ObjectMeta: metav1.ObjectMeta{
					Name:        "r",
					Annotations: map[string]string{v1alpha1.AnnotationScheduledAt: "2026-01-01T00:00:00Z"},
				},
				Spec: v1alpha1.DagRunSpec{DagName: "d", Parameters: tt.want}, Status: v1alpha1.DagRunStatus{RunID: tt.runID},
			}
			if diff := cmp.Diff(want, trimmed); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

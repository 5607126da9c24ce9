package controller

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// The cache holds the parameters and the requester of a DagRun until its run has a row, and never what nobody reads.
func TestTrimRun(t *testing.T) {
	parameters := []v1alpha1.ParameterValue{{Name: "p", Value: new("v")}}
	due := map[string]string{v1alpha1.AnnotationScheduledAt: "2026-01-01T00:00:00Z"}
	all := map[string]string{
		v1alpha1.AnnotationScheduledAt: "2026-01-01T00:00:00Z", v1alpha1.AnnotationRequestedBy: "alice",
	}
	tests := map[string]struct {
		runID           int64
		wantParameters  []v1alpha1.ParameterValue
		wantAnnotations map[string]string
	}{
		"a DagRun that is yet to be admitted keeps them": {0, parameters, all},
		"an admitted one keeps its due time alone":       {7, nil, due},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run := &v1alpha1.DagRun{
				ObjectMeta: metav1.ObjectMeta{
					Name:          "r",
					Annotations:   map[string]string{"x": "y"},
					ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
				},
				Spec:   v1alpha1.DagRunSpec{DagName: "d", Parameters: parameters},
				Status: v1alpha1.DagRunStatus{RunID: tt.runID},
			}
			maps.Copy(run.Annotations, all)
			trimmed, err := trimRun(run)
			if err != nil {
				t.Fatal(err)
			}
			want := &v1alpha1.DagRun{
				ObjectMeta: metav1.ObjectMeta{Name: "r", Annotations: tt.wantAnnotations},
				Spec:       v1alpha1.DagRunSpec{DagName: "d", Parameters: tt.wantParameters},
				Status:     v1alpha1.DagRunStatus{RunID: tt.runID},
			}
			if diff := cmp.Diff(want, trimmed); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

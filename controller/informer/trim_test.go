package informer_test

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/informer"
)

// The cache holds the parameters and the requester of a DagRun until its run has a row. It never holds unused fields.
func TestTrimDagRun(t *testing.T) {
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
		"a DagRun that is not admitted keeps them": {0, parameters, all},
		"an admitted one keeps its due time alone": {7, nil, due},
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
			trimmed, err := informer.TrimDagRun(run)
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

// TestTrimDagRunThatHasEnded: of an admitted DagRun that has ended, the cache keeps what retention reads.
func TestTrimDagRunThatHasEnded(t *testing.T) {
	completed := metav1.Unix(1_800_000_000, 0)
	owner := []metav1.OwnerReference{{Kind: "DAG", Name: "d", UID: "d-uid", Controller: new(true)}}
	due := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	for name, tt := range map[string]struct {
		labels, wantLabels map[string]string
		wantStart          *metav1.Time
	}{
		"a run of a schedule": {
			map[string]string{v1alpha1.LabelDAG: "d", v1alpha1.LabelScheduled: "true"},
			map[string]string{v1alpha1.LabelScheduled: "true"}, &due,
		},
		"a run that somebody created": {map[string]string{v1alpha1.LabelDAG: "d"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			trimmed, err := informer.TrimDagRun(&v1alpha1.DagRun{
				TypeMeta: metav1.TypeMeta{Kind: "DagRun"},
				ObjectMeta: metav1.ObjectMeta{
					Name: "r", UID: "r-uid", Labels: tt.labels, OwnerReferences: owner,
					Annotations: map[string]string{v1alpha1.AnnotationScheduledAt: "2026-01-01T00:00:00Z"},
				},
				Spec: v1alpha1.DagRunSpec{DagName: "d"},
				Status: v1alpha1.DagRunStatus{
					Phase: v1alpha1.RunFailed, Controller: "c", RunID: 7, CompletionTime: &completed,
					Reason: "TaskFailed", Message: "task a failed", Tasks: &v1alpha1.TaskCounts{Total: 1, Failed: 1},
					Conditions: []metav1.Condition{{Type: v1alpha1.RunConditionFailed}},
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			want := &v1alpha1.DagRun{
				ObjectMeta: metav1.ObjectMeta{Name: "r", UID: "r-uid", Labels: tt.wantLabels, OwnerReferences: owner},
				Spec:       v1alpha1.DagRunSpec{DagName: "d"},
				Status: v1alpha1.DagRunStatus{
					Phase: v1alpha1.RunFailed, Controller: "c", RunID: 7, CompletionTime: &completed,
					StartTime: tt.wantStart,
				},
			}
			if again, err := informer.TrimDagRun(trimmed.(*v1alpha1.DagRun).DeepCopy()); err != nil {
				t.Error(err)
			} else if diff := cmp.Diff(trimmed, again); diff != "" {
				t.Errorf("a second time (-first +second)\n%s", diff)
			}
			if got := informer.DueAt(trimmed.(*v1alpha1.DagRun)); tt.wantStart != nil && !got.Equal(due.Time) {
				t.Errorf("it was due at %s", got)
			}
			if diff := cmp.Diff(want, trimmed); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

package controller

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/queue"
	"kontroler/store"
)

// TestExplain checks that the reason of an unbound claim is added to that of its Pod, and that a lost claim fails the
// Pod.
func TestExplain(t *testing.T) {
	unschedulable := &engine.Wait{Reason: "Unschedulable", Message: "0/1 nodes are available"}
	for name, c := range map[string]struct {
		workspace workspace
		is, want  *engine.Wait
	}{
		"nothing to say": {},
		"bound":          {workspace: workspace{isBound: true}, is: unschedulable, want: unschedulable},
		"waits": {
			workspace: workspace{why: "claim c: Pending"}, is: unschedulable,
			want: &engine.Wait{Reason: "Unschedulable", Message: "0/1 nodes are available; claim c: Pending"},
		},
		"waits by itself": {
			workspace: workspace{why: "claim c: Pending"},
			want:      &engine.Wait{Reason: "Unschedulable", Message: "claim c: Pending"},
		},
		"is lost": {
			workspace: workspace{isLost: true, why: "gone"}, is: unschedulable,
			want: &engine.Wait{Reason: "Unschedulable", Message: "gone", IsFailure: true, IsPermanent: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.workspace.explain(c.is)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A sync of a run for another reason does not cancel the next read of its claim.
func TestClaimIsReadAgain(t *testing.T) {
	const key = queue.RunKey("00000000-0000-4000-8000-000000000001")
	task := v1alpha1.Task{Name: "a"}
	task.Image, task.Command = "busybox", []string{"true"}
	graph, faults := dag.Compile(&v1alpha1.DAGSpec{
		Workspace: &v1alpha1.Workspace{Enable: true, PVC: v1alpha1.WorkspaceClaim{
			Resources: v1alpha1.WorkspaceResources{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			},
		}},
		Task: []v1alpha1.Task{task},
	})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	ws := &workspaces{runs: map[queue.RunKey]*workspace{}}
	row := store.Run{RunKey: store.RunKey{UID: string(key)}, WorkspaceUID: "claim"}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	waiting := &facts{graph: graph, snapshot: engine.Snapshot{Pods: map[string]*engine.Pod{"a": {Phase: "Pending"}}}}
	ws.gatherClaim(t.Context(), row, waiting, now)
	other := &facts{graph: graph}
	ws.gatherClaim(t.Context(), row, other, now.Add(time.Second))
	want := []time.Time{now.Add(bindGrace), now.Add(bindGrace)}
	if diff := cmp.Diff(want, []time.Time{waiting.nextDue, other.nextDue}); diff != "" {
		t.Errorf("due times of the syncs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]struct{}{"a": {}}, ws.due(key, now.Add(bindGrace))); diff != "" {
		t.Errorf("Pods to explain (-want +got):\n%s", diff)
	}
}

// TestNewestReason checks that the newest warning among the Events of a claim is shown, unless a much newer Event
// follows it.
func TestNewestReason(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	event := func(message, kind string, ago time.Duration) corev1.Event {
		return corev1.Event{Message: message, Type: kind, LastTimestamp: metav1.NewTime(now.Add(-ago))}
	}
	series := event("series", corev1.EventTypeNormal, time.Hour)
	series.Series = &corev1.EventSeries{LastObservedTime: metav1.NewMicroTime(now)}
	for name, c := range map[string]struct {
		events []corev1.Event
		want   string
	}{
		"one": {[]corev1.Event{event("a", corev1.EventTypeNormal, 0)}, "a"},
		"the newest": {
			[]corev1.Event{
				event("a", corev1.EventTypeNormal, 2), event("b", corev1.EventTypeNormal, 1),
				event("c", corev1.EventTypeNormal, 3),
			},
			"b",
		},
		"a warning": {
			[]corev1.Event{event("a", corev1.EventTypeNormal, 0), event("b", corev1.EventTypeWarning, time.Minute)},
			"b",
		},
		"the newest warning": {
			[]corev1.Event{event("a", corev1.EventTypeWarning, 2), event("b", corev1.EventTypeWarning, 1)}, "b",
		},
		"an old warning": {
			[]corev1.Event{
				event("a", corev1.EventTypeNormal, 0), event("b", corev1.EventTypeWarning, 11*time.Minute),
			},
			"a",
		},
		"one that goes on": {[]corev1.Event{event("a", corev1.EventTypeNormal, time.Minute), series}, "series"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := newestReason(c.events); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

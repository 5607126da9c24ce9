package controller

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/conditions"
	"kontroler/controller/engine"
	"kontroler/store"
)

func TestWhatALiveDagRunSays(t *testing.T) {
	waits := func(task, reason, message string) store.TaskReason {
		return store.TaskReason{Task: task, Reason: reason, Message: message}
	}
	extract := []store.TaskReason{waits("extract", "RetriesSpent", "exit code 3")}
	for name, c := range map[string]struct {
		row             store.Run
		progress        store.RunProgress
		reason, message string
		pending, runs   int32
		still           bool
	}{
		"everything runs": {row: store.Run{Counts: store.Counts{Active: 2}}, runs: 2},
		"two tasks wait": {
			row: store.Run{Counts: store.Counts{Active: 2}},
			progress: store.RunProgress{
				Pending: 2, WaitingTotal: 2,
				Waiting: []store.TaskReason{
					waits("pull", "ImagePullBackOff", "no such tag"), waits("big", "Unschedulable", "0/3 nodes"),
				},
			},
			reason:  "ImagePullBackOff",
			message: "pull waits: ImagePullBackOff: no such tag; big waits: Unschedulable: 0/3 nodes",
			pending: 2, still: true,
		},
		"one waits, one failed, and there are more": {
			row: store.Run{Counts: store.Counts{Active: 3, Failed: 2}},
			progress: store.RunProgress{
				Pending: 2, WaitingTotal: 2, Waiting: []store.TaskReason{waits("pull", "ImagePullBackOff", "x")},
				Failed: extract,
			},
			reason:  "ImagePullBackOff",
			message: "pull waits: ImagePullBackOff: x; extract failed: exit code 3; 2 more", pending: 2, runs: 1,
		},
		"goes on after a failure": {
			row:      store.Run{Counts: store.Counts{Active: 1, Failed: 1}},
			progress: store.RunProgress{Failed: extract},
			reason:   "TaskFailed", message: "extract failed: exit code 3", runs: 1,
		},
		"the Pods of a cancelled run have not ended": {
			row: store.Run{Stop: "UserCancelled", Counts: store.Counts{Active: 4, Cancelled: 1}},
			progress: store.RunProgress{
				StoppingTotal: 4, Stopping: []store.StoppingPod{
					{Task: "pull", Reason: "UserCancelled", Pod: "r-pull-1", Node: "n1"},
					{Task: "big", Reason: "UserCancelled", Pod: "r-big-1"},
				},
			},
			reason: "UserCancelled", runs: 4,
			message: "pull is being stopped (UserCancelled): waiting for Pod r-pull-1 on node n1 to end; " +
				"big is being stopped (UserCancelled): waiting for Pod r-big-1 to end; 2 more",
		},
		"the controller has its Pods": {
			row:    store.Run{Hold: engine.HoldThrottled, Counts: store.Counts{Ready: 3}},
			reason: "Throttled", still: true,
			message: "waiting for Pods of other runs to end: the controller has reached --max-pods",
		},
		"maxParallel is no standstill": {
			row: store.Run{Hold: engine.HoldMaxParallel, Counts: store.Counts{Ready: 3, Active: 1}}, runs: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			status := v1alpha1.DagRunStatus{Tasks: &v1alpha1.TaskCounts{}}
			addProgress(&status, c.row, c.progress)
			got := []any{
				status.Reason, status.Message, status.Tasks.Pending, status.Tasks.Running, isStandstill(&status),
			}
			if diff := cmp.Diff([]any{c.reason, c.message, c.pending, c.runs, c.still}, got); diff != "" {
				t.Errorf("reason, message, pending, running, still (-want +got):\n%s", diff)
			}
		})
	}
}

// A condition for a refusal of the API server stays on the DAG when the sync failures before it are over.
func TestSuccessRemovesOnlyTheConditionOfFailures(t *testing.T) {
	f := newRoad(t).newFixture(t, nil)
	f.newDAG(single)
	f.showCluster()
	name := cache.NewObjectName(f.road.namespace, "d"+f.suffix)
	reasonAfter := func() string {
		dags := f.road.client.KontrolerV1alpha1().DAGs(name.Namespace)
		d, err := dags.Get(t.Context(), name.Name, metav1.GetOptions{})
		must(t, err)
		f.showCluster()
		if shown := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.DAGScheduled); shown != nil {
			return shown.Reason
		}
		return ""
	}
	note := func(err error) {
		_ = f.conditions.noteDAG(t.Context(), name, v1alpha1.DAGScheduled, f.conditions.scheduleErrors, err)
	}
	for range 2 {
		note(errors.New("timeout"))
		f.time = f.time.Add(time.Minute)
	}
	if got := reasonAfter(); got != conditions.ReasonSyncFailed {
		t.Fatalf("after failures that last the reason is %q", got)
	}
	must(t, f.conditions.setDAGCondition(t.Context(), name, v1alpha1.DAGScheduled, &metav1.Condition{
		Status: metav1.ConditionFalse, Reason: "CreateRefused", Message: "the quota is exceeded"}))
	f.showCluster()
	note(nil)
	if got := reasonAfter(); got != "CreateRefused" {
		t.Errorf("after the refusal the reason is %q", got)
	}
	must(t, f.conditions.setDAGCondition(t.Context(), name, v1alpha1.DAGScheduled, nil))
	if got := reasonAfter(); got != "" {
		t.Errorf("after the refusal is over the reason is %q", got)
	}
}

package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// corrupt makes the stored version of a DAG unreadable.
func (w *world) corrupt(dag string) {
	w.T.Helper()
	n := w.Exec(
		`UPDATE kontroler.dag_versions v SET spec = '{"task": "lost"}' FROM kontroler.dags d
WHERE d.id = v.dag_id AND d.name = $1`,
		dag,
	)
	if n != 1 {
		w.T.Fatalf("%d versions of %s were changed", n, dag)
	}
}

// A run whose version cannot be read ends with that reason. Cancel, delete and deadline work without the version.
func TestVersionThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	c := w.Controller()
	deadline := int64(20)
	tasks := []v1alpha1.Task{play("a", until("never")), play("b", "", after("a"))}
	for name, spec := range map[string]v1alpha1.DAGSpec{
		"plain": {Task: tasks}, "stored": {
			Task: tasks, Workspace: workspace(),
		}, "late": {Task: tasks, ActiveDeadlineSeconds: &deadline},
	} {
		w.ApplySpec(name, spec)
	}
	for run, dag := range map[string]string{
		"stopped": "plain", "cancelled": "stored", "deleted": "plain", "late": "late",
	} {
		w.Start(run, dag)
	}
	uids := map[string]string{}
	for _, run := range []string{"stopped", "cancelled", "deleted", "late"} {
		w.WaitAttempt(run, "a", 1, "Running")
		uids[run] = string(w.DagRun(run).UID)
	}
	c.Stop()
	for _, dag := range []string{"plain", "stored", "late"} {
		w.corrupt(dag)
	}
	w.Kubectl("patch", "dagrun", "cancelled", "--type=merge", "-p", `{"spec": {"cancel": true}}`)
	w.Kubectl("delete", "dagrun", "deleted", "--wait=false")
	w.Eventually("the deadline has passed", patience, func(context.Context) (bool, string) {
		began := w.DagRun("late").Status.StartTime
		return began != nil && time.Since(began.Time) > time.Duration(deadline+1)*time.Second, fmt.Sprint(began)
	})
	w.Controller()
	for run, want := range map[string]string{
		"stopped": "Failed VersionUnreadable", "cancelled": "Cancelled UserCancelled",
		"deleted": "Cancelled Deleted", "late": "Failed DeadlineExceeded",
	} {
		w.Eventually("the end of run "+run, patience, func(context.Context) (bool, string) {
			row := w.Run(run)
			is := row.Phase + " " + row.Reason
			return is == want, is
		})
		w.CheckPodsGone(uids[run])
		for _, task := range w.Tasks(run) {
			if task.Phase != "Cancelled" {
				t.Errorf("task %s of run %s is %s", task.Name, run, task.Phase)
			}
		}
		if run == "deleted" {
			continue
		}
		w.Eventually("the status of run "+run, patience, func(context.Context) (bool, string) {
			s := w.DagRun(run).Status
			is := fmt.Sprintf("%s %s", s.Phase, s.Reason)
			return is == want && s.CompletionTime != nil, is
		})
	}
	if message := w.DagRun("stopped").Status.Message; !strings.Contains(message, "cannot be read") ||
		!strings.Contains(message, "decoding a DAG") {
		t.Errorf("the DagRun says %q", message)
	}
	w.Eventually("the claim of the cancelled run is gone", patience, func(ctx context.Context) (bool, string) {
		claims, err := w.Kube.CoreV1().PersistentVolumeClaims(w.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		return len(claims.Items) == 0, fmt.Sprint(len(claims.Items))
	})
	// A change of the DAG stores a new version, with which the next run succeeds.
	w.ApplyDAG("plain", play("a", ""))
	w.Start("next", "plain")
	w.WaitRun("next", v1alpha1.RunSucceeded, patience)
}

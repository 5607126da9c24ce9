package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// corrupt makes the stored version of a DAG one that cannot be read.
func (d *database) corrupt(dag string) {
	d.t.Helper()
	result, err := d.db.Exec(`UPDATE kontroler.dag_versions v SET spec = '{"task": "lost"}' FROM kontroler.dags d WHERE d.id = v.dag_id AND d.name = $1`, dag)
	if err != nil {
		d.t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		d.t.Fatalf("%d versions of %s were changed: %v", n, dag, err)
	}
}

// Runs whose version cannot be read any more are stopped with that reason; cancel, delete and deadline work without it.
func TestVersionThatCannotBeRead(t *testing.T) {
	w := newStoredWorld(t)
	c := w.controller()
	deadline := int64(20)
	tasks := []v1alpha1.Task{sh("a", until("never")), sh("b", "", after("a"))}
	for name, spec := range map[string]v1alpha1.DAGSpec{
		"plain": {Task: tasks}, "stored": {Task: tasks, Workspace: workspace()}, "late": {Task: tasks, ActiveDeadlineSeconds: &deadline},
	} {
		w.applySpec(name, spec)
	}
	for run, dag := range map[string]string{"stopped": "plain", "cancelled": "stored", "deleted": "plain", "late": "late"} {
		w.start(run, dag)
	}
	uids := map[string]string{}
	for _, run := range []string{"stopped", "cancelled", "deleted", "late"} {
		w.waitAttempt(run, "a", 1, "Running")
		uids[run] = string(w.dagRun(run).UID)
	}
	c.stop()
	for _, dag := range []string{"plain", "stored", "late"} {
		w.corrupt(dag)
	}
	w.kubectl("patch", "dagrun", "cancelled", "--type=merge", "-p", `{"spec": {"cancel": true}}`)
	w.kubectl("delete", "dagrun", "deleted", "--wait=false")
	w.eventually("the deadline has passed", patience, func(context.Context) (bool, string) {
		began := w.dagRun("late").Status.StartTime
		return began != nil && time.Since(began.Time) > time.Duration(deadline+1)*time.Second, fmt.Sprint(began)
	})
	w.controller()
	for run, want := range map[string]string{
		"stopped": "Failed VersionUnreadable", "cancelled": "Cancelled UserCancelled", "deleted": "Cancelled Deleted", "late": "Failed DeadlineExceeded",
	} {
		w.eventually("the end of run "+run, patience, func(context.Context) (bool, string) {
			row := w.run(run)
			is := row.Phase + " " + row.Reason
			return is == want, is
		})
		w.checkPodsGone(uids[run])
		for _, task := range w.tasks(run) {
			if task.Phase != "Cancelled" {
				t.Errorf("task %s of run %s is %s", task.Name, run, task.Phase)
			}
		}
		if run == "deleted" {
			continue
		}
		w.eventually("the status of run "+run, patience, func(context.Context) (bool, string) {
			s := w.dagRun(run).Status
			is := fmt.Sprintf("%s %s", s.Phase, s.Reason)
			return is == want && s.CompletionTime != nil, is
		})
	}
	if message := w.dagRun("stopped").Status.Message; !strings.Contains(message, "cannot be read") || !strings.Contains(message, "decoding a DAG") {
		t.Errorf("the DagRun says %q", message)
	}
	w.eventually("the claim of the cancelled run is gone", patience, func(ctx context.Context) (bool, string) {
		claims, err := w.kube.CoreV1().PersistentVolumeClaims(w.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		return len(claims.Items) == 0, fmt.Sprint(len(claims.Items))
	})
	// The DAG is compiled and stored anew when it changes: its next run is like any other.
	w.applyDAG("plain", sh("a", ""))
	w.start("next", "plain")
	w.waitRun("next", v1alpha1.RunSucceeded, patience)
}

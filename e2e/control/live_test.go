package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

func TestLabelStrippedFromALivePod(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.ApplyDAG("dag", play("a", until("go")), play("b", until("go")), play("c", "", after("a", "b")))
	w.Start("run", "dag")
	for task, label := range map[string]string{"a": v1alpha1.LabelController, "b": v1alpha1.LabelRun} {
		pod := w.WaitAttempt("run", task, 1, "Running").PodName
		w.Kubectl("label", "pod", pod, label+"-")
	}
	w.Eventually("the Pods to have their labels back", patience, func(context.Context) (bool, string) {
		var is []string
		ok := true
		for _, pod := range w.Pods("run") {
			ok = ok && pod.Labels[v1alpha1.LabelController] != "" &&
				pod.Labels[v1alpha1.LabelRun] == string(w.DagRun("run").UID)
			is = append(is, fmt.Sprint(pod.Labels))
		}
		return ok && len(is) == 2, strings.Join(is, ", ")
	})
	w.Open("go")
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a", "b", "c"))
	w.CheckOnce("a", "b", "c")
}

// A Pod loses its label while no controller runs, and ends. Its outcome is still counted.
func TestLabelStrippedWhileTheControllerIsAway(t *testing.T) {
	w := newWorld(t)
	c := w.Controller()
	w.ApplyDAG("dag", play("a", until("go")), play("b", "", after("a")))
	w.Start("run", "dag")
	pod := w.WaitAttempt("run", "a", 1, "Running").PodName
	c.Stop()
	w.Kubectl("label", "pod", pod, v1alpha1.LabelController+"-")
	w.Open("go")
	w.WaitPod("run", "a", terminated)
	w.Controller()
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a", "b"))
	w.CheckOnce("a", "b")
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.ApplyDAG(
		"dag",
		play("done", ""),
		play("running", "sleep 100000", after("done")),
		play("waiting", "", after("running")),
		play("failed", "exit 1", retries(3)),
	)
	w.Start("run", "dag")
	w.WaitTask("run", "failed", "Failed", "RetriesSpent")
	w.WaitAttempt("run", "running", 1, "Running")
	w.Cancel("run")
	run := w.WaitRun("run", v1alpha1.RunCancelled, patience)
	row := w.CheckFinal(
		"run",
		"Cancelled",
		map[string]string{"done": "Succeeded", "running": "Cancelled 1", "waiting": "Cancelled", "failed": "Failed 4"},
	)
	w.CheckOnce("done")
	if row.Reason != "UserCancelled" || run.Status.Reason != "UserCancelled" {
		t.Errorf("the run was cancelled with reason %q, its DagRun says %q", row.Reason, run.Status.Reason)
	}
	if a := w.AttemptsOf("run", "running")[0]; a.Phase != "Cancelled" {
		t.Errorf("the running attempt is %s, %s", a.Phase, a.Reason)
	}
	if out, err := w.RunKubectl("", "-n", w.Namespace, "patch", "dagrun", "run", "--type=merge", "-p",
		`{"spec":{"cancel":false}}`); err == nil ||
		!strings.Contains(out, "cannot be resumed") {
		t.Errorf("resuming a cancelled run: %v %s", err, out)
	}
}

// A run can be cancelled before it starts.
func TestCancelBeforeTheStart(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.ApplyDAG("dag", play("a", ""))
	w.Apply(w.Manifest("DagRun", "born-cancelled", v1alpha1.DagRunSpec{DagName: "dag", Cancel: true}))
	w.WaitRun("born-cancelled", v1alpha1.RunCancelled, patience)
	w.CheckFinal("born-cancelled", "Cancelled", all("Cancelled", "a"))

	w.Start("no-dag", "missing")
	w.Eventually("the run to wait for its DAG", patience, func(context.Context) (bool, string) {
		s := w.DagRun("no-dag").Status
		return s.Reason == "DagNotFound", s.Reason
	})
	w.Cancel("no-dag")
	s := w.WaitRun("no-dag", v1alpha1.RunCancelled, patience).Status
	if s.Reason != "UserCancelled" {
		t.Errorf("a run without a DAG was cancelled with reason %q", s.Reason)
	}
	w.CheckOnce()
}

func TestDagRunDeletedWhileRunning(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]bool{"seen": false, "controller down": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.Controller()
			w.ApplyDAG(
				"dag",
				play("done", ""),
				play("running", "sleep 100000", after("done")),
				play("waiting", "", after("running")),
			)
			w.Start("run", "dag")
			w.WaitAttempt("run", "running", 1, "Running")
			if down {
				c.Stop()
			}
			w.Kubectl("delete", "dagrun", "run")
			if down {
				w.Controller()
			}
			row := w.CheckFinal(
				"run",
				"Cancelled",
				map[string]string{"done": "Succeeded", "running": "Cancelled 1", "waiting": "Cancelled"},
			)
			w.CheckOnce("done")
			if row.Reason != "Deleted" {
				t.Errorf("the run was cancelled with reason %q", row.Reason)
			}
		})
	}
}

func TestDAGChangedWhileARunIsLive(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.ApplyDAG("dag", play("a", until("go")), play("old", "", after("a")))
	w.Start("first", "dag")
	w.WaitAttempt("first", "a", 1, "Running")
	w.ApplyDAG("dag", play("new", until("go")))
	w.Start("second", "dag")
	w.WaitAttempt("second", "new", 1, "Running")
	// Schedule and suspension are not part of a version.
	w.ApplySpec("dag", v1alpha1.DAGSpec{Suspended: true, Task: []v1alpha1.Task{play("new", until("go"))}})
	w.Kubectl("delete", "dag", "dag")
	w.Open("go")
	w.WaitRun("first", v1alpha1.RunSucceeded, patience)
	w.WaitRun("second", v1alpha1.RunSucceeded, patience)
	first := w.CheckFinal("first", "Succeeded", all("Succeeded", "a", "old"))
	second := w.CheckFinal("second", "Succeeded", all("Succeeded", "new"))
	w.CheckOnce("a", "old", "new")
	if first.Version != 1 || second.Version != 2 {
		t.Errorf("the runs have versions %d and %d, want 1 and 2", first.Version, second.Version)
	}
	// A recreated DAG continues its versions.
	w.ApplyDAG("dag", play("again", ""))
	w.Start("third", "dag")
	w.WaitRun("third", v1alpha1.RunSucceeded, patience)
	if third := w.CheckFinal("third", "Succeeded", all("Succeeded", "again")); third.Version != 3 {
		t.Errorf("the run of the recreated DAG has version %d, want 3", third.Version)
	}
}

func TestQuotaThatFreesLater(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.Apply(`{apiVersion: v1, kind: ResourceQuota, metadata: {name: few}, spec: {hard: {pods: "2"}}}`)
	w.Eventually("the quota to be in force", patience, func(ctx context.Context) (bool, string) {
		quota, err := w.Kube.CoreV1().ResourceQuotas(w.Namespace).Get(ctx, "few", metav1.GetOptions{})
		return err == nil && len(quota.Status.Hard) > 0, fmt.Sprint(err)
	})
	names := []string{"a", "b", "c", "d", "e"}
	var tasks []v1alpha1.Task
	for _, name := range names {
		tasks = append(tasks, play(name, until("go")))
	}
	w.ApplyDAG("dag", tasks...)
	w.Start("run", "dag")
	w.Eventually("two tasks to run and three to wait for the quota", patience, func(context.Context) (bool, string) {
		running, waiting := 0, 0
		for _, a := range w.Attempts("run") {
			if a.Phase == "Running" {
				running++
			}
		}
		for _, task := range w.Tasks("run") {
			if task.Phase == "Active" && task.Reason == "QuotaExceeded" {
				waiting++
			}
		}
		return running == 2 && waiting == 3, fmt.Sprintf("%d running, %d waiting", running, waiting)
	})
	w.Open("go")
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", all("Succeeded", names...))
	w.CheckOnce(names...)
}

// A DagRun without its row does not run a second time.
func TestDagRunsWhoseRowsAreGone(t *testing.T) {
	w := newWorld(t)
	c := w.Controller()
	w.ApplyDAG("dag", play("a", ""))
	w.ApplyDAG("live", play("b", until("go")))
	w.Start("ended", "dag")
	w.WaitRun("ended", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("ended", "Succeeded", all("Succeeded", "a"))
	w.Start("live", "live")
	w.WaitAttempt("live", "b", 1, "Running")
	c.Stop()
	if _, err := w.DB.ExecContext(t.Context(), `DELETE FROM kontroler.runs`); err != nil {
		t.Fatal(err)
	}
	before := w.DagRun("ended").ResourceVersion
	w.Controller()
	s := w.WaitRun("live", v1alpha1.RunFailed, patience).Status
	if s.Reason != "HistoryLost" {
		t.Errorf("the live run whose row is gone failed with %s: %s", s.Reason, s.Message)
	}
	w.CheckPodsGone(string(w.DagRun("live").UID))
	w.ApplyDAG("other", play("c", ""))
	w.Start("next", "other")
	w.WaitRun("next", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("next", "Succeeded", all("Succeeded", "c"))
	for _, run := range []string{"ended", "live"} {
		if row, ok := w.TryRun(run); ok {
			t.Errorf("run %s has a row again: %+v", run, row)
		}
	}
	if after := w.DagRun("ended").ResourceVersion; after != before {
		t.Error("the ended DagRun was written to")
	}
	w.CheckOnce("a", "c")
}

// A Pod that a user creates with the labels of a run does not change its outcome.
func TestForgedPodsAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	c := w.Controller(environment("KONTROLER_FAULT=stop:pod-create:1"), longLease)
	w.ApplyDAG("dag", play("a", "", retries(1)))
	w.Start("run", "dag")
	// The attempt is committed, but its Pod is not created yet. Its name is known and free.
	name := w.WaitAttempt("run", "a", 1, "Decided").PodName
	run := w.DagRun("run")
	labels := map[string]string{
		v1alpha1.LabelController: run.Status.Controller,
		v1alpha1.LabelRun:        string(run.UID),
		v1alpha1.LabelTask:       "a",
		v1alpha1.LabelAttempt:    "1",
	}
	uids := map[string]string{}
	for _, forged := range []string{name, "another"} {
		pod, err := w.Kube.CoreV1().Pods(w.Namespace).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: forged, Labels: labels},
			Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: new(int64),
				Containers: []corev1.Container{{
					Name: v1alpha1.TaskContainer, Image: "busybox:1.36", Command: []string{"true"},
				}}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		uids[forged] = string(pod.UID)
	}
	c.Thaw()
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", map[string]string{"a": "Succeeded 2"})
	w.CheckOnce("a")
	if a := w.AttemptsOf("run", "a")[0]; a.Phase != "Failed" || a.Reason != "NameTaken" {
		t.Errorf("the attempt whose name was taken is %s, %s: %s", a.Phase, a.Reason, a.Message)
	}
	for forged, uid := range uids {
		pod, err := w.Kube.CoreV1().Pods(w.Namespace).Get(t.Context(), forged, metav1.GetOptions{})
		if err != nil || string(pod.UID) != uid || pod.DeletionTimestamp != nil ||
			pod.Labels[v1alpha1.LabelRun] != string(run.UID) {
			t.Errorf("the forged Pod %s was touched: %v %v", forged, pod, err)
		}
	}
}

// activeDeadlineSeconds limits the whole run.
func TestRunDeadline(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	deadline := int64(15)
	w.ApplySpec(
		"dag",
		v1alpha1.DAGSpec{
			ActiveDeadlineSeconds: &deadline,
			Task:                  []v1alpha1.Task{play("slow", "sleep 100000"), play("child", "", after("slow"))},
		},
	)
	w.Start("run", "dag")
	w.WaitRun("run", v1alpha1.RunFailed, patience)
	row := w.CheckFinal("run", "Failed", map[string]string{"slow": "Cancelled 1", "child": "Cancelled"})
	if row.Reason != "DeadlineExceeded" || row.Finished.IsZero() {
		t.Errorf("the run failed with %s: %s", row.Reason, row.Message)
	}
}

// Tasks beyond --max-pods wait, across all runs.
func TestMaxPods(t *testing.T) {
	w := newWorld(t)
	w.Controller(flags("--max-pods=2"))
	w.ApplyDAG("dag", play("a", until("go")), play("b", until("go")), play("c", until("go")))
	for i := 1; i <= 2; i++ {
		w.Start(fmt.Sprintf("run-%d", i), "dag")
	}
	w.Eventually("two tasks to be live and the others to be throttled", patience, func(context.Context) (bool, string) {
		throttled, live := 0, 0
		for _, run := range []string{"run-1", "run-2"} {
			for _, task := range w.Tasks(run) {
				if task.Phase == "Active" {
					live++
				} else if task.Reason == "Throttled" {
					throttled++
				}
			}
		}
		return live == 2 && throttled == 4, fmt.Sprintf("%d live, %d throttled", live, throttled)
	})
	w.Open("go")
	for i := 1; i <= 2; i++ {
		run := fmt.Sprintf("run-%d", i)
		w.WaitRun(run, v1alpha1.RunSucceeded, patience)
		w.CheckFinal(run, "Succeeded", all("Succeeded", "a", "b", "c"))
	}
	for task, n := range w.Effects() {
		if n != 2 {
			t.Errorf("task %s had its side effect %d times, want once in each run", task, n)
		}
	}
}

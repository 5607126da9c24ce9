package control_test

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

// A controller is killed with SIGKILL at each crash point between a commit and its effect, and between two effects. The
// next one finishes the run with the expected result.
func TestKilledAt(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{
		// Before the run exists.
		"epoch-taken:1", "term-resumed:1", "dag-claimed:1", "version-committed:1", "dag-reported:1",
		// Admission.
		"run-admitted:1", "run-claimed:1", "refused run-admitted:1",
		// Start, a Pod that was seen, an outcome, a retry, the join. The run takes at least six commits.
		"run-committed:1", "run-committed:2", "run-committed:3", "run-committed:4", "run-committed:6",
		// Inside the transaction of the version, and before those of the admission and of the first commit of the run.
		"transaction-commit:1@dag-claimed", "transaction-commit:2@dag-claimed", "transaction-commit:1@run-claimed",
		// The Pods of the first task, of two parallel tasks, of the retry, of the join.
		"pod-create:1", "pod-create:4", "pod-created:1", "pod-created:2", "pod-created:5", "stripped relabelled:1",
		// Pods whose outcome is counted.
		"reap:1", "pod-released:2", "pod-deleted:3",
		// A Pod that a timeout or a cancel stops.
		"timeout pod-limit:1",
		"timeout pod-stop:1", "timeout pod-stopped:1", "cancel pod-stop:1", "cancel pod-stopped:1",
		// The end.
		"run-end-committed:1", "failure run-end-committed:1", "cancel run-end-committed:1",
		"delete run-end-committed:1", "end-report:1", "end-recorded:1", "end-reported:1",
		"refused end-recorded:1", "cancel end-reported:1",
	} {
		t.Run(fault, func(t *testing.T) {
			newWorld(t).KilledAt(harness.SceneOf(fault, play), fault)
		})
	}
}

// Many controllers are killed one after the other in one run.
func TestKilledAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	scene := harness.Scenes(play)["long"]
	w.Prepare(scene)
	for _, fault := range []string{
		"version-committed:1", "run-admitted:1", "run-claimed:1", "run-committed:1", "pod-create:1",
		"term-resumed:1", "pod-created:1", "run-committed:2", "reap:1", "pod-created:1", "pod-released:1",
		"pod-deleted:1", "pod-created:1", "run-end-committed:1",
	} {
		w.DieAt(fault, nil)
	}
	// The run has ended in the database, but not in the status of the DagRun. There may still be Pods.
	w.DieAt("end-report:1", nil)
	w.DieAt("end-recorded:1", nil)
	w.Controller(takeOver)
	w.CheckScene(scene)
}

// A Pod that appears after the end of its attempt, for example after a late create, is deleted and recorded. This holds
// while the run is live and after its end.
func TestStray(t *testing.T) {
	w := newWorld(t)
	c := w.Controller(longLease)
	w.ApplyDAG("dag", play("a", until("seen")), play("b", until("go")))
	w.Start(theRun, "dag")
	pod := w.WaitPod(theRun, "a", nil)
	w.Open("seen")
	w.WaitTask(theRun, "a", "Succeeded", "*")
	w.WaitPodGone(pod.Name)
	first := w.stray(pod)
	w.Open("go")
	w.WaitRun(theRun, v1alpha1.RunSucceeded, patience)
	if is := w.AttemptsOf(theRun, "a")[0].Stray; is != first {
		t.Errorf("the attempt's stray Pod is %q, want %q", is, first)
	}
	second := w.stray(pod)
	w.checkStray(second)
	// The third one appears while no controller runs. The next controller dies between the record and the deletion.
	c.Stop()
	third := w.makeStray(pod)
	w.DieAt("stray-recorded:1", nil)
	w.Controller(takeOver)
	w.WaitPodGone(pod.Name)
	w.checkStray(third)
	if starts := w.Started(); len(starts) != 2 {
		t.Errorf("the Pods %v started, but a stray Pod must not run", starts)
	}
}

// checkStray checks the final rows of a run whose only fault is a stray Pod.
func (w *world) checkStray(uid string) {
	w.T.Helper()
	row := w.Run(theRun)
	if diff := gocmp.Diff([]string{"attempt 1 of a has a stray Pod"}, w.Faults(row)); diff != "" ||
		row.Phase != "Succeeded" {
		w.T.Errorf("the run is %s, its faults are (-want +got):\n%s", row.Phase, diff)
	}
	if is := w.AttemptsOf(theRun, "a")[0].Stray; is != uid {
		w.T.Errorf("the attempt's stray Pod is %q, want %q", is, uid)
	}
	w.CheckStatus(row)
	w.CheckPodsGone(row.UID)
	w.CheckOnce("a", "b")
}

// stray creates a copy of a Pod that no longer exists, and waits until it is deleted.
func (w *world) stray(like *corev1.Pod) (uid string) {
	w.T.Helper()
	uid = w.makeStray(like)
	w.WaitPodGone(like.Name)
	return uid
}

// makeStray creates a copy of a Pod that no longer exists. No node can run it.
func (w *world) makeStray(like *corev1.Pod) (uid string) {
	w.T.Helper()
	pod := like.DeepCopy()
	pod.ObjectMeta = metav1.ObjectMeta{
		Namespace:       like.Namespace,
		Name:            like.Name,
		Labels:          like.Labels,
		Annotations:     like.Annotations,
		OwnerReferences: like.OwnerReferences,
		Finalizers:      like.Finalizers,
	}
	pod.Spec.NodeName, pod.Spec.NodeSelector = "", map[string]string{"kubernetes.io/hostname": "none"}
	pod.Status = corev1.PodStatus{}
	made, err := w.Kube.CoreV1().Pods(pod.Namespace).Create(w.T.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return string(made.UID)
}

// If the row of a run is lost, its Pods are deleted.
func TestPodsOfLostRuns(t *testing.T) {
	w := newWorld(t)
	c := w.Controller(longLease)
	w.ApplyDAG("dag", play("a", forever), play("b", "", after("a")))
	w.Start(theRun, "dag")
	w.Start("deleted", "dag")
	w.WaitStarted(2)
	w.WaitAttempt(theRun, "a", 1, "Running")
	w.WaitAttempt("deleted", "a", 1, "Running")
	c.Stop()
	w.Exec(`DELETE FROM kontroler.runs`)
	run, deleted := w.DagRun(theRun), w.DagRun("deleted")
	w.Kubectl("delete", "dagrun", "deleted")
	w.DieAt("loss-recorded:1", nil)
	w.Controller(takeOver)
	w.WaitReason(theRun, v1alpha1.RunFailed, "HistoryLost")
	w.CheckEvent(string(run.UID), "HistoryLost")
	w.CheckPodsGone(string(run.UID))
	w.CheckPodsGone(string(deleted.UID))
	if rows := w.Strings(`SELECT name FROM kontroler.runs`); len(rows) > 0 {
		t.Errorf("runs have rows again: %v", rows)
	}
	if starts := w.Started(); len(starts) != 2 {
		t.Errorf("the Pods %v started, want 2", starts)
	}
}

package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// patientLease gives a controller a Lease that a test may freeze it under.
var patientLease = flags("--lease-duration=120s")

func (w *world) deletePod(name string) {
	w.t.Helper()
	w.kubectl("delete", "pod", name, "--wait=false")
}

func TestPodDeletedWhileItRuns(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.applyDAG("dag", sh("a", until("go")), sh("b", "", after("a")))
	w.start("run", "dag")
	first := w.waitAttempt("run", "a", 1, "Running")
	w.deletePod(first.PodName)
	w.waitAttempt("run", "a", 2, "Running")
	w.open("go")
	w.waitRun("run", v1alpha1.RunSucceeded, patience)
	w.checkFinal("run", "Succeeded", map[string]string{"a": "Succeeded 2", "b": "Succeeded"})
	w.checkOnce("a", "b")
	if first := w.attemptsOf("run", "a")[0]; first.Phase != "Lost" || first.Reason != "PodDeleted" {
		t.Errorf("the deleted Pod's attempt is %s, %s: %s", first.Phase, first.Reason, first.Message)
	}
	if row := w.task("run", "a"); row.Retries != 0 || row.Restarts != 1 {
		t.Errorf("the task spent %d retries and %d restarts, want 0 and 1", row.Retries, row.Restarts)
	}
}

// endedUncounted starts a run of a task that succeeds and one that fails, both with their Pods ended and deleted while
// nobody could count that; away keeps the controller from it.
func (w *world) endedUncounted(away func()) {
	w.t.Helper()
	w.applyDAG("dag", sh("good", until("go")), sh("bad", until("go")+"; exit 5"), sh("child", "", after("good")))
	w.start("run", "dag")
	good, bad := w.waitAttempt("run", "good", 1, "Running"), w.waitAttempt("run", "bad", 1, "Running")
	away()
	w.open("go")
	w.waitPod("run", "good", settled)
	w.waitPod("run", "bad", settled)
	w.deletePod(good.PodName)
	w.deletePod(bad.PodName)
	for _, pod := range w.pods("run") {
		if pod.DeletionTimestamp == nil || !slices.Contains(pod.Finalizers, v1alpha1.Finalizer) {
			w.t.Errorf("pod %s is not held by its finalizer", pod.Name)
		}
	}
}

func (w *world) checkEndedUncounted() {
	w.t.Helper()
	w.waitRun("run", v1alpha1.RunFailed, patience)
	w.checkFinal("run", "Failed", map[string]string{"good": "Succeeded", "bad": "Failed", "child": "Succeeded"})
	w.checkOnce("good", "child")
	if a := w.attemptsOf("run", "bad")[0]; a.Phase != "Failed" || a.Reason != "ExitCode" || a.ExitCode == nil || *a.ExitCode != 5 {
		w.t.Errorf("the failed attempt is %s, %s: %s", a.Phase, a.Reason, a.Message)
	}
}

func TestPodDeletedBetweenItsEndAndItsAccounting(t *testing.T) {
	w := newWorld(t)
	c := w.controller(patientLease)
	w.endedUncounted(c.freeze)
	c.thaw()
	w.checkEndedUncounted()
}

func TestPodEndedAndDeletedWithTheControllerDown(t *testing.T) {
	w := newWorld(t)
	c := w.controller()
	w.endedUncounted(c.stop)
	w.controller()
	w.checkEndedUncounted()
}

func TestLabelStrippedFromALivePod(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.applyDAG("dag", sh("a", until("go")), sh("b", until("go")), sh("c", "", after("a", "b")))
	w.start("run", "dag")
	for task, label := range map[string]string{"a": v1alpha1.LabelController, "b": v1alpha1.LabelRun} {
		pod := w.waitAttempt("run", task, 1, "Running").PodName
		w.kubectl("label", "pod", pod, label+"-")
	}
	w.eventually("the Pods to have their labels back", patience, func(context.Context) (bool, string) {
		var is []string
		ok := true
		for _, pod := range w.pods("run") {
			ok = ok && pod.Labels[v1alpha1.LabelController] != "" && pod.Labels[v1alpha1.LabelRun] == string(w.dagRun("run").UID)
			is = append(is, fmt.Sprint(pod.Labels))
		}
		return ok && len(is) == 2, strings.Join(is, ", ")
	})
	w.open("go")
	w.waitRun("run", v1alpha1.RunSucceeded, patience)
	w.checkFinal("run", "Succeeded", all("Succeeded", "a", "b", "c"))
	w.checkOnce("a", "b", "c")
}

// A label that is stripped just before the Pod ends: nobody is told of the end.
func TestLabelStrippedWhileTheControllerIsAway(t *testing.T) {
	w := newWorld(t)
	c := w.controller()
	w.applyDAG("dag", sh("a", until("go")), sh("b", "", after("a")))
	w.start("run", "dag")
	pod := w.waitAttempt("run", "a", 1, "Running").PodName
	c.stop()
	w.kubectl("label", "pod", pod, v1alpha1.LabelController+"-")
	w.open("go")
	w.waitPod("run", "a", terminated)
	w.controller()
	w.waitRun("run", v1alpha1.RunSucceeded, patience)
	w.checkFinal("run", "Succeeded", all("Succeeded", "a", "b"))
	w.checkOnce("a", "b")
}

func TestSidecarsThatNeverEnd(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.injectSidecars()
	native := sh("native", "")
	always := corev1.ContainerRestartPolicyAlways
	native.PodTemplate.InitContainers = []corev1.Container{{Name: "sidecar", Image: "busybox:1.36", Command: []string{"sleep", "100000"}, RestartPolicy: &always}}
	injected, failing := sh("injected", "", after("native")), sh("failing", "exit 3")
	injected.PodTemplate.Labels = map[string]string{"inject": "yes"}
	failing.PodTemplate.Labels = map[string]string{"inject": "yes"}
	w.applyDAG("dag", native, injected, failing, sh("last", "", after("injected")))
	w.start("run", "dag")
	pod := w.waitPod("run", "failing", nil)
	if len(pod.Spec.Containers) != 2 {
		t.Fatalf("the Pod has %d containers: nothing was injected", len(pod.Spec.Containers))
	}
	w.waitRun("run", v1alpha1.RunFailed, patience)
	w.checkFinal("run", "Failed", map[string]string{"native": "Succeeded", "injected": "Succeeded", "failing": "Failed", "last": "Succeeded"})
	w.checkOnce("native", "injected", "last")
	if a := w.attemptsOf("run", "failing")[0]; a.ExitCode == nil || *a.ExitCode != 3 {
		t.Errorf("the attempt beside a sidecar failed with %s: %s", a.Reason, a.Message)
	}
}

// injectSidecars makes the API server add a container that never ends to the Pods of the world's namespace that ask for it,
// as a service mesh does.
func (w *world) injectSidecars() {
	w.t.Helper()
	w.t.Cleanup(func() {
		out, err := w.runKubectl("", "delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", w.namespace, "--ignore-not-found")
		if err != nil {
			w.t.Errorf("removing the policy: %v\n%s", err, out)
		}
	})
	w.apply(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: $NS}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NS}}
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}
  matchConditions:
  - {name: asks-for-it, expression: 'has(object.metadata.labels) && "inject" in object.metadata.labels'}
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: >
        [JSONPatch{op: "add", path: "/spec/containers/-", value: Object.spec.containers{
          name: "mesh", image: "busybox:1.36", command: ["sleep", "100000"]}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: $NS}
spec: {policyName: $NS}
`)
	// The API server takes a moment to act on a policy.
	w.eventually("the policy to be in force", patience, func(ctx context.Context) (bool, string) {
		pod, err := w.kube.CoreV1().Pods(w.namespace).Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "probe", Labels: map[string]string{"inject": "yes"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "task", Image: "busybox:1.36"}}},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil && len(pod.Spec.Containers) == 2, fmt.Sprint(err)
	})
}

func timeout(seconds int64) taskOption {
	return func(t *v1alpha1.Task) { t.TimeoutSeconds = &seconds }
}

func TestTimeout(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.applyDAG("dag", sh("slow", "sleep 100000", timeout(2), retries(1)), sh("child", "", after("slow")), sh("quick", "", timeout(600)))
	w.start("run", "dag")
	w.waitRun("run", v1alpha1.RunFailed, patience)
	w.checkFinal("run", "Failed", map[string]string{"slow": "Failed 2", "child": "Skipped", "quick": "Succeeded"})
	w.checkOnce("quick")
	for _, a := range w.attemptsOf("run", "slow") {
		if a.Phase != "Failed" || a.Reason != "Timeout" {
			t.Errorf("attempt %d is %s, %s: %s", a.Number, a.Phase, a.Reason, a.Message)
		}
	}
}

// A kubelet ends what nobody else watches.
func TestTimeoutWithTheControllerDown(t *testing.T) {
	w := newWorld(t)
	c := w.controller(flags("--start-grace=4s"))
	w.applyDAG("dag", sh("slow", "sleep 100000", timeout(6)))
	w.start("run", "dag")
	w.waitPod("run", "slow", nil)
	c.kill9()
	w.waitPod("run", "slow", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	w.controller()
	w.waitRun("run", v1alpha1.RunFailed, patience)
	w.checkFinal("run", "Failed", all("Failed", "slow"))
	if a := w.attemptsOf("run", "slow")[0]; a.Reason != "Timeout" {
		t.Errorf("the attempt failed with %s: %s", a.Reason, a.Message)
	}
}

func (w *world) cancel(run string) {
	w.t.Helper()
	w.kubectl("patch", "dagrun", run, "--type=merge", "-p", `{"spec":{"cancel":true}}`)
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.applyDAG("dag", sh("done", ""), sh("running", "sleep 100000", after("done")), sh("waiting", "", after("running")), sh("failed", "exit 1", retries(3)))
	w.start("run", "dag")
	w.waitTask("run", "failed", "Failed", "RetriesSpent")
	w.waitAttempt("run", "running", 1, "Running")
	w.cancel("run")
	run := w.waitRun("run", v1alpha1.RunCancelled, patience)
	row := w.checkFinal("run", "Cancelled", map[string]string{"done": "Succeeded", "running": "Cancelled 1", "waiting": "Cancelled", "failed": "Failed 4"})
	w.checkOnce("done")
	if row.Reason != "UserCancelled" || run.Status.Reason != "UserCancelled" {
		t.Errorf("the run was cancelled with reason %q, its DagRun says %q", row.Reason, run.Status.Reason)
	}
	if a := w.attemptsOf("run", "running")[0]; a.Phase != "Cancelled" {
		t.Errorf("the running attempt is %s, %s", a.Phase, a.Reason)
	}
	if out, err := w.runKubectl("", "-n", w.namespace, "patch", "dagrun", "run", "--type=merge", "-p", `{"spec":{"cancel":false}}`); err == nil || !strings.Contains(out, "cannot be resumed") {
		t.Errorf("resuming a cancelled run: %v %s", err, out)
	}
}

// A run may be cancelled before anything of it has begun.
func TestCancelBeforeTheStart(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.applyDAG("dag", sh("a", ""))
	w.apply(w.manifest("DagRun", "born-cancelled", v1alpha1.DagRunSpec{DagName: "dag", Cancel: true}))
	w.waitRun("born-cancelled", v1alpha1.RunCancelled, patience)
	w.checkFinal("born-cancelled", "Cancelled", all("Cancelled", "a"))

	w.start("no-dag", "missing")
	w.eventually("the run to wait for its DAG", patience, func(context.Context) (bool, string) {
		s := w.dagRun("no-dag").Status
		return s.Reason == "DagNotFound", s.Reason
	})
	w.cancel("no-dag")
	s := w.waitRun("no-dag", v1alpha1.RunCancelled, patience).Status
	if s.Reason != "UserCancelled" {
		t.Errorf("a run without a DAG was cancelled with reason %q", s.Reason)
	}
	w.checkOnce()
}

func TestDagRunDeletedWhileRunning(t *testing.T) {
	for name, down := range map[string]bool{"seen": false, "controller down": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.controller()
			w.applyDAG("dag", sh("done", ""), sh("running", "sleep 100000", after("done")), sh("waiting", "", after("running")))
			w.start("run", "dag")
			w.waitAttempt("run", "running", 1, "Running")
			if down {
				c.stop()
			}
			w.kubectl("delete", "dagrun", "run")
			if down {
				w.controller()
			}
			row := w.checkFinal("run", "Cancelled", map[string]string{"done": "Succeeded", "running": "Cancelled 1", "waiting": "Cancelled"})
			w.checkOnce("done")
			if row.Reason != "Deleted" {
				t.Errorf("the run was cancelled with reason %q", row.Reason)
			}
		})
	}
}

func TestDAGChangedWhileARunIsLive(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.applyDAG("dag", sh("a", until("go")), sh("old", "", after("a")))
	w.start("first", "dag")
	w.waitAttempt("first", "a", 1, "Running")
	w.applyDAG("dag", sh("new", until("go")))
	w.start("second", "dag")
	w.waitAttempt("second", "new", 1, "Running")
	// The schedule is no part of a version.
	w.applySpec("dag", v1alpha1.DAGSpec{Suspended: true, Task: []v1alpha1.Task{sh("new", until("go"))}})
	w.kubectl("delete", "dag", "dag")
	w.open("go")
	w.waitRun("first", v1alpha1.RunSucceeded, patience)
	w.waitRun("second", v1alpha1.RunSucceeded, patience)
	first := w.checkFinal("first", "Succeeded", all("Succeeded", "a", "old"))
	second := w.checkFinal("second", "Succeeded", all("Succeeded", "new"))
	w.checkOnce("a", "old", "new")
	if first.Version != 1 || second.Version != 2 {
		t.Errorf("the runs have versions %d and %d, want 1 and 2", first.Version, second.Version)
	}
	// Made again under its name it continues its versions.
	w.applyDAG("dag", sh("again", ""))
	w.start("third", "dag")
	w.waitRun("third", v1alpha1.RunSucceeded, patience)
	if third := w.checkFinal("third", "Succeeded", all("Succeeded", "again")); third.Version != 3 {
		t.Errorf("the run of the DAG made again has version %d, want 3", third.Version)
	}
}

func TestQuotaThatFreesLater(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.apply(`{apiVersion: v1, kind: ResourceQuota, metadata: {name: few}, spec: {hard: {pods: "2"}}}`)
	w.eventually("the quota to be in force", patience, func(ctx context.Context) (bool, string) {
		quota, err := w.kube.CoreV1().ResourceQuotas(w.namespace).Get(ctx, "few", metav1.GetOptions{})
		return err == nil && len(quota.Status.Hard) > 0, fmt.Sprint(err)
	})
	names := []string{"a", "b", "c", "d", "e"}
	var tasks []v1alpha1.Task
	for _, name := range names {
		tasks = append(tasks, sh(name, until("go")))
	}
	w.applyDAG("dag", tasks...)
	w.start("run", "dag")
	w.eventually("two tasks to run and three to wait for the quota", patience, func(context.Context) (bool, string) {
		running, waiting := 0, 0
		for _, a := range w.attempts("run") {
			if a.Phase == "Running" {
				running++
			}
		}
		for _, task := range w.tasks("run") {
			if task.Phase == "Active" && task.Reason == "QuotaExceeded" {
				waiting++
			}
		}
		return running == 2 && waiting == 3, fmt.Sprintf("%d running, %d waiting", running, waiting)
	})
	w.open("go")
	w.waitRun("run", v1alpha1.RunSucceeded, patience)
	w.checkFinal("run", "Succeeded", all("Succeeded", names...))
	w.checkOnce(names...)
}

// The database is the truth: what it does not know of is not run a second time.
func TestDagRunsWhoseRowsAreGone(t *testing.T) {
	w := newWorld(t)
	c := w.controller()
	w.applyDAG("dag", sh("a", ""))
	w.applyDAG("live", sh("b", until("go")))
	w.start("ended", "dag")
	w.waitRun("ended", v1alpha1.RunSucceeded, patience)
	w.checkFinal("ended", "Succeeded", all("Succeeded", "a"))
	w.start("live", "live")
	w.waitAttempt("live", "b", 1, "Running")
	c.stop()
	if _, err := w.db.ExecContext(t.Context(), `DELETE FROM kontroler.runs`); err != nil {
		t.Fatal(err)
	}
	before := w.dagRun("ended").ResourceVersion
	w.controller()
	s := w.waitRun("live", v1alpha1.RunFailed, patience).Status
	if s.Reason != "HistoryLost" {
		t.Errorf("the live run whose row is gone failed with %s: %s", s.Reason, s.Message)
	}
	w.checkPodsGone(string(w.dagRun("live").UID))
	w.applyDAG("other", sh("c", ""))
	w.start("next", "other")
	w.waitRun("next", v1alpha1.RunSucceeded, patience)
	w.checkFinal("next", "Succeeded", all("Succeeded", "c"))
	for _, run := range []string{"ended", "live"} {
		if row, ok := w.tryRun(run); ok {
			t.Errorf("run %s has a row again: %+v", run, row)
		}
	}
	if after := w.dagRun("ended").ResourceVersion; after != before {
		t.Error("the ended DagRun was written to")
	}
	w.checkOnce("a", "c")
}

// Whoever can make Pods cannot make outcomes.
func TestForgedPodsAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	c := w.controller(environment("KONTROLER_FAULT=stop:pod-create:1"), patientLease)
	w.applyDAG("dag", sh("a", "", retries(1)))
	w.start("run", "dag")
	// The attempt is committed and its Pod not made: its name is known and free.
	name := w.waitAttempt("run", "a", 1, "Decided").PodName
	run := w.dagRun("run")
	labels := map[string]string{v1alpha1.LabelController: run.Status.Controller, v1alpha1.LabelRun: string(run.UID), v1alpha1.LabelTask: "a", v1alpha1.LabelAttempt: "1"}
	uids := map[string]string{}
	for _, forged := range []string{name, "another"} {
		pod, err := w.kube.CoreV1().Pods(w.namespace).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: forged, Labels: labels},
			Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: new(int64),
				Containers: []corev1.Container{{Name: v1alpha1.TaskContainer, Image: "busybox:1.36", Command: []string{"true"}}}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		uids[forged] = string(pod.UID)
	}
	c.thaw()
	w.waitRun("run", v1alpha1.RunSucceeded, patience)
	w.checkFinal("run", "Succeeded", map[string]string{"a": "Succeeded 2"})
	w.checkOnce("a")
	if a := w.attemptsOf("run", "a")[0]; a.Phase != "Failed" || a.Reason != "NameTaken" {
		t.Errorf("the attempt whose name was taken is %s, %s: %s", a.Phase, a.Reason, a.Message)
	}
	for forged, uid := range uids {
		pod, err := w.kube.CoreV1().Pods(w.namespace).Get(t.Context(), forged, metav1.GetOptions{})
		if err != nil || string(pod.UID) != uid || pod.DeletionTimestamp != nil || pod.Labels[v1alpha1.LabelRun] != string(run.UID) {
			t.Errorf("the forged Pod %s was touched: %v %v", forged, pod, err)
		}
	}
}

// activeDeadlineSeconds bounds the whole run.
func TestRunDeadline(t *testing.T) {
	w := newWorld(t)
	w.controller()
	deadline := int64(15)
	w.applySpec("dag", v1alpha1.DAGSpec{ActiveDeadlineSeconds: &deadline, Task: []v1alpha1.Task{sh("slow", "sleep 100000"), sh("child", "", after("slow"))}})
	w.start("run", "dag")
	w.waitRun("run", v1alpha1.RunFailed, patience)
	row := w.checkFinal("run", "Failed", map[string]string{"slow": "Cancelled 1", "child": "Cancelled"})
	if row.Reason != "DeadlineExceeded" || row.Finished.IsZero() {
		t.Errorf("the run failed with %s: %s", row.Reason, row.Message)
	}
}

// Its own Pods count: more tasks than --max-pods wait their turn, of every run.
func TestMaxPods(t *testing.T) {
	w := newWorld(t)
	w.controller(flags("--max-pods=2"))
	w.applyDAG("dag", sh("a", until("go")), sh("b", until("go")), sh("c", until("go")))
	for i := 1; i <= 2; i++ {
		w.start(fmt.Sprintf("run-%d", i), "dag")
	}
	w.eventually("two tasks to be live and the others to be throttled", patience, func(context.Context) (bool, string) {
		throttled, live := 0, 0
		for _, run := range []string{"run-1", "run-2"} {
			for _, task := range w.tasks(run) {
				if task.Phase == "Active" {
					live++
				} else if task.Reason == "Throttled" {
					throttled++
				}
			}
		}
		return live == 2 && throttled == 4, fmt.Sprintf("%d live, %d throttled", live, throttled)
	})
	w.open("go")
	for i := 1; i <= 2; i++ {
		run := fmt.Sprintf("run-%d", i)
		w.waitRun(run, v1alpha1.RunSucceeded, patience)
		w.checkFinal(run, "Succeeded", all("Succeeded", "a", "b", "c"))
	}
	for task, n := range w.effects() {
		if n != 2 {
			t.Errorf("task %s had its side effect %d times, want once in each run", task, n)
		}
	}
}

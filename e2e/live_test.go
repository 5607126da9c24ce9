package e2e_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

func TestPodDeletedWhileItRuns(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.ApplyDAG("dag", sh("a", until("go")), sh("b", "", after("a")))
	w.Start("run", "dag")
	first := w.WaitAttempt("run", "a", 1, "Running")
	w.DeletePod(first.PodName)
	w.WaitAttempt("run", "a", 2, "Running")
	w.Open("go")
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", map[string]string{"a": "Succeeded 2", "b": "Succeeded"})
	w.CheckOnce("a", "b")
	if first := w.AttemptsOf("run", "a")[0]; first.Phase != "Lost" || first.Reason != "PodDeleted" {
		t.Errorf("the deleted Pod's attempt is %s, %s: %s", first.Phase, first.Reason, first.Message)
	}
	if row := w.Task("run", "a"); row.Retries != 0 || row.Restarts != 1 {
		t.Errorf("the task spent %d retries and %d restarts, want 0 and 1", row.Retries, row.Restarts)
	}
}

// endedUncounted starts a run of a task that succeeds and one that fails. stop stops the controller, so that it does
// not see how their Pods end and are deleted.
func (w *world) endedUncounted(stop func()) {
	w.T.Helper()
	w.ApplyDAG("dag", sh("good", until("go")), sh("bad", until("go")+"; exit 5"), sh("child", "", after("good")))
	w.Start("run", "dag")
	good, bad := w.WaitAttempt("run", "good", 1, "Running"), w.WaitAttempt("run", "bad", 1, "Running")
	stop()
	w.Open("go")
	w.WaitPod("run", "good", settled)
	w.WaitPod("run", "bad", settled)
	w.DeletePod(good.PodName)
	w.DeletePod(bad.PodName)
	for _, pod := range w.Pods("run") {
		if pod.DeletionTimestamp == nil || !slices.Contains(pod.Finalizers, v1alpha1.Finalizer) {
			w.T.Errorf("Pod %s has no deletionTimestamp or no finalizer", pod.Name)
		}
	}
}

func (w *world) checkEndedUncounted() {
	w.T.Helper()
	w.WaitRun("run", v1alpha1.RunFailed, patience)
	w.CheckFinal("run", "Failed", map[string]string{"good": "Succeeded", "bad": "Failed", "child": "Succeeded"})
	w.CheckOnce("good", "child")
	if a := w.AttemptsOf("run", "bad")[0]; a.Phase != "Failed" || a.Reason != "ExitCode" || a.ExitCode == nil ||
		*a.ExitCode != 5 {
		w.T.Errorf("the failed attempt is %s, %s: %s", a.Phase, a.Reason, a.Message)
	}
}

func TestPodDeletedBetweenItsEndAndItsAccounting(t *testing.T) {
	w := newWorld(t)
	c := w.Controller(longLease)
	w.endedUncounted(c.Freeze)
	c.Thaw()
	w.checkEndedUncounted()
}

func TestPodEndedAndDeletedWithTheControllerDown(t *testing.T) {
	w := newWorld(t)
	c := w.Controller()
	w.endedUncounted(c.Stop)
	w.Controller()
	w.checkEndedUncounted()
}

func TestSidecarsThatNeverEnd(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.injectSidecars()
	native := sh("native", "")
	always := corev1.ContainerRestartPolicyAlways
	native.PodTemplate.InitContainers = []corev1.Container{
		{Name: "sidecar", Image: "busybox:1.36", Command: []string{"sleep", "100000"}, RestartPolicy: &always},
	}
	injected, failing := sh("injected", "", after("native")), sh("failing", "exit 3")
	injected.PodTemplate.Labels = map[string]string{"inject": "yes"}
	failing.PodTemplate.Labels = map[string]string{"inject": "yes"}
	w.ApplyDAG("dag", native, injected, failing, sh("last", "", after("injected")))
	w.Start("run", "dag")
	pod := w.WaitPod("run", "failing", nil)
	if len(pod.Spec.Containers) != 2 {
		t.Fatalf("the Pod has %d containers: nothing was injected", len(pod.Spec.Containers))
	}
	w.WaitRun("run", v1alpha1.RunFailed, patience)
	w.CheckFinal(
		"run",
		"Failed",
		map[string]string{"native": "Succeeded", "injected": "Succeeded", "failing": "Failed", "last": "Succeeded"},
	)
	w.CheckOnce("native", "injected", "last")
	if a := w.AttemptsOf("run", "failing")[0]; a.ExitCode == nil || *a.ExitCode != 3 {
		t.Errorf("the attempt beside a sidecar failed with %s: %s", a.Reason, a.Message)
	}
}

// injectSidecars makes the API server add a container that never ends to Pods of the namespace that ask for it, as a
// service mesh does.
func (w *world) injectSidecars() {
	w.T.Helper()
	w.T.Cleanup(func() {
		out, err := w.RunKubectl(
			"",
			"delete",
			"mutatingadmissionpolicybinding,mutatingadmissionpolicy",
			w.Namespace,
			"--ignore-not-found",
		)
		if err != nil {
			w.T.Errorf("removing the policy: %v\n%s", err, out)
		}
	})
	w.Apply(`
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
	// A policy takes effect with a delay.
	w.Eventually("the policy to be in force", patience, func(ctx context.Context) (bool, string) {
		pod, err := w.Kube.CoreV1().Pods(w.Namespace).Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "probe", Labels: map[string]string{"inject": "yes"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "task", Image: "busybox:1.36"}}},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil && len(pod.Spec.Containers) == 2, fmt.Sprint(err)
	})
}

func TestTimeout(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.ApplyDAG(
		"dag",
		sh("slow", "sleep 100000", timeout(2), retries(1)),
		sh("child", "", after("slow")),
		sh("quick", "", timeout(600)),
	)
	w.Start("run", "dag")
	w.WaitRun("run", v1alpha1.RunFailed, patience)
	w.CheckFinal("run", "Failed", map[string]string{"slow": "Failed 2", "child": "Skipped", "quick": "Succeeded"})
	w.CheckOnce("quick")
	for _, a := range w.AttemptsOf("run", "slow") {
		if a.Phase != "Failed" || a.Reason != "Timeout" {
			t.Errorf("attempt %d is %s, %s: %s", a.Number, a.Phase, a.Reason, a.Message)
		}
	}
}

// Without a controller, the kubelet enforces the timeout.
func TestTimeoutWithTheControllerDown(t *testing.T) {
	w := newWorld(t)
	c := w.Controller(flags("--start-grace=4s"))
	w.ApplyDAG("dag", sh("slow", "sleep 100000", timeout(6)))
	w.Start("run", "dag")
	// The Pod has the longest deadline until its container runs.
	w.WaitPod("run", "slow", func(p *corev1.Pod) bool { return *p.Spec.ActiveDeadlineSeconds < math.MaxInt32 })
	c.Kill9()
	w.WaitPod("run", "slow", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	w.Controller()
	w.WaitRun("run", v1alpha1.RunFailed, patience)
	w.CheckFinal("run", "Failed", all("Failed", "slow"))
	if a := w.AttemptsOf("run", "slow")[0]; a.Reason != "Timeout" {
		t.Errorf("the attempt failed with %s: %s", a.Reason, a.Message)
	}
}

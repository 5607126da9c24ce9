package e2e_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

// newStoredWorld makes a world on a cluster that can bind claims.
func newStoredWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.defaultClass()
	return w
}

// defaultClass returns the default StorageClass. Without one it skips the test; in CI the test fails.
func (w *world) defaultClass() *storagev1.StorageClass {
	w.T.Helper()
	list, err := w.Kube.StorageV1().StorageClasses().List(w.T.Context(), metav1.ListOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	for _, class := range list.Items {
		if class.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
			return &class
		}
	}
	if os.Getenv("CI") == "true" {
		w.T.Fatal("the cluster has no default StorageClass")
	}
	w.T.Skip("the cluster has no default StorageClass")
	return nil
}

// ofClass returns a workspace of a storage class.
func ofClass(class string) *v1alpha1.Workspace {
	w := workspace()
	w.PVC.StorageClassName = &class
	return w
}

// The next task, and a retry, read what a task has written. The claim belongs to the run and is deleted at its end.
func TestWorkspace(t *testing.T) {
	w := newStoredWorld(t)
	w.Controller()
	w.ApplySpec("dag", v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{
		sh(
			"write",
			"cp /workspace/before /workspace/file; echo write >> /workspace/file; "+until("go"),
			func(t *v1alpha1.Task) {
				t.PodTemplate.InitContainers = []corev1.Container{
					{
						Name: "first", Image: "busybox:1.36",
						Command: []string{"sh", "-c", "echo init > /workspace/before"},
					},
				}
			},
		),
		sh("again", "echo again >> /workspace/file; "+once("again", "exit 3"), after("write"), retries(1)),
		sh("read", "cat /workspace/file > /dir/read", after("again")),
	}})
	w.Start("run", "dag")
	w.WaitAttempt("run", "write", 1, "Running")
	claim := w.Claim("run")
	if uid := w.RecordedClaim("run"); uid != string(claim.UID) {
		t.Errorf("the row names claim %q, want %q", uid, claim.UID)
	}
	if modes := claim.Spec.AccessModes; len(modes) != 1 || modes[0] != corev1.ReadWriteOnce {
		t.Errorf("the claim's access modes are %v", modes)
	}
	w.Open("go")
	w.CheckFinal("run", "Succeeded", map[string]string{
		"write": "Succeeded", "again": "Succeeded 2", "read": "Succeeded",
	})
	if diff := gocmp.Diff("init\nwrite\nagain\nagain\n", w.File("read")); diff != "" {
		t.Errorf("what was read (-want +got):\n%s", diff)
	}
	w.WaitClaims()

	w.Apply(harness.Example(t, "workspace.yaml"))
	w.CheckFinal("workspace-1", "Succeeded", all("Succeeded", "write", "read"))
	w.WaitClaims()
}

// keepOnFailure keeps the claim of a Failed run until its DagRun is deleted.
func TestWorkspaceKept(t *testing.T) {
	w := newStoredWorld(t)
	w.Controller()
	kept := workspace()
	kept.KeepOnFailure = true
	w.ApplySpec("kept", v1alpha1.DAGSpec{Workspace: kept, Task: []v1alpha1.Task{sh("a", "exit 3")}})
	w.ApplySpec("dropped", v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{sh("a", "exit 3")}})
	w.ApplySpec("cancelled", v1alpha1.DAGSpec{Workspace: kept, Task: []v1alpha1.Task{sh("b", forever)}})
	for _, name := range []string{"kept", "dropped", "cancelled"} {
		w.Start(name, name)
	}
	claim := w.Claim("kept")
	w.WaitAttempt("cancelled", "b", 1, "Running")
	w.Cancel("cancelled")
	w.CheckFinal("kept", "Failed", all("Failed", "a"))
	w.CheckFinal("dropped", "Failed", all("Failed", "a"))
	w.CheckFinal("cancelled", "Cancelled", map[string]string{"b": "Cancelled 1"})
	w.WaitClaims(claim.Name)
	w.Kubectl("delete", "dagrun", "kept")
	w.WaitClaims()
}

// With ReadWriteMany, the Pods of a run use two nodes. Without it, they share one.
func TestWorkspaceOnTwoNodes(t *testing.T) {
	w := newStoredWorld(t)
	w.Controller()
	node := w.spareNode()
	there := func(t *v1alpha1.Task) {
		onSpare(node)(t)
		t.PodTemplate.NodeSelector = map[string]string{corev1.LabelHostname: node}
	}
	w.ApplySpec("many", v1alpha1.DAGSpec{Workspace: workspace(corev1.ReadWriteMany), Task: []v1alpha1.Task{
		sh(
			"write",
			"echo here > /workspace/file",
		), sh("read", "cat /workspace/file > /dir/read; "+until("go"), after("write"), there),
		sh("beside", until("go"), after("write")),
	}})
	w.Start("many", "many")
	away, beside := w.WaitPod("many", "read", running), w.WaitPod("many", "beside", running)
	if away.Spec.NodeName != node || beside.Spec.NodeName == node {
		t.Errorf("the Pods run on %s and %s, want the first alone on %s",
			away.Spec.NodeName, beside.Spec.NodeName, node)
	}
	if is := w.File("read"); is != "here\n" {
		t.Errorf("the other node reads %q", is)
	}

	// Half of the tasks prefer the spare node, half avoid it. All run where the first one runs.
	elsewhere := func(t *v1alpha1.Task) {
		rather(node)(t)
		expression := &t.PodTemplate.Affinity.NodeAffinity.
			PreferredDuringSchedulingIgnoredDuringExecution[0].Preference.MatchExpressions[0]
		expression.Operator = corev1.NodeSelectorOpNotIn
	}
	w.ApplySpec("one", v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{
		sh(
			"a",
			until("go"),
			rather(node),
		), sh("b", until("go"), elsewhere), sh("c", until("go"), rather(node)), sh("d", until("go"), elsewhere),
	}})
	w.Start("one", "one")
	nodes := map[string]bool{}
	for _, task := range []string{"a", "b", "c", "d"} {
		nodes[w.WaitPod("one", task, running).Spec.NodeName] = true
	}
	if len(nodes) != 1 {
		t.Errorf("the Pods run on %v, want one node", nodes)
	}
	w.Open("go")
	w.CheckFinal("many", "Succeeded", all("Succeeded", "write", "read", "beside"))
	w.CheckFinal("one", "Succeeded", all("Succeeded", "a", "b", "c", "d"))
	w.WaitClaims()
}

// With ReadWriteOncePod one task runs at a time.
func TestWorkspaceForOnePod(t *testing.T) {
	w := newStoredWorld(t)
	w.Controller()
	alone := "mkdir /workspace/busy; sleep 0.3; rmdir /workspace/busy"
	w.ApplySpec("dag", v1alpha1.DAGSpec{Workspace: workspace(corev1.ReadWriteOncePod), Task: []v1alpha1.Task{
		sh("a", ""), sh("b", alone, after("a")), sh("c", alone, after("a")), sh("d", alone, after("a")),
	}})
	w.Start("run", "dag")
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a", "b", "c", "d"))
	if n := w.MaxConcurrent("run"); n != 1 {
		t.Errorf("%d tasks ran at the same time, want 1", n)
	}
	w.WaitClaims()
}

// class makes a StorageClass for the test.
func (w *world) class(name, provisioner string, mode storagev1.VolumeBindingMode) {
	w.T.Helper()
	classes := w.Kube.StorageV1().StorageClasses()
	_, err := classes.Create(w.T.Context(), &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &mode,
	}, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() {
		if err := classes.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil &&
			!apierrors.IsNotFound(err) {
			w.T.Errorf("deleting StorageClass %s: %v", name, err)
		}
	})
}

// A task whose claim cannot be bound says why, and starts when it is bound.
func TestWorkspaceThatCannotBind(t *testing.T) {
	w := newStoredWorld(t)
	w.Controller()
	provisioner := w.defaultClass().Provisioner
	missing, failing := w.Namespace+"-missing", w.Namespace+"-failing"
	// The controller manager does not have this plugin. It says so when the scheduler has chosen a node.
	w.class(failing, "kubernetes.io/none", storagev1.VolumeBindingWaitForFirstConsumer)
	for name, class := range map[string]string{"missing": missing, "failing": failing, "none": ""} {
		w.ApplySpec(name, v1alpha1.DAGSpec{
			Workspace: ofClass(class), Task: []v1alpha1.Task{sh(name, "> /workspace/file")},
		})
		w.Start(name, name)
	}
	for name, why := range map[string]string{
		"missing": fmt.Sprintf("%q not found", missing), "failing": "kubernetes.io/none",
		"none": "no storage class is set",
	} {
		w.Eventually("task "+name+" to say why it waits", patience, func(context.Context) (bool, string) {
			task, _ := w.TryTask(name, name)
			return task.Phase == "Active" && task.Reason == "Unschedulable" && strings.Contains(task.Message, why) &&
					strings.Contains(task.Message, "claim "+w.Claim(name).Name),
				task.Phase + " " + task.Reason + " " + task.Message
		})
		t.Logf("%s: %s", name, w.Task(name, name).Message)
	}
	w.Cancel("none")
	w.CheckFinal("none", "Cancelled", map[string]string{"none": "Cancelled 1"})
	w.class(missing, provisioner, storagev1.VolumeBindingImmediate)
	w.CheckFinal("missing", "Succeeded", all("Succeeded", "missing"))
	if err := w.Kube.StorageV1().StorageClasses().Delete(t.Context(), failing, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.class(failing, provisioner, storagev1.VolumeBindingWaitForFirstConsumer)
	w.CheckFinal("failing", "Succeeded", all("Succeeded", "failing"))
	w.WaitClaims()
}

// A run waits for a quota of claims. Runs without a workspace do not wait.
func TestWorkspaceQuota(t *testing.T) {
	w := newStoredWorld(t)
	w.Controller()
	w.Apply(`{apiVersion: v1, kind: ResourceQuota, metadata: {name: few}, spec: {hard: {persistentvolumeclaims: "1"}}}`)
	w.Eventually("the quota to be in force", patience, func(ctx context.Context) (bool, string) {
		quota, err := w.Kube.CoreV1().ResourceQuotas(w.Namespace).Get(ctx, "few", metav1.GetOptions{})
		return err == nil && len(quota.Status.Hard) > 0, fmt.Sprint(err)
	})
	w.ApplySpec(
		"dag",
		v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{sh("a", until("go")), sh("b", until("go"))}},
	)
	w.Start("first", "dag")
	w.WaitAttempt("first", "a", 1, "Running")
	w.Start("second", "dag")
	w.Eventually("the second run to wait for the quota", patience, func(context.Context) (bool, string) {
		task, _ := w.TryTask("second", "a")
		return task.Reason == "QuotaExceeded" && strings.Contains(task.Message, "workspace"),
			task.Reason + " " + task.Message
	})
	w.ApplyDAG("plain", sh("c", ""))
	w.Start("plain", "plain")
	w.CheckFinal("plain", "Succeeded", all("Succeeded", "c"))
	w.Open("go")
	w.CheckFinal("first", "Succeeded", all("Succeeded", "a", "b"))
	w.CheckFinal("second", "Succeeded", all("Succeeded", "a", "b"))
	w.WaitClaims()
}

// A workspace that somebody deletes is not created again. Tasks that need it fail and say so.
func TestWorkspaceLost(t *testing.T) {
	w := newStoredWorld(t)
	c := w.Controller(longLease)
	for _, run := range []string{"led", "away"} {
		w.ApplySpec(run, v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{
			sh("a", until(run)), sh("b", "", after("a"), retries(1)),
		}})
		w.Start(run, run)
	}
	lose := func(run string) {
		t.Helper()
		w.WaitAttempt(run, "a", 1, "Running")
		w.Kubectl("delete", "pvc", w.Claim(run).Name, "--wait=false")
	}
	check := func(run string) {
		t.Helper()
		w.CheckFinal(run, "Failed", map[string]string{"a": "Succeeded", "b": "Failed 2"})
		for _, a := range w.AttemptsOf(run, "b") {
			if a.Reason != "StartFailed" || !strings.Contains(a.Message, "the workspace is lost") {
				t.Errorf("%s: attempt %d of b ended with %s: %s", run, a.Number, a.Reason, a.Message)
			}
		}
	}
	lose("led")
	w.Open("led")
	check("led")
	lose("away")
	c.Stop()
	w.Open("away")
	w.WaitPod("away", "a", terminated)
	w.Controller(longLease)
	check("away")
	w.WaitClaims()
}

// A controller is killed between creating a claim and recording it. Tasks before and after share the claim.
func TestWorkspaceKilledAt(t *testing.T) {
	w := newStoredWorld(t)
	w.ApplySpec("dag", v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{
		marked("a", "> /workspace/file"), marked("b", "rm /workspace/file", after("a")),
	}})
	w.Start(theRun, "dag")
	w.DieAt("claim-created:1", nil)
	made := w.Claim(theRun)
	w.Controller(takeOver)
	w.CheckFinal(theRun, "Succeeded", all("Succeeded", "a", "b"))
	w.CheckOnce("a", "b")
	w.CheckStarts(theRun)
	if uid := w.RecordedClaim(theRun); uid != string(made.UID) {
		t.Errorf("claim %s was replaced by %s", made.UID, uid)
	}
	w.WaitClaims()
}

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
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// newStoredWorld is a world whose claims the cluster can bind.
func newStoredWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.defaultClass()
	return w
}

// defaultClass is the cluster's default StorageClass; without one the test is skipped, but not in CI.
func (w *world) defaultClass() *storagev1.StorageClass {
	w.t.Helper()
	list, err := w.kube.StorageV1().StorageClasses().List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, class := range list.Items {
		if class.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
			return &class
		}
	}
	if os.Getenv("CI") == "true" {
		w.t.Fatal("the cluster has no default StorageClass")
	}
	w.t.Skip("the cluster has no default StorageClass")
	return nil
}

// workspace is a claim of no particular class.
func workspace(modes ...corev1.PersistentVolumeAccessMode) *v1alpha1.Workspace {
	return &v1alpha1.Workspace{Enable: true, PVC: v1alpha1.WorkspaceClaim{AccessModes: modes, Resources: v1alpha1.WorkspaceResources{
		Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")},
	}}}
}

// ofClass is a claim of a class.
func ofClass(class string) *v1alpha1.Workspace {
	w := workspace()
	w.PVC.StorageClassName = &class
	return w
}

// claims are the claims of the world's namespace.
func (w *world) claims() []corev1.PersistentVolumeClaim {
	w.t.Helper()
	list, err := w.kube.CoreV1().PersistentVolumeClaims(w.namespace).List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// claim waits for the one claim of a run and returns it.
func (w *world) claim(run string) *corev1.PersistentVolumeClaim {
	w.t.Helper()
	uid := string(w.dagRun(run).UID)
	var found *corev1.PersistentVolumeClaim
	w.eventually("the claim of "+run, patience, func(context.Context) (bool, string) {
		found = nil
		for _, claim := range w.claims() {
			if owner := metav1.GetControllerOf(&claim); owner == nil || string(owner.UID) != uid {
				continue
			}
			if found != nil {
				w.t.Fatalf("run %s has the claims %s and %s", run, found.Name, claim.Name)
			}
			found = &claim
		}
		return found != nil, "not there"
	})
	return found
}

// waitClaims waits until the namespace has just these claims.
func (w *world) waitClaims(names ...string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("the claims to be %v", names), patience, func(context.Context) (bool, string) {
		var is []string
		for _, claim := range w.claims() {
			is = append(is, claim.Name)
		}
		return gocmp.Equal(is, names), fmt.Sprint(is)
	})
}

// recorded is the claim that a run's row names.
func (w *world) recorded(run string) string {
	w.t.Helper()
	return w.strings(`SELECT coalesce(workspace_uid::text, '') FROM kontroler_v1.runs WHERE name = $1`, run)[0]
}

// What one task writes the next one reads, and so does a retry. The claim is the run's, and goes when it ends.
func TestWorkspace(t *testing.T) {
	w := newStoredWorld(t)
	w.controller()
	w.applySpec("dag", v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{
		sh("write", "cp /workspace/before /workspace/file; echo write >> /workspace/file; "+until("go"), func(t *v1alpha1.Task) {
			t.PodTemplate.InitContainers = []corev1.Container{{Name: "first", Image: "busybox:1.36", Command: []string{"sh", "-c", "echo init > /workspace/before"}}}
		}),
		sh("again", "echo again >> /workspace/file; "+once("again", "exit 3"), after("write"), retries(1)),
		sh("read", "cat /workspace/file > /dir/read", after("again")),
	}})
	w.start("run", "dag")
	w.waitAttempt("run", "write", 1, "Running")
	claim := w.claim("run")
	if uid := w.recorded("run"); uid != string(claim.UID) {
		t.Errorf("the row names claim %q, want %q", uid, claim.UID)
	}
	if modes := claim.Spec.AccessModes; len(modes) != 1 || modes[0] != corev1.ReadWriteOnce {
		t.Errorf("the claim's access modes are %v", modes)
	}
	w.open("go")
	w.checkFinal("run", "Succeeded", map[string]string{"write": "Succeeded", "again": "Succeeded 2", "read": "Succeeded"})
	if diff := gocmp.Diff("init\nwrite\nagain\nagain\n", w.file("read")); diff != "" {
		t.Errorf("what was read (-want +got):\n%s", diff)
	}
	w.waitClaims()

	example, err := os.ReadFile("../manifests/examples/workspace.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w.apply(string(example))
	w.checkFinal("workspace-1", "Succeeded", all("Succeeded", "write", "read"))
	w.waitClaims()
}

// keepOnFailure keeps the claim of a run that is Failed, until its DagRun is deleted.
func TestWorkspaceKept(t *testing.T) {
	w := newStoredWorld(t)
	w.controller()
	kept := workspace()
	kept.KeepOnFailure = true
	w.applySpec("kept", v1alpha1.DAGSpec{Workspace: kept, Task: []v1alpha1.Task{sh("a", "exit 3")}})
	w.applySpec("dropped", v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{sh("a", "exit 3")}})
	w.applySpec("cancelled", v1alpha1.DAGSpec{Workspace: kept, Task: []v1alpha1.Task{sh("b", forever)}})
	for _, name := range []string{"kept", "dropped", "cancelled"} {
		w.start(name, name)
	}
	claim := w.claim("kept")
	w.waitAttempt("cancelled", "b", 1, "Running")
	w.cancel("cancelled")
	w.checkFinal("kept", "Failed", all("Failed", "a"))
	w.checkFinal("dropped", "Failed", all("Failed", "a"))
	w.checkFinal("cancelled", "Cancelled", map[string]string{"b": "Cancelled 1"})
	w.waitClaims(claim.Name)
	w.kubectl("delete", "dagrun", "kept")
	w.waitClaims()
}

// On two nodes: a claim for many is written on one and read on the other; without ReadWriteMany a run's Pods share a node.
func TestWorkspaceOnTwoNodes(t *testing.T) {
	w := newStoredWorld(t)
	w.controller()
	node := w.spareNode()
	there := func(t *v1alpha1.Task) {
		onSpare(node)(t)
		t.PodTemplate.NodeSelector = map[string]string{corev1.LabelHostname: node}
	}
	w.applySpec("many", v1alpha1.DAGSpec{Workspace: workspace(corev1.ReadWriteMany), Task: []v1alpha1.Task{
		sh("write", "echo here > /workspace/file"), sh("read", "cat /workspace/file > /dir/read; "+until("go"), after("write"), there),
		sh("beside", until("go"), after("write")),
	}})
	w.start("many", "many")
	away, beside := w.waitPod("many", "read", running), w.waitPod("many", "beside", running)
	if away.Spec.NodeName != node || beside.Spec.NodeName == node {
		t.Errorf("the Pods run on %s and %s, want the first alone on %s", away.Spec.NodeName, beside.Spec.NodeName, node)
	}
	if is := w.file("read"); is != "here\n" {
		t.Errorf("the other node reads %q", is)
	}

	// Half of the tasks would rather run there, half would not: they go where the first of them goes.
	elsewhere := func(t *v1alpha1.Task) {
		rather(node)(t)
		expression := &t.PodTemplate.Affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution[0].Preference.MatchExpressions[0]
		expression.Operator = corev1.NodeSelectorOpNotIn
	}
	w.applySpec("one", v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{
		sh("a", until("go"), rather(node)), sh("b", until("go"), elsewhere), sh("c", until("go"), rather(node)), sh("d", until("go"), elsewhere),
	}})
	w.start("one", "one")
	nodes := map[string]bool{}
	for _, task := range []string{"a", "b", "c", "d"} {
		nodes[w.waitPod("one", task, running).Spec.NodeName] = true
	}
	if len(nodes) != 1 {
		t.Errorf("the Pods run on %v, want one node", nodes)
	}
	w.open("go")
	w.checkFinal("many", "Succeeded", all("Succeeded", "write", "read", "beside"))
	w.checkFinal("one", "Succeeded", all("Succeeded", "a", "b", "c", "d"))
	w.waitClaims()
}

// ReadWriteOncePod runs one task at a time.
func TestWorkspaceForOnePod(t *testing.T) {
	w := newStoredWorld(t)
	w.controller()
	alone := "mkdir /workspace/busy; sleep 0.3; rmdir /workspace/busy"
	w.applySpec("dag", v1alpha1.DAGSpec{Workspace: workspace(corev1.ReadWriteOncePod), Task: []v1alpha1.Task{
		sh("a", ""), sh("b", alone, after("a")), sh("c", alone, after("a")), sh("d", alone, after("a")),
	}})
	w.start("run", "dag")
	w.checkFinal("run", "Succeeded", all("Succeeded", "a", "b", "c", "d"))
	if n := w.mostAtOnce("run"); n != 1 {
		t.Errorf("%d tasks at once", n)
	}
	w.waitClaims()
}

// class makes a StorageClass of the world's own.
func (w *world) class(name, provisioner string, mode storagev1.VolumeBindingMode) {
	w.t.Helper()
	classes := w.kube.StorageV1().StorageClasses()
	_, err := classes.Create(w.t.Context(), &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &mode,
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := classes.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			w.t.Errorf("deleting StorageClass %s: %v", name, err)
		}
	})
}

// A task whose claim cannot bind says why, and starts when it can.
func TestWorkspaceThatCannotBind(t *testing.T) {
	w := newStoredWorld(t)
	w.controller()
	provisioner := w.defaultClass().Provisioner
	missing, failing := w.namespace+"-missing", w.namespace+"-failing"
	// The controller manager knows no such plugin and says so; it does only when a scheduler has chosen a node.
	w.class(failing, "kubernetes.io/none", storagev1.VolumeBindingWaitForFirstConsumer)
	for name, class := range map[string]string{"missing": missing, "failing": failing, "none": ""} {
		w.applySpec(name, v1alpha1.DAGSpec{Workspace: ofClass(class), Task: []v1alpha1.Task{sh(name, "> /workspace/file")}})
		w.start(name, name)
	}
	for name, why := range map[string]string{
		"missing": fmt.Sprintf("%q not found", missing), "failing": "kubernetes.io/none", "none": "no storage class is set",
	} {
		w.eventually("task "+name+" to say why it waits", patience, func(context.Context) (bool, string) {
			task, _ := w.tryTask(name, name)
			return task.Phase == "Active" && task.Reason == "Unschedulable" && strings.Contains(task.Message, why) &&
				strings.Contains(task.Message, "claim "+w.claim(name).Name), task.Phase + " " + task.Reason + " " + task.Message
		})
		t.Logf("%s: %s", name, w.task(name, name).Message)
	}
	w.cancel("none")
	w.checkFinal("none", "Cancelled", map[string]string{"none": "Cancelled 1"})
	w.class(missing, provisioner, storagev1.VolumeBindingImmediate)
	w.checkFinal("missing", "Succeeded", all("Succeeded", "missing"))
	if err := w.kube.StorageV1().StorageClasses().Delete(t.Context(), failing, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.class(failing, provisioner, storagev1.VolumeBindingWaitForFirstConsumer)
	w.checkFinal("failing", "Succeeded", all("Succeeded", "failing"))
	w.waitClaims()
}

// A quota of claims is waited out, and holds up no run that has no workspace.
func TestWorkspaceQuota(t *testing.T) {
	w := newStoredWorld(t)
	w.controller()
	w.apply(`{apiVersion: v1, kind: ResourceQuota, metadata: {name: few}, spec: {hard: {persistentvolumeclaims: "1"}}}`)
	w.eventually("the quota to be in force", patience, func(ctx context.Context) (bool, string) {
		quota, err := w.kube.CoreV1().ResourceQuotas(w.namespace).Get(ctx, "few", metav1.GetOptions{})
		return err == nil && len(quota.Status.Hard) > 0, fmt.Sprint(err)
	})
	w.applySpec("dag", v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{sh("a", until("go")), sh("b", until("go"))}})
	w.start("first", "dag")
	w.waitAttempt("first", "a", 1, "Running")
	w.start("second", "dag")
	w.eventually("the second run to wait for the quota", patience, func(context.Context) (bool, string) {
		task, _ := w.tryTask("second", "a")
		return task.Reason == "QuotaExceeded" && strings.Contains(task.Message, "workspace"), task.Reason + " " + task.Message
	})
	w.applyDAG("plain", sh("c", ""))
	w.start("plain", "plain")
	w.checkFinal("plain", "Succeeded", all("Succeeded", "c"))
	w.open("go")
	w.checkFinal("first", "Succeeded", all("Succeeded", "a", "b"))
	w.checkFinal("second", "Succeeded", all("Succeeded", "a", "b"))
	w.waitClaims()
}

// A workspace that is deleted under a run is not made again: what would use it fails, and says so.
func TestWorkspaceLost(t *testing.T) {
	w := newStoredWorld(t)
	c := w.controller(patientLease)
	for _, run := range []string{"led", "away"} {
		w.applySpec(run, v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{
			sh("a", until(run)), sh("b", "", after("a"), retries(1)),
		}})
		w.start(run, run)
	}
	lose := func(run string) {
		t.Helper()
		w.waitAttempt(run, "a", 1, "Running")
		w.kubectl("delete", "pvc", w.claim(run).Name, "--wait=false")
	}
	check := func(run string) {
		t.Helper()
		w.checkFinal(run, "Failed", map[string]string{"a": "Succeeded", "b": "Failed 2"})
		for _, a := range w.attemptsOf(run, "b") {
			if a.Reason != "StartFailed" || !strings.Contains(a.Message, "the workspace is lost") {
				t.Errorf("%s: attempt %d of b ended with %s: %s", run, a.Number, a.Reason, a.Message)
			}
		}
	}
	lose("led")
	w.open("led")
	check("led")
	lose("away")
	c.stop()
	w.open("away")
	w.waitPod("away", "a", terminated)
	w.controller(patientLease)
	check("away")
	w.waitClaims()
}

// kill -9 between the claim, its record and the first Pod, and between a run's end and the deletion of its claim: one claim
// is made, and none is left.
func TestWorkspaceKilledAt(t *testing.T) {
	for _, fault := range []string{"claim-create:1", "claim-created:1", "claim-recorded:1", "run-end-committed:1", "claim-delete:1", "claim-deleted:1", "end-recorded:1"} {
		t.Run(fault, func(t *testing.T) {
			w := newStoredWorld(t)
			w.prepareWorkspace()
			w.dieAt(fault, nil)
			var made []string
			for _, claim := range w.claims() {
				made = append(made, string(claim.UID))
			}
			w.controller(atOnce)
			row := w.checkFinal(theRun, "Succeeded", all("Succeeded", "a", "b"))
			w.checkOnce("a", "b")
			w.checkStarts(theRun)
			w.checkEvent(row.UID, "Succeeded")
			if uid := w.recorded(theRun); len(made) > 0 && made[0] != uid {
				t.Errorf("claim %s was made again, as %s", made[0], uid)
			}
			w.waitClaims()
		})
	}
}

func (w *world) prepareWorkspace() {
	w.t.Helper()
	w.apply(w.manifest("DAG", "dag", v1alpha1.DAGSpec{Workspace: workspace(), Task: []v1alpha1.Task{
		marked("a", "> /workspace/file"), marked("b", "rm /workspace/file", after("a")),
	}}) + w.manifest("DagRun", theRun, v1alpha1.DagRunSpec{DagName: "dag"}))
}

// A run that is cancelled before its claim was recorded leaves none behind.
func TestWorkspaceKilledThenCancelled(t *testing.T) {
	w := newStoredWorld(t)
	w.prepareWorkspace()
	w.dieAt("claim-created:1", nil)
	w.claim(theRun)
	w.cancel(theRun)
	w.controller(atOnce)
	w.checkFinal(theRun, "Cancelled", map[string]string{"a": "Cancelled 1", "b": "Cancelled"})
	if uid := w.recorded(theRun); uid != "" {
		t.Errorf("claim %s was recorded", uid)
	}
	w.waitClaims()
}

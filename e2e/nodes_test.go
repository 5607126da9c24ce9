package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

// checkRestarted checks that the first of two attempts of a task was Lost for a reason, and that no retry was spent.
func (w *world) checkRestarted(run, task, reason string) {
	w.T.Helper()
	attempts := w.AttemptsOf(run, task)
	if len(attempts) != 2 || attempts[0].Phase != "Lost" || attempts[0].Reason != reason {
		w.T.Errorf("the attempts of %s are %+v, want the first of two Lost, %s", task, attempts, reason)
	}
	if row := w.Task(run, task); row.Retries != 0 || row.Restarts != 1 {
		w.T.Errorf("task %s has spent %d retries and %d restarts, want 0 and 1", task, row.Retries, row.Restarts)
	}
}

// An eviction, as by a drain, restarts the task and spends no retry.
func TestEviction(t *testing.T) {
	w := newWorld(t)
	w.Controller(longLease)
	w.ApplyDAG("dag", marked("a", once("a", forever)), marked("b", "", after("a")))
	w.Start("run", "dag")
	pod := w.WaitPod("run", "a", running)
	err := w.Kube.CoreV1().
		Pods(w.Namespace).
		EvictV1(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: pod.Name}})
	if err != nil {
		t.Fatal(err)
	}
	row := w.CheckFinal("run", "Succeeded", map[string]string{"a": "Succeeded 2", "b": "Succeeded"})
	w.checkRestarted("run", "a", "Disrupted")
	w.CheckOnce("a", "b")
	w.CheckStarts("run")
	w.CheckEvent(row.UID, "Succeeded")
}

// nodeLoss limits the time until a lost node is noticed and the tasks of its Pods restart.
const nodeLoss = 5 * time.Minute

const spareTaint = "kontroler-e2e/spare"

// spares counts the nodes of spareNode.
var spares atomic.Int32

// spareNode adds a node to the cluster, for Pods that tolerate its taint (see onSpare).
func (w *world) spareNode() (name string) {
	w.T.Helper()
	dir := filepath.Dir(w.Kubeconfig)
	if _, err := os.Stat(filepath.Join(dir, "cluster.json")); err != nil || os.Geteuid() != 0 {
		w.T.Skipf("needs a node that can be stopped, on a cluster of %s, and root", harness.ClusterTool())
	}
	name = fmt.Sprintf("spare%d-%d", os.Getpid(), spares.Add(1))
	nodes := w.Kube.CoreV1().Nodes()
	// The taint exists before the node runs, so that no Pod of another test is scheduled to it.
	_, err := nodes.Create(w.T.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.NodeSpec{
			Taints: []corev1.Taint{{Key: spareTaint, Value: name, Effect: corev1.TaintEffectNoExecute}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := nodes.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			w.T.Errorf("deleting node %s: %v", name, err)
		}
	})
	w.cluster("node", "add", dir, name)
	w.T.Cleanup(func() {
		if out, err := exec.Command(harness.ClusterTool(), "node", "stop", dir, name).CombinedOutput(); err != nil {
			w.T.Errorf("stopping node %s: %v\n%s", name, err, out)
		}
	})
	return name
}

// cluster runs the tool that started the cluster.
func (w *world) cluster(args ...string) {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(w.T.Context(), nodeLoss)
	defer cancel()
	if out, err := exec.CommandContext(ctx, harness.ClusterTool(), args...).CombinedOutput(); err != nil {
		w.T.Fatalf("%s %s: %v\n%s", harness.ClusterTool(), strings.Join(args, " "), err, out)
	}
}

// onSpare allows a task to run on a spare node.
func onSpare(node string) taskOption {
	return func(t *v1alpha1.Task) {
		t.PodTemplate.Tolerations = []corev1.Toleration{
			{Key: spareTaint, Operator: corev1.TolerationOpEqual, Value: node},
		}
	}
}

// rather makes a task prefer a spare node.
func rather(node string) taskOption {
	return func(t *v1alpha1.Task) {
		onSpare(node)(t)
		t.PodTemplate.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
				{Weight: 100, Preference: corev1.NodeSelectorTerm{
					MatchExpressions: []corev1.NodeSelectorRequirement{
						{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}},
					},
				}},
			},
		}}
	}
}

// When a node is drained, and when it is lost, its tasks run elsewhere, and no retry is spent.
func TestNodeDrainedAndLost(t *testing.T) {
	w := newWorld(t)
	w.Controller(longLease)
	node := w.spareNode()
	begin := func(run, task string) {
		w.ApplyDAG(run, marked(task, once(task, forever), rather(node)), marked("after-"+task, "", after(task)))
		w.Start(run, run)
		pod := w.WaitPod(run, task, running)
		if pod.Spec.NodeName != node {
			t.Fatalf("Pod %s runs on %s, want %s", pod.Name, pod.Spec.NodeName, node)
		}
		w.WaitAttempt(run, task, 1, "Running")
	}
	begin("drained", "d")
	w.Kubectl("drain", node, "--timeout=120s")
	w.CheckFinal("drained", "Succeeded", map[string]string{"d": "Succeeded 2", "after-d": "Succeeded"})
	w.checkRestarted("drained", "d", "Disrupted")
	w.Kubectl("uncordon", node)

	begin("lost", "l")
	stopped := time.Now()
	w.cluster("node", "stop", filepath.Dir(w.Kubeconfig), node)
	err := wait.PollUntilContextTimeout(t.Context(), time.Second, nodeLoss, true, func(context.Context) (bool, error) {
		return w.Task("lost", "l").Attempts == 2, nil
	})
	if err != nil {
		t.Fatalf("the attempt on the lost node is %+v", w.AttemptsOf("lost", "l"))
	}
	t.Logf("restarted after %s", time.Since(stopped).Round(time.Second))
	// The Pod can only be deleted when its node reports that it has ended.
	w.cluster("node", "start", filepath.Dir(w.Kubeconfig), node)
	w.CheckFinal("lost", "Succeeded", map[string]string{"l": "Succeeded 2", "after-l": "Succeeded"})
	w.checkRestarted("lost", "l", "NodeLost")
	if message := w.AttemptsOf("lost", "l")[0].Message; !strings.Contains(message, node) ||
		!strings.Contains(message, "may still run there") {
		t.Errorf("the attempt on the lost node says %q", message)
	}
	w.CheckOnce("d", "after-d", "l", "after-l")
}

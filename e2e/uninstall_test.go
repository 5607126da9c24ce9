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
	"kontroler/e2e/harness"
)

// Somebody deletes everything else before `controller uninstall`: the controller with its Lease, the DAGs, the DagRuns.
// Their Pods hang in Terminating. Uninstall needs no database, removes Kontroler's finalizer and leaves any other.
func TestUninstallAfterTheRest(t *testing.T) {
	const foreign = "example.org/audit"
	w := newWorld(t)
	c := w.Controller(longLease)
	w.ApplyDAG("dag", marked("live", forever), marked("held", forever))
	w.Start("run", "dag")
	w.WaitStarted(2)
	live, held := w.WaitPod("run", "live", running), w.WaitPod("run", "held", running)
	w.Kubectl("patch", "pod", held.Name, "--type=json", "-p",
		`[{"op": "add", "path": "/metadata/finalizers/-", "value": "`+foreign+`"}]`)
	c.Kill9()
	w.Kubectl("delete", "dags,dagruns,leases", "--all")
	hangs := func(pod *corev1.Pod) bool {
		return pod.DeletionTimestamp != nil && terminated(pod) && slices.Contains(pod.Finalizers, v1alpha1.Finalizer)
	}
	for _, name := range []string{live.Name, held.Name} {
		w.waitPodByName(name, "to hang in Terminating", hangs)
	}

	withoutDatabase := []harness.ProcessOption{
		flags("--all", "--lease-namespace="+w.Namespace), environment("DATABASE_URL="),
	}
	for _, want := range []string{"changed=2", "changed=0"} { // the second time nothing is left to do
		if out, err := w.Uninstall(withoutDatabase...); err != nil || !strings.Contains(out, want) {
			t.Errorf("uninstall: %v, want %s\n%s", err, want, out)
		}
	}
	w.WaitPodGone(live.Name)
	w.waitPodByName(held.Name, "to keep the foreign finalizer alone", func(pod *corev1.Pod) bool {
		return slices.Equal(pod.Finalizers, []string{foreign})
	})
	w.Kubectl("patch", "pod", held.Name, "--type=merge", "-p", `{"metadata": {"finalizers": null}}`)
	w.WaitPodGone(held.Name)
}

// waitPodByName waits until a Pod is as check wants, also if its run no longer exists.
func (w *world) waitPodByName(name, what string, check func(*corev1.Pod) bool) {
	w.T.Helper()
	w.Eventually("Pod "+name+" "+what, patience, func(ctx context.Context) (bool, string) {
		pod, err := w.Kube.CoreV1().Pods(w.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		return check(pod), fmt.Sprintf("%s, finalizers %v, deletion %v",
			pod.Status.Phase, pod.Finalizers, pod.DeletionTimestamp)
	})
}

package control_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// `controller uninstall` removes the finalizer from the Pods of a controller that has stopped.
func TestUninstall(t *testing.T) {
	w := newWorld(t)
	other := w.NewDatabase()
	c := w.Controller(longLease)
	w.Controller(on(other), flags("--controller-class=other"), longLease)
	w.ApplyDAG("dag", play("a", forever), play("b", forever))
	w.ApplySpec("others", v1alpha1.DAGSpec{ControllerClass: "other", Task: []v1alpha1.Task{play("kept", until("go"))}})
	w.Start("run", "dag")
	w.Start("others", "others")
	w.WaitStarted(3)
	w.WaitAttempt("run", "a", 1, "Running")
	w.WaitAttempt("run", "b", 1, "Running")
	if out, err := w.Uninstall(); err == nil || !strings.Contains(out, "still running") {
		t.Errorf("uninstall beside a running controller: %v %s", err, out)
	}
	if is := w.countFinalizers("run"); is != 2 {
		t.Errorf("%d Pods of a running controller have its finalizer, want 2", is)
	}
	c.Stop()
	gone := environment("DATABASE_URL=" + strings.Replace(w.URL, "/kontroler_test_", "/no_such_", 1))
	if out, err := w.Uninstall(gone); err == nil ||
		!strings.Contains(out, "If the database no longer exists, use --all") {
		t.Errorf("uninstall without the database: %v %s", err, out)
	}
	if is := w.countFinalizers("run"); is != 2 {
		t.Errorf("%d Pods have the finalizer, want 2: uninstall did not know which are the controller's", is)
	}
	for range 2 { // repeating it is harmless
		if out, err := w.Uninstall(); err != nil {
			t.Errorf("uninstall: %v %s", err, out)
		}
	}
	if is := w.countFinalizers("run"); is != 0 {
		t.Errorf("%d Pods have the finalizer of a controller that was uninstalled", is)
	}
	if is := w.countFinalizers("others"); is != 1 {
		t.Errorf("%d Pods of the other controller have its finalizer, want 1", is)
	}
	uid := string(w.DagRun("run").UID)
	w.Kubectl("delete", "dagrun", "run")
	w.CheckPodsGone(uid)
	w.Open("go")
	other.CheckFinal("others", "Succeeded", all("Succeeded", "kept"))
}

// A Pod may be replaced between the list and the patch of `controller uninstall`. The new Pod is left alone.
func TestUninstallMeetsAnotherPod(t *testing.T) {
	w := newWorld(t)
	c := w.Controller(longLease)
	w.ApplyDAG("dag", play("a", forever))
	w.Start("run", "dag")
	w.WaitAttempt("run", "a", 1, "Running")
	pod := w.WaitPod("run", "a", running)
	c.Stop()
	foreign := `{apiVersion: v1, kind: Pod, metadata: {name: ` + pod.Name + `, finalizers: [` + v1alpha1.Finalizer +
		`]}, spec: {containers: [{name: a, image: "busybox:1.36"}]}}`
	var once sync.Once
	p := w.newTap(w.Accounts.Uninstall, func(r *http.Request) {
		if r.Method == http.MethodPatch {
			once.Do(func() {
				w.Kubectl("patch", "pod", pod.Name, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
				w.Kubectl("delete", "pod", pod.Name, "--grace-period=0", "--force")
				w.Apply(foreign)
			})
		}
	})
	if out, err := w.Uninstall(p.over); err != nil {
		t.Errorf("uninstall: %v %s", err, out)
	}
	is, err := w.Kube.CoreV1().Pods(w.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if is.UID == pod.UID || len(is.Finalizers) != 1 {
		t.Errorf("the Pod has UID %s and finalizers %q, want another one than %s, with its finalizer",
			is.UID, is.Finalizers, pod.UID)
	}
}

// countFinalizers returns how many Pods of a run have the finalizer.
func (w *world) countFinalizers(run string) int {
	w.T.Helper()
	n := 0
	for _, pod := range w.Pods(run) {
		n += len(pod.Finalizers)
	}
	return n
}

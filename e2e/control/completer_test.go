package control_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/e2e/completer"
)

// makePod creates a Pod for the completer.
func (w *world) makePod(name, script string, change func(*corev1.Pod)) *corev1.Pod {
	w.T.Helper()
	grace := int64(2)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{Name: "task", Image: "none", Command: completer.Command(script)}}},
	}
	if change != nil {
		change(pod)
	}
	made, err := w.Kube.CoreV1().Pods(w.Namespace).Create(w.T.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return made
}

// played returns the state of a Pod as text: its phase, the state of its container, whether it is deleted.
func (w *world) played(ctx context.Context, name string) string {
	pod, err := w.Kube.CoreV1().Pods(w.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "gone"
	}
	if err != nil {
		return err.Error()
	}
	text := string(pod.Status.Phase)
	if pod.Spec.NodeName == "" {
		text += " unbound"
	}
	for _, c := range pod.Status.ContainerStatuses {
		switch state := c.State; {
		case state.Running != nil:
			text += " running"
		case state.Waiting != nil:
			text += " " + state.Waiting.Reason
		case state.Terminated != nil:
			text += fmt.Sprintf(" exit %d", state.Terminated.ExitCode)
		}
	}
	if pod.Status.Reason != "" {
		text += " " + pod.Status.Reason
	}
	if pod.DeletionTimestamp != nil {
		text += " deleted"
	}
	return text
}

func (w *world) waitPlayed(name, want string) {
	w.T.Helper()
	w.Eventually("Pod "+name+" to be "+want, time.Minute, func(ctx context.Context) (bool, string) {
		is := w.played(ctx, name)
		return is == want, is
	})
}

// Pods start, wait and end as their scripts say. All other tests of this package depend on it.
func TestCompleterPlaysScripts(t *testing.T) {
	w := newWorld(t)
	w.makePod("empty", "", nil)
	w.makePod("other", "", func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"true"} })
	w.makePod("exit", "sleep 0.1; exit 3; exit 4", nil)
	w.makePod("gate", "await go; fail-if bad", nil)
	w.makePod("held", "once word exit 5; hold go", nil)
	w.makePod("pending", "pend ImagePullBackOff", nil)
	w.makePod("late", "sleep 1000", func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = new(int64(1)) })
	w.makePod("nowhere", "", func(p *corev1.Pod) {
		p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "none"}
	})
	for name, want := range map[string]string{
		"empty": "Succeeded exit 0", "other": "Succeeded exit 0", "exit": "Failed exit 3",
		"gate": "Running running", "held": "Failed exit 5", "pending": "Pending ImagePullBackOff",
		"late": "Failed exit 137 DeadlineExceeded", "nowhere": "Pending unbound",
	} {
		w.waitPlayed(name, want)
	}
	w.Open("go")
	w.waitPlayed("gate", "Succeeded exit 0")
	w.makePod("second", "once word exit 5; hold go", nil) // the word is known already
	w.waitPlayed("second", "Running running")
	w.Close("go")
	w.waitPlayed("second", "Succeeded exit 0")
	w.Open("go")
	w.Open("bad")
	w.makePod("fails", "await go; fail-if bad", nil)
	w.waitPlayed("fails", "Failed exit 1")
	w.DeletePod("nowhere")
	w.waitPlayed("nowhere", "gone")
}

// A deleted Pod runs until the end of its grace period. Finalizers keep it afterwards.
func TestCompleterRespectsDeletion(t *testing.T) {
	w := newWorld(t)
	w.makePod("plain", "sleep 1000", nil)
	held := w.makePod("held", "await never", func(p *corev1.Pod) { p.Finalizers = []string{"example.org/hold"} })
	for _, name := range []string{"plain", "held"} {
		w.waitPlayed(name, "Running running")
	}
	asked := time.Now()
	for _, name := range []string{"plain", "held"} {
		w.DeletePod(name)
		if is := w.played(t.Context(), name); is != "Running running deleted" {
			t.Errorf("a Pod that was just deleted is %s", is)
		}
	}
	w.waitPlayed("plain", "gone")
	if took := time.Since(asked); took < time.Second {
		t.Errorf("a Pod with a grace period of 2 s was gone after %s", took)
	}
	w.waitPlayed("held", "Failed exit 137 deleted")
	_, err := w.Kube.CoreV1().Pods(w.Namespace).Patch(t.Context(), held.Name, types.MergePatchType,
		[]byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.waitPlayed("held", "gone")
	// A new Pod with the same name starts anew.
	w.makePod("held", "exit 7", nil)
	w.waitPlayed("held", "Failed exit 7")
}

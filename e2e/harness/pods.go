package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// Pods returns the Pods that the DagRun of a run controls, in any phase.
func (w *World) Pods(run string) []corev1.Pod {
	w.T.Helper()
	return w.podsOf(string(w.DagRun(run).UID))
}

func (w *World) podsOf(uid string) []corev1.Pod {
	w.T.Helper()
	list, err := w.Kube.CoreV1().Pods(w.Namespace).List(w.T.Context(), metav1.ListOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool {
		owner := metav1.GetControllerOf(&pod)
		return owner == nil || string(owner.UID) != uid
	})
}

// WaitPod waits for a Pod of a task that check accepts. A nil check accepts any Pod.
func (w *World) WaitPod(run, task string, check func(*corev1.Pod) bool) *corev1.Pod {
	w.T.Helper()
	var found *corev1.Pod
	w.Eventually("a Pod of "+task+" of "+run, Patience, func(context.Context) (bool, string) {
		is := "missing"
		for _, pod := range w.Pods(run) {
			if pod.Labels[v1alpha1.LabelTask] != task {
				continue
			}
			if check == nil || check(&pod) {
				found = &pod
				return true, ""
			}
			is = string(pod.Status.Phase) + " " + pod.Status.Reason
		}
		return false, is
	})
	return found
}

// Running reports whether the task container of a Pod runs.
func Running(pod *corev1.Pod) bool {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == v1alpha1.TaskContainer {
			return c.State.Running != nil
		}
	}
	return false
}

// Terminated reports whether the task container of a Pod has ended.
func Terminated(pod *corev1.Pod) bool {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == v1alpha1.TaskContainer {
			return c.State.Terminated != nil
		}
	}
	return false
}

// Settled reports whether a Pod has ended and its kubelet has cleaned up. Until then the kubelet may report the Pod
// once more. A deletion in the same second as the end could then be the cause of the end, so the attempt would be Lost
// instead of Failed.
func Settled(pod *corev1.Pod) bool {
	if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
		return false
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == v1alpha1.TaskContainer && c.State.Terminated != nil {
			return time.Since(c.State.Terminated.FinishedAt.Time) > 8*time.Second
		}
	}
	return false
}

// WaitPodGone waits until a Pod no longer exists.
func (w *World) WaitPodGone(name string) {
	w.T.Helper()
	w.Eventually("Pod "+name+" to be gone", Patience, func(ctx context.Context) (bool, string) {
		pod, err := w.Kube.CoreV1().Pods(w.Namespace).Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err),
			fmt.Sprintf("finalizers %v, deletion %v, %v", pod.Finalizers, pod.DeletionTimestamp, err)
	})
}

// CheckPodsGone waits until no Pod of a run exists.
func (w *World) CheckPodsGone(uid string) {
	w.T.Helper()
	w.Eventually("the Pods of the ended run to be gone", Patience, func(context.Context) (bool, string) {
		var left []string
		for _, pod := range w.podsOf(uid) {
			left = append(left,
				fmt.Sprintf("%s (finalizers %v, deletion %v)", pod.Name, pod.Finalizers, pod.DeletionTimestamp))
		}
		return len(left) == 0, strings.Join(left, ", ")
	})
}

// DeletePod requests the deletion of a Pod.
func (w *World) DeletePod(name string) {
	w.T.Helper()
	w.Kubectl("delete", "pod", name, "--wait=false")
}

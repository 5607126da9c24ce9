package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"kontroler/apis/kontroler/v1alpha1"
)

// HasFinalizer reports whether a Pod has Kontroler's finalizer.
func HasFinalizer(pod *corev1.Pod) bool { return slices.Contains(pod.Finalizers, v1alpha1.Finalizer) }

// RemoveFinalizer removes Kontroler's finalizer from a Pod, and no other. It reports whether it sent a patch that was
// accepted. If the Pod no longer exists, or another Pod has its name, there is nothing to do and no error.
func RemoveFinalizer(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod) (hasChanged bool, err error) {
	if !HasFinalizer(pod) {
		return false, nil
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":                                 pod.UID,
		"$deleteFromPrimitiveList/finalizers": []string{v1alpha1.Finalizer},
		// Pods of a run have an affinity to Pods with this label. Without the finalizer the Pod may stay on a lost node
		// for long, and must not attract other Pods to it.
		"labels": map[string]any{v1alpha1.LabelWorkspace: nil},
	}})
	if err != nil {
		return false, fmt.Errorf("encoding the patch: %w", err)
	}
	pods := client.CoreV1().Pods(pod.Namespace)
	_, err = pods.Patch(ctx, pod.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{})
	if apierrors.IsInvalid(err) || apierrors.IsConflict(err) {
		// Either another Pod has the name now (Invalid, because a UID is immutable), or this Pod changes so often that
		// the API server gave up (Conflict).
		live, readErr := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		switch {
		case readErr != nil:
			err = readErr
		case live.UID != pod.UID:
			return false, nil
		}
	}
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

package controller

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"kontroler/apis/clustertest"
	"kontroler/apis/kubeerrors"
)

// TestTooLargePod: what a real API server answers if a Pod is too large for etcd, for its client, or for itself.
func TestTooLargePod(t *testing.T) {
	t.Parallel()
	pods := kubernetes.NewForConfigOrDie(clustertest.Config(t)).CoreV1().Pods(metav1.NamespaceDefault)
	for _, size := range []int{1_600_000, 2_200_000, 3_300_000} {
		_, err := pods.Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "large-"},
			Spec: corev1.PodSpec{
				AutomountServiceAccountToken: new(false),
				Containers: []corev1.Container{{
					Name: "task", Image: "busybox", Args: []string{strings.Repeat("x", size)},
				}},
			},
		}, metav1.CreateOptions{})
		if !kubeerrors.IsTooLarge(err) {
			t.Errorf("a Pod of %d bytes is not found too large: %v", size, err)
		}
	}
}

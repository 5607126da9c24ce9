package controller_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller"
	"kontroler/controller/clustertest"
)

// testNamespace makes a namespace of the test's own, in which Pods can be made at once.
func testNamespace(t *testing.T, kube kubernetes.Interface) string {
	t.Helper()
	namespace, err := kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "uninstall-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kube.CoreV1().Namespaces().Delete(context.Background(), namespace.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := kube.CoreV1().ServiceAccounts(namespace.Name).Create(t.Context(), account, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	return namespace.Name
}

func TestUninstall(t *testing.T) {
	kube := clustertest.Kube(t)
	// theirs[name] is whose Pod it is, and which finalizers it has.
	theirs := map[string][]string{
		"mine":        {"aaaaaaaaaa", v1alpha1.Finalizer},
		"mine-shared": {"aaaaaaaaaa", "example.org/other", v1alpha1.Finalizer},
		"mine-free":   {"aaaaaaaaaa"},
		"another's":   {"bbbbbbbbbb", v1alpha1.Finalizer},
		"nobody's":    {"", v1alpha1.Finalizer},
	}
	tests := map[string]struct {
		id      string
		changed int
		left    map[string][]string
	}{
		"one controller's": {id: "aaaaaaaaaa", changed: 2, left: map[string][]string{
			"mine": nil, "mine-shared": {"example.org/other"}, "mine-free": nil, "another's": {v1alpha1.Finalizer}, "nobody's": {v1alpha1.Finalizer},
		}},
		"all controllers'": {changed: 3, left: map[string][]string{
			"mine": nil, "mine-shared": {"example.org/other"}, "mine-free": nil, "another's": nil, "nobody's": {v1alpha1.Finalizer},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			namespace := testNamespace(t, kube)
			pods := kube.CoreV1().Pods(namespace)
			for pod, of := range theirs {
				labels := map[string]string{}
				if of[0] != "" {
					labels[v1alpha1.LabelController] = of[0]
				}
				_, err := pods.Create(t.Context(), &corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{Name: strings.ReplaceAll(pod, "'", "-"), Labels: labels, Finalizers: of[1:]},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "task", Image: "busybox"}}},
				}, metav1.CreateOptions{})
				if err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() { dropFinalizers(t, kube, namespace) })
			cfg := controller.UninstallConfig{Kube: kube, ID: test.id, Namespaces: []string{namespace}, LeaseNamespace: namespace, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
			for i, want := range []int{test.changed, 0} { // a second time it finds nothing to do
				if changed, err := controller.Uninstall(t.Context(), cfg); err != nil || changed != want {
					t.Errorf("time %d: changed %d, %v; want %d", i+1, changed, err, want)
				}
			}
			for pod, want := range test.left {
				got, err := pods.Get(t.Context(), strings.ReplaceAll(pod, "'", "-"), metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got.Finalizers); diff != "" {
					t.Errorf("finalizers of %s (-want +got):\n%s", pod, diff)
				}
			}
		})
	}
}

// dropFinalizers lets a test's namespace go.
func dropFinalizers(t *testing.T, kube kubernetes.Interface, namespace string) {
	ctx := context.Background()
	pods, err := kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Error(err)
		return
	}
	for _, pod := range pods.Items {
		_, err := kube.CoreV1().Pods(namespace).Patch(ctx, pod.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	}
}

func TestUninstallRefusesWhileAControllerRuns(t *testing.T) {
	kube := clustertest.Kube(t)
	namespace := testNamespace(t, kube)
	holder, seconds, now := "host_x", int32(15), metav1.NowMicro()
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "kontroler-aaaaaaaaaa", Labels: map[string]string{v1alpha1.LabelController: "aaaaaaaaaa"}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}
	leases := kube.CoordinationV1().Leases(namespace)
	lease, err := leases.Create(t.Context(), lease, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for id, refused := range map[string]bool{"aaaaaaaaaa": true, "": true, "bbbbbbbbbb": false} {
		_, err := controller.Uninstall(t.Context(), controller.UninstallConfig{Kube: kube, ID: id, Namespaces: []string{namespace}, LeaseNamespace: namespace, Log: slog.New(slog.DiscardHandler)})
		if got := err != nil && strings.Contains(err.Error(), "kontroler-aaaaaaaaaa by host_x"); got != refused {
			t.Errorf("controller %q: %v, want refused: %v", id, err, refused)
		}
	}
	past := metav1.NewMicroTime(time.Now().Add(-time.Minute))
	lease.Spec.RenewTime = &past
	if _, err := leases.Update(t.Context(), lease, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := controller.Uninstall(t.Context(), controller.UninstallConfig{Kube: kube, ID: "aaaaaaaaaa", Namespaces: []string{namespace}, LeaseNamespace: namespace, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Error(fmt.Errorf("after the Lease has run out: %w", err))
	}
}

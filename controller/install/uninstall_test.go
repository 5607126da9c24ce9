package install_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"kontroler/apis/clustertest"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/install"
)

const (
	mine    = "aaaaaaaaaa"
	another = "bbbbbbbbbb"
	foreign = "example.org/other"
)

// newPod makes a Pod of a controller; an empty id makes a Pod without our label.
func newPod(name, controllerID string, finalizers ...string) *corev1.Pod {
	labels := map[string]string{}
	if controllerID != "" {
		labels[v1alpha1.LabelController] = controllerID
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Finalizers: finalizers},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "task", Image: "busybox"}}},
	}
}

// A real API server applies the patch: Uninstall removes one finalizer and leaves the others.
func TestUninstall(t *testing.T) {
	kube := clustertest.Kube(t)
	tests := map[string]struct {
		id      string
		changed int
		left    map[string][]string // finalizers by Pod
	}{
		"with an id only the Pods of that controller are changed": {id: mine, changed: 2, left: map[string][]string{
			"mine": nil, "mine-shared": {foreign}, "mine-free": nil,
			"another": {v1alpha1.Finalizer}, "unlabelled": {v1alpha1.Finalizer},
		}},
		"without an id the Pods of all controllers are changed": {changed: 3, left: map[string][]string{
			"mine": nil, "mine-shared": {foreign}, "mine-free": nil,
			"another": nil, "unlabelled": {v1alpha1.Finalizer},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t, kube)
			pods := kube.CoreV1().Pods(namespace)
			for _, pod := range []*corev1.Pod{
				newPod("mine", mine, v1alpha1.Finalizer),
				newPod("mine-shared", mine, foreign, v1alpha1.Finalizer),
				newPod("mine-free", mine),
				newPod("another", another, v1alpha1.Finalizer),
				newPod("unlabelled", "", v1alpha1.Finalizer),
			} {
				if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() { dropFinalizers(t, kube, namespace) })
			cfg := install.UninstallConfig{
				Kube: kube, ID: test.id, Namespaces: []string{namespace}, LeaseNamespace: namespace,
				Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			}
			for _, want := range []int{test.changed, 0} { // the second time there is nothing left to do
				if changed, err := install.Uninstall(t.Context(), cfg); err != nil || changed != want {
					t.Errorf("changed %d Pods, %v; want %d", changed, err, want)
				}
			}
			list, err := pods.List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			left := map[string][]string{}
			for _, pod := range list.Items {
				left[pod.Name] = pod.Finalizers
			}
			if diff := cmp.Diff(test.left, left); diff != "" {
				t.Errorf("finalizers (-want +got):\n%s", diff)
			}
		})
	}
}

// newNamespace makes a namespace for a test, in which Pods can be created.
func newNamespace(t *testing.T, kube kubernetes.Interface) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "uninstall-"}}
	namespace, err := kube.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := kube.CoreV1().Namespaces().Delete(context.Background(), namespace.Name, metav1.DeleteOptions{})
		if err != nil {
			t.Error(err)
		}
	})
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	_, err = kube.CoreV1().ServiceAccounts(namespace.Name).Create(t.Context(), account, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	return namespace.Name
}

// dropFinalizers lets a test's namespace be deleted.
func dropFinalizers(t *testing.T, kube kubernetes.Interface, namespace string) {
	ctx, pods := context.Background(), kube.CoreV1().Pods(namespace)
	list, err := pods.List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Error(err)
		return
	}
	patch := []byte(`{"metadata":{"finalizers":null}}`)
	for _, pod := range list.Items {
		_, err := pods.Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	}
}

func TestUninstallContinuesAfterAPodThatCannotBeChanged(t *testing.T) {
	kube := fake.NewClientset(newPod("first", mine, v1alpha1.Finalizer), newPod("second", mine, v1alpha1.Finalizer))
	kube.PrependReactor("patch", "pods", func(action k8stesting.Action) (bool, runtime.Object, error) {
		if action.(k8stesting.PatchAction).GetName() == "first" {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "first", nil)
		}
		return true, &corev1.Pod{}, nil
	})
	var log strings.Builder
	changed, err := install.Uninstall(t.Context(), install.UninstallConfig{
		Kube: kube, ID: mine, LeaseNamespace: "ops", Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if changed != 1 {
		t.Errorf("changed %d Pods, want 1", changed)
	}
	if diff := cmp.Diff("some Pods still have the finalizer (1). The log names them", message(err)); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "pod=first") {
		t.Errorf("the log does not name the Pod:\n%s", &log)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestUninstallRefusesWhileAControllerRuns(t *testing.T) {
	tests := map[string]struct {
		id         string
		namespace  string // empty means that the Lease may be in any
		holder     string
		renewedAgo time.Duration
		duration   int32 // seconds; 0 means that the Lease has none
		isRefused  bool
	}{
		"the Lease of the controller is held": {
			id: mine, namespace: "ops", holder: "host_x", duration: 15, isRefused: true,
		},
		"the Lease of any controller is held": {id: "", holder: "host_x", duration: 15, isRefused: true},
		"the Lease is held in some namespace, and none is named": {
			id: mine, holder: "host_x", duration: 15, isRefused: true,
		},
		"the Lease is held in another namespace than the one named": {
			id: mine, namespace: "dev", holder: "host_x", duration: 15,
		},
		"the Lease of another controller is held": {id: another, holder: "host_x", duration: 15},
		"the Lease has expired":                   {id: mine, holder: "host_x", renewedAgo: time.Minute, duration: 15},
		"the Lease has not expired": {
			id: mine, holder: "host_x", renewedAgo: time.Minute, duration: 120, isRefused: true,
		},
		"the Lease was released":    {id: mine, holder: "", duration: 15},
		"the Lease has no duration": {id: mine, holder: "host_x"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			renewed := metav1.NewMicroTime(time.Now().Add(-test.renewedAgo))
			lease := &coordinationv1.Lease{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: "ops", Name: "kontroler-" + mine,
					Labels: map[string]string{v1alpha1.LabelController: mine},
				},
				Spec: coordinationv1.LeaseSpec{HolderIdentity: &test.holder, RenewTime: &renewed},
			}
			if test.duration != 0 {
				lease.Spec.LeaseDurationSeconds = &test.duration
			}
			kube := fake.NewClientset(lease)
			cfg := install.UninstallConfig{
				Kube: kube, ID: test.id, LeaseNamespace: test.namespace, Log: slog.New(slog.DiscardHandler),
			}
			_, err := install.Uninstall(t.Context(), cfg)
			want := ""
			if test.isRefused {
				want = "a controller is still running (Lease held: ops/kontroler-" + mine + " by host_x). Stop it first"
			}
			if diff := cmp.Diff(want, message(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			readPods := slices.ContainsFunc(kube.Actions(), func(a k8stesting.Action) bool {
				return a.GetResource().Resource == "pods"
			})
			if readPods == test.isRefused {
				t.Errorf("Pods were read: %v, refused: %v", readPods, test.isRefused)
			}
		})
	}
}

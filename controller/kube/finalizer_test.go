package kube_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/kube"
)

// What the API server does with the patch is tested with a real one, in package install.
func TestRemoveFinalizer(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	conflict := apierrors.NewConflict(pods, "p", nil)
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "p", nil)
	tests := map[string]struct {
		finalizers []string
		patched    error     // the answer to the patch
		liveUID    types.UID // UID of the Pod that has the name afterwards; empty means that none has
		requests   []string
		hasChanged bool
		err        error
	}{
		"a Pod without the finalizer is left alone": {
			finalizers: []string{"example.org/other"}, liveUID: "u1",
		},
		"a Pod with the finalizer is patched": {
			finalizers: []string{"example.org/other", v1alpha1.Finalizer}, liveUID: "u1",
			requests: []string{"patch"}, hasChanged: true,
		},
		"a Pod that no longer exists needs nothing": {
			finalizers: []string{v1alpha1.Finalizer}, patched: apierrors.NewNotFound(pods, "p"),
			requests: []string{"patch"},
		},
		"a Pod that is gone after a conflict needs nothing": {
			finalizers: []string{v1alpha1.Finalizer}, patched: conflict, requests: []string{"patch", "get"},
		},
		"a Pod whose name another Pod has needs nothing": {
			finalizers: []string{v1alpha1.Finalizer}, patched: invalid, liveUID: "u2",
			requests: []string{"patch", "get"},
		},
		"a patch that makes the same Pod invalid is an error": {
			finalizers: []string{v1alpha1.Finalizer}, patched: invalid, liveUID: "u1",
			requests: []string{"patch", "get"}, err: invalid,
		},
		"a conflict with a change of the same Pod is an error": {
			finalizers: []string{v1alpha1.Finalizer}, patched: conflict, liveUID: "u1",
			requests: []string{"patch", "get"}, err: conflict,
		},
		"a refusal is an error": {
			finalizers: []string{v1alpha1.Finalizer}, patched: apierrors.NewForbidden(pods, "p", nil), liveUID: "u1",
			requests: []string{"patch"}, err: apierrors.NewForbidden(pods, "p", nil),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "u1", Finalizers: test.finalizers}}
			client := fake.NewClientset()
			client.PrependReactor("patch", "pods", func(k8stesting.Action) (bool, runtime.Object, error) {
				return true, pod, test.patched
			})
			client.PrependReactor("get", "pods", func(k8stesting.Action) (bool, runtime.Object, error) {
				if test.liveUID == "" {
					return true, nil, apierrors.NewNotFound(pods, "p")
				}
				return true, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: test.liveUID}}, nil
			})
			hasChanged, err := kube.RemoveFinalizer(t.Context(), client, pod)
			if hasChanged != test.hasChanged {
				t.Errorf("changed: %v, want %v", hasChanged, test.hasChanged)
			}
			if diff := cmp.Diff(text(test.err), text(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			var requests []string
			for _, action := range client.Actions() {
				requests = append(requests, action.GetVerb())
			}
			if diff := cmp.Diff(test.requests, requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

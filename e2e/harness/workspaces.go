package harness

import (
	"context"
	"fmt"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// Workspace returns a workspace of the default storage class.
func Workspace(modes ...corev1.PersistentVolumeAccessMode) *v1alpha1.Workspace {
	return &v1alpha1.Workspace{
		Enable: true,
		PVC: v1alpha1.WorkspaceClaim{AccessModes: modes, Resources: v1alpha1.WorkspaceResources{
			Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")},
		}},
	}
}

// Claims returns the claims in the namespace of the world.
func (w *World) Claims() []corev1.PersistentVolumeClaim {
	w.T.Helper()
	list, err := w.Kube.CoreV1().PersistentVolumeClaims(w.Namespace).List(w.T.Context(), metav1.ListOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return list.Items
}

// Claim waits for the claim of a run. A second claim fails the test.
func (w *World) Claim(run string) *corev1.PersistentVolumeClaim {
	w.T.Helper()
	uid := string(w.DagRun(run).UID)
	var found *corev1.PersistentVolumeClaim
	w.Eventually("the claim of "+run, Patience, func(context.Context) (bool, string) {
		found = nil
		for _, claim := range w.Claims() {
			if owner := metav1.GetControllerOf(&claim); owner == nil || string(owner.UID) != uid {
				continue
			}
			if found != nil {
				w.T.Fatalf("run %s has two claims, %s and %s", run, found.Name, claim.Name)
			}
			found = &claim
		}
		return found != nil, "missing"
	})
	return found
}

// WaitClaims waits until the namespace has exactly these claims.
func (w *World) WaitClaims(names ...string) {
	w.T.Helper()
	w.Eventually(fmt.Sprintf("the claims to be %v", names), Patience, func(context.Context) (bool, string) {
		var is []string
		for _, claim := range w.Claims() {
			is = append(is, claim.Name)
		}
		return gocmp.Equal(is, names), fmt.Sprint(is)
	})
}

// RecordedClaim returns the UID of the claim in the row of a run.
func (w *World) RecordedClaim(run string) string {
	w.T.Helper()
	return w.Strings(`SELECT coalesce(workspace_uid::text, '') FROM kontroler_v1.runs WHERE name = $1`, run)[0]
}

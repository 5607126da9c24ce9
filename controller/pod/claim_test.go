package pod

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kontroler/v1alpha1"
)

// TestBuildClaim builds the claim of a workspace that sets every field.
func TestBuildClaim(t *testing.T) {
	w := &v1alpha1.Workspace{Enable: true, PVC: v1alpha1.WorkspaceClaim{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany, corev1.ReadOnlyMany},
		Selector:    &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "fast"}},
		Resources: v1alpha1.WorkspaceResources{
			Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			Claims:   []corev1.ResourceClaim{{Name: "unused"}},
		},
		StorageClassName: new("fast"), VolumeMode: new(corev1.PersistentVolumeFilesystem),
	}}
	for i, field := range reflect.ValueOf(w.PVC).Fields() {
		if field.IsZero() {
			t.Fatalf("the test leaves out pvc.%s", i.Name)
		}
	}
	run := Run{Namespace: "etl", Name: "nightly-1", UID: runA, DAGName: strings.Repeat("n", 64)}
	want := &corev1.PersistentVolumeClaim{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "etl", Name: "nightly-1-abcdefghij",
			Labels:      map[string]string{v1alpha1.LabelController: "c1", v1alpha1.LabelRun: runA},
			Annotations: map[string]string{v1alpha1.AnnotationDAG: run.DAGName, v1alpha1.AnnotationRun: "nightly-1"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "kontroler.greedykomodo/v1alpha1", Kind: "DagRun", Name: "nightly-1", UID: types.UID(runA),
				Controller: new(true),
			}},
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: w.PVC.AccessModes, Selector: w.PVC.Selector,
			Resources:        corev1.VolumeResourceRequirements{Requests: w.PVC.Resources.Requests},
			StorageClassName: new("fast"), VolumeMode: new(corev1.PersistentVolumeFilesystem),
		},
	}
	if diff := cmp.Diff(want, BuildClaim("c1", run, w, "nightly-1-abcdefghij")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	run.DAGName = "nightly"
	small := BuildClaim("c1", run, &v1alpha1.Workspace{}, "x")
	if diff := cmp.Diff(
		[]corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, small.Spec.AccessModes,
	); diff != "" || small.Labels[v1alpha1.LabelDAG] != "nightly" {
		t.Errorf("labels %v; access modes (-want +got):\n%s", small.Labels, diff)
	}
}

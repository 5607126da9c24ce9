package pod

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

// BuildClaim returns the claim of a run's workspace.
func BuildClaim(controllerID string, run Run, w *v1alpha1.Workspace, name string) *corev1.PersistentVolumeClaim {
	pvc := w.PVC.DeepCopy()
	if len(pvc.AccessModes) == 0 {
		pvc.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	}
	labels := map[string]string{v1alpha1.LabelController: controllerID, v1alpha1.LabelRun: run.UID}
	if len(validation.IsValidLabelValue(run.DAGName)) == 0 {
		labels[v1alpha1.LabelDAG] = run.DAGName
	}
	return &corev1.PersistentVolumeClaim{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       run.Namespace,
			Name:            name,
			Labels:          labels,
			Annotations:     map[string]string{v1alpha1.AnnotationDAG: run.DAGName, v1alpha1.AnnotationRun: run.Name},
			OwnerReferences: []metav1.OwnerReference{ownerOf(run)},
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      pvc.AccessModes,
			Selector:         pvc.Selector,
			StorageClassName: pvc.StorageClassName,
			VolumeMode:       pvc.VolumeMode,
			Resources: corev1.VolumeResourceRequirements{
				Limits: pvc.Resources.Limits, Requests: pvc.Resources.Requests,
			},
		},
	}
}

// addWorkspace mounts the claim of a run in every container of a Pod. Unless several nodes can write to the claim,
// the Pods of the run must share a node: a required Pod affinity selects the label that all of them have. The
// scheduler accepts the first Pod, because the term matches the Pod itself.
func addWorkspace(pod *corev1.Pod, run Run, w *v1alpha1.Workspace, claim string) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{
		Name: dag.WorkspaceVolume,
		VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		},
	})
	isAlias := func(v corev1.Volume) bool { return v.Name == dag.WorkspaceAlias }
	hasAlias := !slices.ContainsFunc(pod.Spec.Volumes, isAlias)
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			for j := range containers[i].VolumeMounts {
				if mount := &containers[i].VolumeMounts[j]; hasAlias && mount.Name == dag.WorkspaceAlias {
					mount.Name = dag.WorkspaceVolume
				}
			}
			containers[i].VolumeMounts = append(
				containers[i].VolumeMounts,
				corev1.VolumeMount{Name: dag.WorkspaceVolume, MountPath: dag.WorkspaceMount},
			)
		}
	}
	if slices.Contains(w.PVC.AccessModes, corev1.ReadWriteMany) {
		return
	}
	if pod.Spec.Affinity == nil {
		pod.Spec.Affinity = &corev1.Affinity{}
	}
	if pod.Spec.Affinity.PodAffinity == nil {
		pod.Spec.Affinity.PodAffinity = &corev1.PodAffinity{}
	}
	pod.Labels[v1alpha1.LabelWorkspace] = run.UID
	required := &pod.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	*required = append(*required, corev1.PodAffinityTerm{
		LabelSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{v1alpha1.LabelWorkspace: run.UID},
		}, TopologyKey: corev1.LabelHostname,
	})
}

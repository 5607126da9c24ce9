package dag_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

func ptr[T any](v T) *T { return &v }

// task returns a valid task.
func task(name string, parents ...string) v1alpha1.Task {
	return v1alpha1.Task{Name: name, RunAfter: parents, TaskTemplate: v1alpha1.TaskTemplate{Image: "busybox"}}
}

// tasks returns a spec of these tasks.
func tasks(list ...v1alpha1.Task) *v1alpha1.DAGSpec { return &v1alpha1.DAGSpec{Task: list} }

// with returns the task with a change.
func with(t v1alpha1.Task, change func(*v1alpha1.Task)) v1alpha1.Task {
	change(&t)
	return t
}

// inPod returns a spec of one task with this podTemplate.
func inPod(p v1alpha1.PodTemplate) *v1alpha1.DAGSpec {
	return tasks(with(task("a"), func(t *v1alpha1.Task) { t.PodTemplate = &p }))
}

// brief returns "path: Type" of each fault.
func brief(faults field.ErrorList) []string {
	var lines []string
	for _, fault := range faults {
		lines = append(lines, fault.Field+": "+string(fault.Type))
	}
	return lines
}

// layered returns a DAG of n tasks; each has the given number of parents among those before it.
func layered(n, parents int) *v1alpha1.DAGSpec {
	spec := &v1alpha1.DAGSpec{}
	for i := range n {
		t := task(fmt.Sprintf("t%d", i))
		for j := max(0, i-parents); j < i; j++ {
			t.RunAfter = append(t.RunAfter, fmt.Sprintf("t%d", j))
		}
		spec.Task = append(spec.Task, t)
	}
	return spec
}

// claimed is a workspace of a size.
func claimed(size string, modes ...corev1.PersistentVolumeAccessMode) *v1alpha1.Workspace {
	return &v1alpha1.Workspace{Enable: true, PVC: v1alpha1.WorkspaceClaim{
		AccessModes: modes,
		Resources: v1alpha1.WorkspaceResources{
			Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
		},
	}}
}

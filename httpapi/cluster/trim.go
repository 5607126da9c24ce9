package cluster

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// trimDAG drops the fields of a DAG that no list shows. Of the tasks it keeps references to DagTasks, each once.
func trimDAG(obj any) (any, error) {
	d, ok := obj.(*v1alpha1.DAG)
	if !ok {
		return obj, nil
	}
	var tasks []v1alpha1.Task
	seen := map[string]bool{}
	for i := range d.Spec.Task {
		if ref := d.Spec.Task[i].TaskRef; ref != nil && !seen[ref.Name] {
			seen[ref.Name] = true
			tasks = append(tasks, v1alpha1.Task{TaskRef: &v1alpha1.TaskRef{Name: ref.Name}})
		}
	}
	d.Spec = v1alpha1.DAGSpec{
		Schedule: d.Spec.Schedule, TimeZone: d.Spec.TimeZone, Suspended: d.Spec.Suspended, Task: tasks,
		ControllerClass: d.Spec.ControllerClass,
	}
	d.Status = v1alpha1.DAGStatus{
		Controller: d.Status.Controller, NextScheduleTime: d.Status.NextScheduleTime,
		Conditions: only(d.Status.Conditions, v1alpha1.DAGValid),
	}
	trimMeta(d)
	return d, nil
}

// trimDagTask drops the fields of a DagTask that no list shows.
func trimDagTask(obj any) (any, error) {
	t, ok := obj.(*v1alpha1.DagTask)
	if !ok {
		return obj, nil
	}
	t.Spec = v1alpha1.DagTaskSpec{}
	t.Status = v1alpha1.DagTaskStatus{
		Controller: t.Status.Controller, Version: t.Status.Version,
		Conditions: only(t.Status.Conditions, v1alpha1.DagTaskValid),
	}
	trimMeta(t)
	return t, nil
}

// someSpec stands for the fields of the spec in the managed fields of a trimmed object.
var someSpec = metav1.NewFieldsV1(`{"f:spec":{}}`)

func trimMeta(object metav1.Object) {
	var kept []metav1.ManagedFieldsEntry
	if writer := specWriter(object.GetManagedFields()); writer != nil {
		kept = []metav1.ManagedFieldsEntry{{Manager: writer.Manager, FieldsV1: someSpec}}
	}
	object.SetManagedFields(kept)
	object.SetAnnotations(nil)
	object.SetOwnerReferences(nil)
	object.SetFinalizers(nil)
}

func only(conditions []metav1.Condition, kind string) (kept []metav1.Condition) {
	for _, condition := range conditions {
		if condition.Type == kind {
			kept = append(kept, condition)
		}
	}
	return kept
}

package cluster

import (
	"bytes"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// OwnManager is the field manager of what the server writes: the beginning of its user agent.
const OwnManager = "kontroler-server"

// Manager returns the name of the field manager that wrote the spec of an object. Of several it is the one that wrote
// last, and not the server if there is another one: whoever manages the object will write it again.
func Manager(object metav1.Object) string {
	if writer := specWriter(object.GetManagedFields()); writer != nil {
		return writer.Manager
	}
	return ""
}

// specWriter returns the entry of the manager that wrote the spec. An entry of a trimmed object has no fields.
func specWriter(entries []metav1.ManagedFieldsEntry) (writer *metav1.ManagedFieldsEntry) {
	for i := range entries {
		entry := &entries[i]
		if entry.Subresource != "" || entry.FieldsV1 != nil && !bytes.Contains(entry.FieldsV1.GetRawBytes(), []byte(`"f:spec"`)) {
			continue
		}
		isOwn := entry.Manager == OwnManager
		switch {
		case writer == nil, writer.Manager == OwnManager && !isOwn:
			writer = entry
		case isOwn && writer.Manager != OwnManager:
		case entry.Time != nil && writer.Time.Before(entry.Time):
			writer = entry
		}
	}
	return writer
}

// trimDAG drops from a DAG what no list shows. Of its tasks it keeps the names of DagTasks, each once.
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

// trimDagTask drops from a DagTask what no list shows.
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

func trimMeta(object metav1.Object) {
	var kept []metav1.ManagedFieldsEntry
	if writer := specWriter(object.GetManagedFields()); writer != nil {
		kept = []metav1.ManagedFieldsEntry{{Manager: writer.Manager}}
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

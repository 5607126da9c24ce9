package informer

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// trimMeta drops metadata that is not read.
func trimMeta(obj any) (any, error) {
	if object, err := meta.Accessor(obj); err == nil {
		object.SetManagedFields(nil)
		object.SetAnnotations(nil)
	}
	return obj, nil
}

// TrimDagRun is the transform of the informers of DagRuns. It keeps the due time of a scheduled run, by which history
// limits sort. The parameters and the requester of an admitted run are in its row. Of a run that has ended, of which
// there may be a hundred thousand, it keeps what retention reads.
func TrimDagRun(obj any) (any, error) {
	run, ok := obj.(*v1alpha1.DagRun)
	if !ok {
		return trimMeta(obj)
	}
	kept := []string{v1alpha1.AnnotationScheduledAt, v1alpha1.AnnotationRequestedBy}
	if run.Status.RunID != 0 {
		run.Spec.Parameters, kept = nil, kept[:1]
		if run.Status.Phase.Ended() {
			trimEnded(run)
		}
	}
	annotations := run.Annotations
	trimmed, err := trimMeta(obj)
	for _, key := range kept {
		if value, found := annotations[key]; found {
			metav1.SetMetaDataAnnotation(&run.ObjectMeta, key, value)
		}
	}
	return trimmed, err
}

// scheduledLabels are the labels of all trimmed runs of schedules.
var scheduledLabels = map[string]string{v1alpha1.LabelScheduled: "true"}

// trimEnded drops what is not read of a run that has ended.
func trimEnded(run *v1alpha1.DagRun) {
	if run.Labels[v1alpha1.LabelScheduled] == "true" {
		run.Labels = scheduledLabels
	} else {
		run.Labels = nil
	}
	run.TypeMeta = metav1.TypeMeta{}
	run.Status = v1alpha1.DagRunStatus{
		Phase: run.Status.Phase, Controller: run.Status.Controller, RunID: run.Status.RunID,
		CompletionTime: run.Status.CompletionTime,
	}
}

// TrimDAG is the transform of the informers of DAGs. It drops the tasks, of which there may be thousands: a DAG is
// compiled from a live read. It keeps the names of its DagTasks, each once.
func TrimDAG(obj any) (any, error) {
	if d, ok := obj.(*v1alpha1.DAG); ok {
		var tasks []v1alpha1.Task
		seen := map[string]bool{}
		for i := range d.Spec.Task {
			if ref := d.Spec.Task[i].TaskRef; ref != nil && !seen[ref.Name] {
				seen[ref.Name] = true
				tasks = append(tasks, v1alpha1.Task{TaskRef: &v1alpha1.TaskRef{Name: ref.Name}})
			}
		}
		d.Spec.Task, d.Spec.Parameters = tasks, nil
	}
	return trimMeta(obj)
}

// TrimDagTask is the transform of the informers of DagTasks. It drops the spec: a DagTask is stored from a live read.
func TrimDagTask(obj any) (any, error) {
	if task, ok := obj.(*v1alpha1.DagTask); ok {
		task.Spec = v1alpha1.DagTaskSpec{}
	}
	return trimMeta(obj)
}

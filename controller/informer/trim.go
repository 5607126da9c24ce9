package informer

import (
	"sync"
	"time"

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

// TrimDagRun is the transform of the informers of DagRuns. It keeps the due time of a scheduled run, for DueAt. It
// drops the parameters and the requester of an admitted run, which are in its row. It trims ended runs, of which there
// may be a hundred thousand, to what retention reads.
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
			kept = nil
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

// scheduledLabels are the labels that all trimmed runs of schedules share.
var scheduledLabels = map[string]string{v1alpha1.LabelScheduled: "true"}

// trimEnded drops the fields of an ended run that are not read. The start time of a scheduled run becomes its due time:
// a pointer takes a tenth of what a map of annotations takes. Runs share texts that many of them have. client-go trims
// listed objects twice. The second time changes nothing.
func trimEnded(run *v1alpha1.DagRun) {
	start := run.Status.StartTime
	if trigger, _, dueAt := run.Origin(); trigger != v1alpha1.TriggerSchedule {
		start = nil
	} else if !dueAt.IsZero() {
		start = new(metav1.NewTime(dueAt))
	}
	if run.Labels[v1alpha1.LabelScheduled] == "true" {
		run.Labels = scheduledLabels
	} else {
		run.Labels = nil
	}
	run.TypeMeta = metav1.TypeMeta{}
	run.Status = v1alpha1.DagRunStatus{
		Phase: run.Status.Phase, Controller: run.Status.Controller, RunID: run.Status.RunID,
		StartTime: start, CompletionTime: run.Status.CompletionTime,
	}
	for i := range run.OwnerReferences {
		owner := &run.OwnerReferences[i]
		shared.replace(&owner.APIVersion, &owner.Kind, &owner.Name, (*string)(&owner.UID))
	}
	shared.replace(&run.Namespace, &run.Spec.DagName, &run.Status.Controller, (*string)(&run.Status.Phase))
}

// DueAt returns the due time of a trimmed DagRun of a schedule. It is zero if it is not known.
func DueAt(run *v1alpha1.DagRun) time.Time {
	if _, _, dueAt := run.Origin(); !dueAt.IsZero() || run.Status.StartTime == nil {
		return dueAt
	}
	return run.Status.StartTime.Time
}

// maxShared bounds the shared texts. When the set is full, it is cleared.
const maxShared = 100_000

// sharedTexts interns texts: it has one copy of each.
type sharedTexts struct {
	mu    sync.Mutex
	texts map[string]string
}

var shared = sharedTexts{texts: map[string]string{}}

// replace replaces texts by their shared copies.
func (s *sharedTexts) replace(texts ...*string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range texts {
		copied, isShared := s.texts[*text]
		if !isShared {
			if len(s.texts) >= maxShared {
				clear(s.texts)
			}
			copied = *text
			s.texts[copied] = copied
		}
		*text = copied
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

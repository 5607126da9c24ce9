package controller

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/kube"
	"kontroler/store"
)

// maxTemplateBytes bounds the DagTasks in memory while one DAG is compiled.
const maxTemplateBytes = 16 << 20

// savedTask is a DagTask as saveTask found it: stored as a version, or with faults.
type savedTask struct {
	task    *v1alpha1.DagTask // nil if it does not exist
	version store.TaskVersion
	// isTaken reports that its spec.version is already stored with another spec.
	isTaken bool
	faults  field.ErrorList
}

// invalid returns the reason and the message of a DagTask that is not stored as it is. Both are empty for a stored one.
func (s *savedTask) invalid() (reason, message string) {
	switch {
	case len(s.faults) > 0:
		return "Invalid", faultMessage(s.faults)
	case s.isTaken:
		return "VersionTaken", fmt.Sprintf(
			"spec.version: version %d already exists with another task, and versions are immutable: "+
				"raise spec.version to %d; until then, DAGs use the stored task",
			s.version.Number,
			s.version.Newest+1,
		)
	}
	return "", ""
}

func (r *dagReconciler) syncTask(ctx context.Context, key cache.ObjectName) error {
	s, err := r.saveTask(ctx, key)
	if err != nil {
		return err
	}
	if s.task == nil {
		return r.db.DagTasks.MarkDeleted(ctx, key.Namespace, key.Name, r.now())
	}
	return r.reportTask(ctx, s)
}

// saveTask reads a DagTask live, validates it, and stores a new version if it changed. The sync of a DagTask and the
// compilation of the DAGs that name it both use it. Every controller has versions of its own.
func (r *dagReconciler) saveTask(ctx context.Context, key cache.ObjectName) (savedTask, error) {
	return r.saves.Do(key, func() (savedTask, error) { return r.save(ctx, key) })
}

func (r *dagReconciler) save(ctx context.Context, key cache.ObjectName) (savedTask, error) {
	task, err := r.cfg.Client.KontrolerV1alpha1().DagTasks(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && task.DeletionTimestamp != nil {
		return savedTask{}, nil
	}
	if err != nil {
		return savedTask{}, fmt.Errorf("reading DagTask %s: %w", key, err)
	}
	s := savedTask{task: task, faults: dag.CheckTask(&task.Spec)}
	if len(s.faults) > 0 {
		return s, nil
	}
	encoded, err := dag.EncodeTask(&task.Spec)
	if err == nil {
		row := store.DagTask{
			Namespace:  task.Namespace,
			Name:       task.Name,
			UID:        string(task.UID),
			Generation: task.Generation,
			CreatedAt:  task.CreationTimestamp.UTC(),
		}
		if task.Spec.Version != nil {
			row.Version = int64(*task.Spec.Version)
		}
		s.version, s.isTaken, err = r.db.DagTasks.SaveVersion(ctx, row, encoded, dag.Hash(encoded), r.now())
		if err != nil && !errors.Is(err, store.ErrRejected) {
			return savedTask{}, fmt.Errorf("storing a version of DagTask %s: %w", key, err)
		}
		fault.Point("task-version-committed")
	}
	if err != nil {
		// The database cannot store it, so the manifest is at fault.
		s.faults = field.ErrorList{field.Invalid(field.NewPath("spec"), field.OmitValueType{}, err.Error())}
	}
	return s, nil
}

// resolveTasks returns the DagTasks that a DAG names, in the versions that it asks for.
func (r *dagReconciler) resolveTasks(ctx context.Context, d *v1alpha1.DAG) (map[v1alpha1.TaskRef]dag.DagTask, error) {
	resolved, saved, size := map[v1alpha1.TaskRef]dag.DagTask{}, map[string]savedTask{}, 0
	for _, ref := range dag.TaskRefs(&d.Spec) {
		if size > maxTemplateBytes {
			resolved[ref] = dag.DagTask{Faults: field.ErrorList{field.Forbidden(field.NewPath("spec"),
				fmt.Sprintf("the DagTasks that the DAG names before this one exceed %d MiB", maxTemplateBytes>>20))}}
			continue
		}
		s, known := saved[ref.Name]
		if !known {
			var err error
			if s, err = r.saveTask(ctx, cache.NewObjectName(d.Namespace, ref.Name)); err != nil {
				return nil, err
			}
			saved[ref.Name] = s
		}
		version, faults := s.version, s.faults
		if ref.Version != 0 && s.task != nil && ref.Version != version.Number {
			var err error
			if version, err = r.db.DagTasks.Version(ctx, d.Namespace, ref.Name, ref.Version); err != nil {
				return nil, err
			}
			faults = nil
		}
		resolved[ref] = dag.DagTask{
			Missing:  s.task == nil,
			Version:  version.Number,
			Newest:   version.Newest,
			Template: version.Spec,
			Faults:   faults,
		}
		size += len(version.Spec)
	}
	return resolved, nil
}

// reportTask updates the status of a DagTask. If several controllers watch the DagTask, only the one that the status
// names writes it, until its claim has lapsed. The others would write the same, except for version numbers.
func (r *dagReconciler) reportTask(ctx context.Context, s savedTask) error {
	task := s.task
	reason, message := s.invalid()
	if other := task.Status.Controller; other != "" && other != r.cfg.ID {
		void, err := r.claimVoid(ctx, task.Status.ControllerNamespace, other)
		if err != nil {
			return err
		}
		if !void {
			if message != "" {
				r.cfg.Log.Warn("DagTask is not valid for this controller, and another controller writes its status",
					"namespace", task.Namespace, "dagtask", task.Name, "controller", other, "reason", message)
			}
			return nil
		}
	}
	status := task.Status.DeepCopy()
	status.ObservedGeneration = task.Generation
	status.Controller, status.ControllerNamespace = r.cfg.ID, r.cfg.LeaseNamespace
	if s.version.Number != 0 {
		status.Version = s.version.Number
	}
	valid := metav1.Condition{
		Type:               v1alpha1.DagTaskValid,
		Status:             metav1.ConditionTrue,
		Reason:             "Stored",
		ObservedGeneration: task.Generation,
		Message:            fmt.Sprintf("version %d", s.version.Number),
	}
	if message != "" {
		valid.Status, valid.Reason, valid.Message = metav1.ConditionFalse, reason, message
	}
	meta.SetStatusCondition(&status.Conditions, valid)
	if equality.Semantic.DeepEqual(*status, task.Status) {
		return nil
	}
	_, err := kube.PatchStatus(ctx, r.cfg.Client.KontrolerV1alpha1().DagTasks(task.Namespace), task, status)
	if err = kube.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("patching the status of DagTask %s/%s: %w", task.Namespace, task.Name, err)
	}
	fault.Point("task-reported")
	r.announce(task, valid, task.Status.Conditions, func() []string { return dag.TaskWarnings(&task.Spec) })
	return nil
}

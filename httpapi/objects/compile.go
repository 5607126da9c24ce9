package objects

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

// maxTemplateBytes bounds the DagTasks in memory while one DAG is compiled, as in the controller.
const maxTemplateBytes = 16 << 20

// StoredVersion reads a version of a DagTask from the database. template is nil if the version does not exist. newest
// is the highest version, or 0 if there is none.
type StoredVersion func(ctx context.Context, namespace, name string, number int64) (
	template []byte, newest int64, err error)

// Compile compiles a DAG with the current DagTasks that it references. It returns the faults of the DAG. An error is a
// *Refusal, or that of stored.
func (c Client) Compile(ctx context.Context, d *v1alpha1.DAG, stored StoredVersion) (
	*dag.Graph, field.ErrorList, error) {
	resolved, live, size := map[v1alpha1.TaskRef]dag.DagTask{}, map[string]*v1alpha1.DagTask{}, 0
	for _, ref := range dag.TaskRefs(&d.Spec) {
		if size > maxTemplateBytes {
			resolved[ref] = dag.DagTask{Faults: field.ErrorList{field.Forbidden(field.NewPath("spec"),
				fmt.Sprintf("the DagTasks that the DAG names before this one exceed %d MiB", maxTemplateBytes>>20))}}
			continue
		}
		task, isKnown := live[ref.Name]
		if !isKnown {
			var err error
			if task, err = c.findTask(ctx, d.Namespace, ref.Name); err != nil {
				return nil, nil, err
			}
			live[ref.Name] = task
		}
		found, err := resolve(ctx, d.Namespace, ref, task, stored)
		if err != nil {
			return nil, nil, err
		}
		resolved[ref] = found
		size += len(found.Template)
	}
	graph, faults := dag.CompileWith(&d.Spec, resolved)
	return graph, faults, nil
}

// findTask returns a DagTask, or nil if there is none.
func (c Client) findTask(ctx context.Context, namespace, name string) (*v1alpha1.DagTask, error) {
	task, err := c.DagTasks().Get(ctx, namespace, name)
	if isAbsent(err) || err == nil && task.DeletionTimestamp != nil {
		return nil, nil
	}
	return task, err
}

// resolve returns the DagTask that a taskRef references. A stored version takes precedence. The live object serves a
// reference to its own version, or without a version.
func resolve(
	ctx context.Context, namespace string, ref v1alpha1.TaskRef, task *v1alpha1.DagTask, stored StoredVersion,
) (dag.DagTask, error) {
	if task == nil {
		return dag.DagTask{Missing: true}, nil
	}
	isLive := ref.Version == 0 || task.Spec.Version != nil && int64(*task.Spec.Version) == ref.Version
	if ref.Version != 0 {
		template, newest, err := stored(ctx, namespace, ref.Name, ref.Version)
		if err != nil {
			return dag.DagTask{}, err
		}
		if template != nil {
			return dag.DagTask{Version: ref.Version, Newest: newest, Template: template}, nil
		}
		if !isLive {
			return dag.DagTask{Newest: newest}, nil
		}
	}
	if faults := dag.CheckTask(&task.Spec); len(faults) > 0 {
		return dag.DagTask{Faults: faults}, nil
	}
	template, err := dag.EncodeTask(&task.Spec)
	if err != nil {
		return dag.DagTask{Faults: field.ErrorList{
			field.Invalid(field.NewPath("spec"), field.OmitValueType{}, err.Error()),
		}}, nil
	}
	version := max(ref.Version, task.Status.Version, 1)
	return dag.DagTask{Version: version, Newest: version, Template: template}, nil
}

package dag

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

const (
	// maxTaskRefs limits the DagTasks and versions that a DAG names, because each of them is looked up.
	maxTaskRefs = 256
	// maxMergedBytes limits their size in a DAG, because each version of the DAG stores all of them.
	maxMergedBytes = 4 << 20
)

// DagTask is the DagTask that a taskRef names.
type DagTask struct {
	// Missing reports that no DagTask of this name exists.
	Missing bool
	// Version is the version that the taskRef pins, or the current one. 0 means that it does not exist.
	Version int64
	// Newest is the highest version.
	Newest int64
	// Template is the result of EncodeTask for the version. The database may have changed the order of its keys.
	Template []byte
	// Faults are those of the current DagTask, if they are the reason that it has no version.
	Faults field.ErrorList
}

// CheckTask returns all faults of a DagTask, with paths of the DagTask. Its parameters are looked up in each DAG that
// uses it.
func CheckTask(spec *v1alpha1.DagTaskSpec) field.ErrorList {
	c := &compiler{spec: &v1alpha1.DAGSpec{}, root: field.NewPath("spec"), isDagTask: true}
	if spec.Image == "" {
		c.add(field.Required(c.root.Child("image"), "a DagTask has an image"))
	}
	inRange(&c.faults, c.root.Child("version"), spec.Version, 1, maxInt32)
	for i, name := range spec.Parameters {
		path := c.root.Child("parameters").Index(i)
		c.checkParameterName(path, name)
		if slices.Contains(spec.Parameters[:i], name) {
			c.add(duplicate(path, name))
		}
	}
	c.checkTemplate(&spec.TaskTemplate, c.root)
	return c.faults.list()
}

// EncodeTask returns the canonical JSON of what a version of a DagTask pins: everything except version and runAfter.
func EncodeTask(spec *v1alpha1.DagTaskSpec) ([]byte, error) {
	encoded, err := json.Marshal(&spec.TaskTemplate)
	if err != nil {
		return nil, fmt.Errorf("encoding a DagTask: %w", err)
	}
	if containsNUL(encoded) {
		return nil, fmt.Errorf("encoding a DagTask: %w", errNUL)
	}
	return encoded, nil
}

// TaskRefs returns the well-formed taskRefs of a spec, each once, in the order of the tasks. It returns at most
// maxTaskRefs.
func TaskRefs(spec *v1alpha1.DAGSpec) []v1alpha1.TaskRef {
	var refs []v1alpha1.TaskRef
	seen := map[v1alpha1.TaskRef]bool{}
	for i := range spec.Task {
		ref := spec.Task[i].TaskRef
		if ref == nil || seen[*ref] || ref.Version < 0 || len(validation.IsDNS1123Subdomain(ref.Name)) > 0 {
			continue
		}
		if len(refs) == maxTaskRefs {
			break
		}
		seen[*ref] = true
		refs = append(refs, *ref)
	}
	return refs
}

// CompileWith is Compile for a spec whose taskRefs are resolved. resolved has an entry for each of TaskRefs. The task's
// own fields are merged over those of its DagTask. The Spec of the graph is self-contained, and each of its taskRefs
// names the version that was used. This Spec is what a version of the DAG pins. The given spec is not changed.
func CompileWith(spec *v1alpha1.DAGSpec, resolved map[v1alpha1.TaskRef]DagTask) (*Graph, field.ErrorList) {
	if spec == nil {
		return Compile(nil)
	}
	e := &expansion{given: spec, resolved: resolved, bases: map[v1alpha1.TaskRef]*v1alpha1.TaskTemplate{}}
	e.expand()
	graph, found := Compile(&e.spec)
	for _, fault := range found {
		e.faults.add(e.explain(fault))
	}
	if faults := e.faults.list(); len(faults) > 0 {
		return nil, faults
	}
	return graph, nil
}

// expansion is the state of a call of CompileWith.
type expansion struct {
	given    *v1alpha1.DAGSpec
	resolved map[v1alpha1.TaskRef]DagTask
	spec     v1alpha1.DAGSpec
	bases    map[v1alpha1.TaskRef]*v1alpha1.TaskTemplate // decoded; shared by tasks without own fields
	bytes    int
	faults   faults
}

// expand merges the DagTasks into the tasks. A task whose DagTask is not available gets one fault. The tasks beyond a
// limit share one fault. The podTemplate of such tasks is dropped, because it may depend on that of the DagTask.
func (e *expansion) expand() {
	e.spec = *e.given
	e.spec.Task = slices.Clone(e.given.Task)
	beyond, isFull := false, false
	for i := range e.spec.Task {
		t := &e.spec.Task[i]
		if t.TaskRef == nil || t.TaskRef.Version < 0 || len(validation.IsDNS1123Subdomain(t.TaskRef.Name)) > 0 {
			continue // Compile reports the fault
		}
		path := field.NewPath("spec", "task").Index(i).Child("taskRef")
		d, ok := e.resolved[*t.TaskRef]
		switch {
		case isFull:
			t.PodTemplate = nil
		case !ok:
			if !beyond {
				e.faults.add(field.Forbidden(path,
					fmt.Sprintf("a DAG names at most %d DagTasks or versions of them", maxTaskRefs)))
			}
			beyond, t.PodTemplate = true, nil
		case d.Version == 0:
			e.faults.add(unresolved(path, t.TaskRef, d))
			t.PodTemplate = nil
		default:
			if err := e.merge(t, d); err != nil {
				e.faults.add(invalid(path, t.TaskRef.Name, "cannot be merged: "+err.Error()))
				t.PodTemplate = nil
			}
			if isFull = e.bytes > maxMergedBytes; isFull {
				e.faults.add(
					&field.Error{
						Type:     field.ErrorTypeTooLong,
						Field:    path.String(),
						BadValue: field.OmitValueType{},
						Detail: fmt.Sprintf(
							"with this task, the DagTasks of the DAG exceed %d MiB in total: "+
								"make them smaller or split the DAG",
							maxMergedBytes>>20,
						),
					},
				)
			}
		}
	}
}

// LacksDagTasks reports whether the only faults of a DAG are DagTasks, or versions of them, that do not exist. They may
// be applied after the DAG.
func LacksDagTasks(faults field.ErrorList) bool {
	return len(faults) > 0 && !slices.ContainsFunc(faults, func(fault *field.Error) bool {
		return fault.Type != field.ErrorTypeNotFound || !strings.Contains(fault.Field, ".taskRef.")
	})
}

// unresolved returns the fault of a taskRef whose version does not exist.
func unresolved(path *field.Path, ref *v1alpha1.TaskRef, d DagTask) *field.Error {
	switch {
	case d.Missing:
		return notFound(path.Child("name"), ref.Name,
			"there is no DagTask of this name in the DAG's namespace: apply it")
	case len(d.Faults) > 0:
		text := cut(d.Faults[0].Error())
		if more := len(d.Faults) - 1; more > 0 {
			text += fmt.Sprintf(", and %d more", more)
		}
		return invalid(path.Child("name"), ref.Name, "the DagTask cannot be used: "+text)
	}
	has := "it has none"
	if d.Newest > 0 {
		has = fmt.Sprintf("its newest is %d", d.Newest)
	}
	return notFound(
		path.Child("version"),
		fmt.Sprint(ref.Version),
		fmt.Sprintf("DagTask %q has no such version, %s: apply it with this spec.version, or name another one",
			cut(ref.Name), has),
	)
}

// merge merges the own fields of a task over its DagTask.
func (e *expansion) merge(t *v1alpha1.Task, d DagTask) error {
	ref := *t.TaskRef
	over, err := asMap(&t.TaskTemplate)
	if err != nil {
		return err
	}
	if len(over) > 0 {
		base, err := decodeMap(d.Template)
		if err != nil {
			return err
		}
		merged, err := mergeTemplates(base, over)
		if err != nil {
			return err
		}
		e.bytes += len(merged)
		whole := v1alpha1.TaskTemplate{}
		if err := json.Unmarshal(merged, &whole); err != nil {
			return err
		}
		t.TaskTemplate = whole
	} else {
		base := e.bases[ref]
		if base == nil {
			base = &v1alpha1.TaskTemplate{}
			if err := json.Unmarshal(d.Template, base); err != nil {
				return err
			}
			e.bases[ref] = base
		}
		e.bytes += len(d.Template)
		t.TaskTemplate = *base
	}
	t.TaskRef = &v1alpha1.TaskRef{Name: ref.Name, Version: d.Version}
	return nil
}

package dag

import (
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

const (
	// maxTaskRefs bounds the DagTasks, and versions of them, that one DAG names: each is looked up.
	maxTaskRefs = 256
	// maxMergedBytes bounds what they make of a DAG, which is kept whole in each of its versions.
	maxMergedBytes = 4 << 20
)

// DagTask is what a taskRef was resolved to.
type DagTask struct {
	// Missing: there is no DagTask of this name.
	Missing bool
	// Version that was asked for or, by version 0, that the DagTask has; 0: there is none.
	Version int64
	// Newest is the highest version that there is.
	Newest int64
	// Template is what EncodeTask returned for the version, in whatever order a database keeps it.
	Template []byte
	// Faults of the DagTask as it is now, where that is why it has no version.
	Faults field.ErrorList
}

// CheckTask returns everything that is wrong with a DagTask by itself, by its own paths. Whether its parameters are
// parameters of a DAG is checked in each DAG that names it.
func CheckTask(spec *v1alpha1.DagTaskSpec) field.ErrorList {
	c := &compiler{spec: &v1alpha1.DAGSpec{}, root: field.NewPath("spec"), ofTask: true}
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

// EncodeTask returns the canonical JSON of what a version of a DagTask pins: all but version and runAfter.
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

// TaskRefs returns the taskRefs of a spec that can be looked up, each once, in the order of the tasks: at most as many as
// a DAG may have.
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

// CompileWith is Compile for a spec whose taskRefs are resolved: each of TaskRefs has an entry. A task with a taskRef is
// the DagTask's with what the task gives itself merged over it. The graph's Spec is self-contained, each taskRef naming
// the version that was taken: it is what a version of the DAG pins. The given spec is not changed.
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

// expansion is the state of one CompileWith.
type expansion struct {
	given    *v1alpha1.DAGSpec
	resolved map[v1alpha1.TaskRef]DagTask
	spec     v1alpha1.DAGSpec
	bases    map[v1alpha1.TaskRef]*v1alpha1.TaskTemplate // decoded, shared by the tasks that override nothing
	bytes    int
	faults   faults
}

// expand merges the DagTasks into the tasks. A task whose DagTask cannot be had has a fault; of what it gives itself the
// podTemplate, which may build on the DagTask's, is not looked at.
func (e *expansion) expand() {
	e.spec = *e.given
	e.spec.Task = slices.Clone(e.given.Task)
	beyond := false
	for i := range e.spec.Task {
		t := &e.spec.Task[i]
		if t.TaskRef == nil || t.TaskRef.Version < 0 || len(validation.IsDNS1123Subdomain(t.TaskRef.Name)) > 0 {
			continue // Compile says what is wrong with it
		}
		path := field.NewPath("spec", "task").Index(i).Child("taskRef")
		d, ok := e.resolved[*t.TaskRef]
		switch {
		case !ok && !beyond:
			beyond = true
			e.faults.add(field.Forbidden(path, fmt.Sprintf("a DAG names at most %d DagTasks or versions of them", maxTaskRefs)))
		case !ok:
		case d.Version == 0:
			e.faults.add(unresolved(path, t.TaskRef, d))
			t.PodTemplate = nil
		default:
			if err := e.merge(t, d); err != nil {
				e.faults.add(invalid(path, t.TaskRef.Name, "cannot be merged: "+err.Error()))
				t.PodTemplate = nil
			}
			if e.bytes > maxMergedBytes {
				e.faults.add(&field.Error{Type: field.ErrorTypeTooLong, Field: path.String(), BadValue: field.OmitValueType{}, Detail: fmt.Sprintf(
					"with this task, what is taken from DagTasks exceeds %d MiB, which is kept with the DAG for each task: make the DagTasks smaller, or split the DAG", maxMergedBytes>>20)})
				return
			}
		}
	}
}

// unresolved says why a taskRef names nothing.
func unresolved(path *field.Path, ref *v1alpha1.TaskRef, d DagTask) *field.Error {
	switch {
	case d.Missing:
		return notFound(path.Child("name"), ref.Name, "there is no DagTask of this name in the DAG's namespace: apply it")
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
	return notFound(path.Child("version"), fmt.Sprint(ref.Version),
		fmt.Sprintf("DagTask %q has no such version, %s: apply it with this spec.version, or name another one", cut(ref.Name), has))
}

// merge makes of a task that its DagTask gives, under what it gives itself.
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

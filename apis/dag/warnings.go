package dag

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

const (
	// maxWarnings limits the warnings of a spec.
	maxWarnings = 20
	// manyRetries is the limit above which retries seem meant to be endless.
	manyRetries = 1000
	maxExitCode = 255
)

// Warnings returns a line for each field that has no effect or a surprising one: the field, its effect, and what to
// write instead. A spec with warnings is valid. After twenty warnings only their number is reported.
func Warnings(spec *v1alpha1.DAGSpec) []string {
	w := &warnings{}
	root := field.NewPath("spec")
	w.schedule(spec, root)
	for i := range spec.Parameters {
		w.parameterName(root.Child("parameters").Index(i).Child("name"), spec.Parameters[i].Name)
	}
	if workspace := workspaceOf(spec); workspace != nil && len(workspace.PVC.Resources.Claims) > 0 {
		w.add(
			root.Child("workspace", "pvc", "resources", "claims"),
			"has no effect, because a PersistentVolumeClaim has none: remove it",
		)
	}
	for i := range spec.Task {
		w.template(root.Child("task").Index(i), &spec.Task[i].TaskTemplate)
	}
	return w.list()
}

// TaskWarnings is Warnings for a DagTask.
func TaskWarnings(spec *v1alpha1.DagTaskSpec) []string {
	w := &warnings{}
	root := field.NewPath("spec")
	if len(spec.RunAfter) > 0 {
		w.add(root.Child("runAfter"), "has no effect in a DagTask: write it in the DAG, beside the taskRef")
	}
	for i, name := range spec.Parameters {
		w.parameterName(root.Child("parameters").Index(i), name)
	}
	w.template(root, &spec.TaskTemplate)
	return w.list()
}

// warnings collects warnings. After the first maxWarnings it only counts them.
type warnings struct {
	first []string
	more  int
}

func (w *warnings) add(path *field.Path, text string) {
	if len(w.first) == maxWarnings {
		w.more++
		return
	}
	w.first = append(w.first, path.String()+": "+text)
}

func (w *warnings) list() []string {
	if w.more == 0 {
		return w.first
	}
	return append(w.first, fmt.Sprintf("… and %d more", w.more))
}

func (w *warnings) schedule(spec *v1alpha1.DAGSpec, root *field.Path) {
	prefix, zone, expression := splitZone(spec.Schedule)
	at := root.Child("schedule")
	if prefix != "" && (spec.TimeZone == nil || *spec.TimeZone == zone) {
		w.add(
			at,
			fmt.Sprintf("%s%s counts as timeZone: write timeZone: %q and schedule: %q", prefix, cut(zone), cut(zone),
				cut(expression)),
		)
	}
	if spec.Schedule == "" {
		return
	}
	if parsed, err := parseCron(expression); err == nil && IsNeverDue(parsed) {
		w.add(at, "is never due, because no date matches it: correct it or remove it")
	}
}

func (w *warnings) parameterName(path *field.Path, name string) {
	if len(validation.IsEnvVarName(name)) > 0 && len(validation.IsRelaxedEnvVarName(name)) == 0 {
		w.add(
			path,
			fmt.Sprintf(
				"%q is rejected in Pods before Kubernetes 1.34: "+
					"begin it with a letter, and use letters, digits and _ only",
				cut(name),
			),
		)
	}
}

// template checks the fields that a task and a DagTask share.
func (w *warnings) template(path *field.Path, t *v1alpha1.TaskTemplate) {
	if t.Script != "" && len(t.Command)+len(t.Args) > 0 {
		w.add(path.Child("script"), "replaces command and args, which have no effect: remove them")
	}
	if t.ScriptInjectorImage != "" {
		w.add(path.Child("scriptInjectorImage"), "has no effect, because scripts need no helper image: remove it")
	}
	if b := t.Backoff; b != nil && b.Limit != nil {
		switch limit := path.Child("backoff", "limit"); {
		case *b.Limit < 0:
			w.add(limit, fmt.Sprintf("%d counts as 0, no retries: write 0", *b.Limit))
		case *b.Limit > manyRetries:
			w.add(limit, fmt.Sprintf(
				"%d retries take days or longer before the task is Failed: write %d or less", *b.Limit, manyRetries,
			))
		}
	}
	if t.Conditional == nil {
		return
	}
	for i, code := range t.Conditional.RetryCodes {
		if code < 0 || code > maxExitCode {
			w.add(path.Child("conditional", "retryCodes").Index(i),
				fmt.Sprintf("%d matches nothing, because exit codes are 0 to %d: remove it", code, maxExitCode))
		}
	}
}

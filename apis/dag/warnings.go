package dag

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

const (
	// maxWarnings bounds the warnings of one spec.
	maxWarnings = 20
	// manyRetries is where a limit looks like "for ever".
	manyRetries = 1000
	maxExitCode = 255
)

// Warnings returns what a spec says that has no effect, or another one than its author may expect, in one line each: the
// field, what it does here, and what to write instead. A spec with warnings is valid. After twenty only their number is told.
func Warnings(spec *v1alpha1.DAGSpec) []string {
	w := &warnings{}
	root := field.NewPath("spec")
	w.schedule(spec, root)
	for i := range spec.Parameters {
		w.parameterName(root.Child("parameters").Index(i).Child("name"), spec.Parameters[i].Name)
	}
	if workspace := workspaceOf(spec); workspace != nil && len(workspace.PVC.Resources.Claims) > 0 {
		w.add(root.Child("workspace", "pvc", "resources", "claims"), "has no effect, as a volume claim has none: leave it out")
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

// warnings collects them, and only counts those after the first twenty.
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
		w.add(at, fmt.Sprintf("%s%s counts as timeZone: write timeZone: %q and schedule: %q", prefix, cut(zone), cut(zone), cut(expression)))
	}
	if spec.Schedule == "" {
		return
	}
	if parsed, err := parseCron(expression); err == nil && IsNeverDue(parsed) {
		w.add(at, "is never due, as nothing in the calendar matches it: correct it, or leave it out")
	}
}

func (w *warnings) parameterName(path *field.Path, name string) {
	if len(validation.IsEnvVarName(name)) > 0 && len(validation.IsRelaxedEnvVarName(name)) == 0 {
		w.add(path, fmt.Sprintf("%q is refused in Pods before Kubernetes 1.34: begin it with a letter, and use letters, digits and _ only", cut(name)))
	}
}

// template warns of what a task and a DagTask have in common.
func (w *warnings) template(path *field.Path, t *v1alpha1.TaskTemplate) {
	if t.Script != "" && len(t.Command)+len(t.Args) > 0 {
		w.add(path.Child("script"), "is what runs; command and args beside it have no effect: leave them out")
	}
	if t.ScriptInjectorImage != "" {
		w.add(path.Child("scriptInjectorImage"), "has no effect, as scripts need no helper image: leave it out")
	}
	if b := t.Backoff; b != nil && b.Limit != nil {
		switch limit := path.Child("backoff", "limit"); {
		case *b.Limit < 0:
			w.add(limit, fmt.Sprintf("%d counts as 0, no retries: write 0", *b.Limit))
		case *b.Limit > manyRetries:
			w.add(limit, fmt.Sprintf("%d retries take days or longer before the task is Failed: write %d or less", *b.Limit, manyRetries))
		}
	}
	if t.Conditional == nil {
		return
	}
	for i, code := range t.Conditional.RetryCodes {
		if code < 0 || code > maxExitCode {
			w.add(path.Child("conditional", "retryCodes").Index(i),
				fmt.Sprintf("%d matches nothing, as exit codes are 0 to %d: leave it out", code, maxExitCode))
		}
	}
}

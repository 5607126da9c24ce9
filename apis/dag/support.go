package dag

import (
	"fmt"

	"kontroler/apis/kontroler/v1alpha1"
)

// Unsupported lists the fields in use that this version accepts and does not act on yet, as paths; those of Blocking
// come last. Many taskRefs are one entry, with a count: the list is bounded.
func Unsupported(spec *v1alpha1.DAGSpec) []string {
	if spec == nil {
		return nil
	}
	var fields []string
	for _, f := range []struct {
		path string
		used bool
	}{
		{"spec.webhook", spec.Webhook != nil && spec.Webhook.URL != ""},
		{"spec.logs", spec.Logs == v1alpha1.LogsFollow},
	} {
		if f.used {
			fields = append(fields, f.path)
		}
	}
	return append(fields, Blocking(spec)...)
}

// Blocking lists those of the unsupported fields without which a run would mean something else than its manifest says:
// taskRef. Runs of such a DAG are refused.
func Blocking(spec *v1alpha1.DAGSpec) []string {
	if spec == nil {
		return nil
	}
	var fields []string
	first, count := 0, 0
	for i := range spec.Task {
		if spec.Task[i].TaskRef == nil {
			continue
		}
		if count == 0 {
			first = i
		}
		count++
	}
	switch {
	case count == 1:
		fields = append(fields, fmt.Sprintf("spec.task[%d].taskRef", first))
	case count > 1:
		fields = append(fields, fmt.Sprintf("spec.task[%d].taskRef and %d more", first, count-1))
	}
	return fields
}

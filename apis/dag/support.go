package dag

import (
	"kontroler/apis/kontroler/v1alpha1"
)

// Unsupported lists the fields in use that this version accepts and does not act on yet, as paths; those of Blocking
// come last.
func Unsupported(spec *v1alpha1.DAGSpec) []string {
	if spec == nil {
		return nil
	}
	var fields []string
	for _, f := range []struct {
		path string
		used bool
	}{} {
		if f.used {
			fields = append(fields, f.path)
		}
	}
	return append(fields, Blocking(spec)...)
}

// Blocking lists those of the unsupported fields without which a run would mean something else than its manifest says. Runs
// of such a DAG are refused. There are none.
func Blocking(*v1alpha1.DAGSpec) []string { return nil }

package trigger

import (
	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

// NameOf returns the name of the DagRun of a request.
func NameOf(r *Request) string { return r.name() }

// HashOf returns what identifies a request.
func HashOf(r *Request) (string, error) { return r.hash() }

// OverridesOf returns the parameters of the DagRun of a request.
func OverridesOf(r *Request, graph *dag.Graph) ([]v1alpha1.ParameterValue, error) {
	return r.overrides(graph)
}

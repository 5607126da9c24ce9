package dag

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

// Load returns the graph of a stored version. It does not validate: a version that was valid when it was stored stays
// valid, even if a later Compile would reject it. Load fails only if no graph with this number of tasks can be made:
// the JSON cannot be decoded, tasks are missing or share a name, or runAfter names unknown tasks or has a cycle.
func Load(encoded []byte, tasks int) (*Graph, error) {
	spec, err := Decode(encoded)
	if err != nil {
		return nil, err
	}
	if len(spec.Task) == 0 || len(spec.Task) != tasks {
		return nil, fmt.Errorf("the DAG has %d tasks instead of %d", len(spec.Task), tasks)
	}
	c := &compiler{
		spec: spec, root: field.NewPath("spec"),
		positions: make(map[string]int32, tasks), parameters: make(map[string]int32, len(spec.Parameters)),
	}
	for i := range spec.Parameters {
		c.parameters[spec.Parameters[i].Name] = int32(i)
	}
	for i := range spec.Task {
		name := spec.Task[i].Name
		if _, taken := c.positions[name]; taken || name == "" {
			return nil, fmt.Errorf("two tasks have the name %q, or one has none", cut(name))
		}
		c.positions[name] = int32(i)
	}
	g := c.link()
	if faults := c.faults.list(); len(faults) > 0 {
		return nil, faults.ToAggregate()
	}
	return g, nil
}

// Blank returns a graph of empty tasks. It replaces an unreadable version while a run is being stopped. No task can be
// started from it.
func Blank(tasks int) *Graph {
	c := &compiler{spec: &v1alpha1.DAGSpec{Task: make([]v1alpha1.Task, tasks)}}
	return c.link()
}

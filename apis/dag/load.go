package dag

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

// Load returns the graph of a version that Encode was given when it was valid. It does not validate: what was valid then
// stays so, whatever a later Compile refuses. It fails only where no graph of so many tasks can be made: the JSON cannot
// be decoded, tasks are missing or share a name, or they wait for unknown ones or for each other.
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

// Blank returns a graph of so many tasks, of which nothing is known: it stands for a version that cannot be read, until its
// run has stopped. No task may be started from it.
func Blank(tasks int) *Graph {
	c := &compiler{spec: &v1alpha1.DAGSpec{Task: make([]v1alpha1.Task, tasks)}}
	return c.link()
}

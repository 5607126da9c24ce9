package dag

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

// Graph is a compiled DAG. It is immutable and safe for concurrent use. The position of a task is its index in
// spec.task.
type Graph struct {
	spec       *v1alpha1.DAGSpec
	positions  map[string]int32
	parameters map[string]int32
	parents    adjacency
	children   adjacency
	order      []int32
}

// adjacency has the neighbours of all positions in one slice. Those of i are list[start[i]:start[i+1]], ascending.
type adjacency struct {
	start []int32
	list  []int32
}

func (a adjacency) of(position int) []int32 {
	from, to := a.start[position], a.start[position+1]
	return a.list[from:to:to]
}

// Compile compiles a spec. If the spec has faults, it returns them and no graph. Paths begin with "spec". After a
// hundred faults only their number is reported. The graph keeps the spec, which must not be changed afterwards.
func Compile(spec *v1alpha1.DAGSpec) (*Graph, field.ErrorList) {
	c := &compiler{spec: spec, root: field.NewPath("spec")}
	if spec == nil {
		c.add(field.Required(c.root, "a DAG needs a spec"))
		return nil, c.faults.list()
	}
	c.checkSpec()
	c.checkParameters()
	c.checkTasks()
	g := c.link()
	if faults := c.faults.list(); len(faults) > 0 {
		return nil, faults
	}
	return g, nil
}

// Len returns the number of tasks.
func (g *Graph) Len() int { return len(g.spec.Task) }

// Task returns the task at a position. Read-only.
func (g *Graph) Task(position int) *v1alpha1.Task { return &g.spec.Task[position] }

// Position returns the position of the task with a name, and whether it exists.
func (g *Graph) Position(name string) (int, bool) {
	position, ok := g.positions[name]
	return int(position), ok
}

// Parents returns the positions of the tasks that must succeed before a task starts, ascending, each once. The slice is
// read-only.
func (g *Graph) Parents(position int) []int32 { return g.parents.of(position) }

// Children returns the positions of the tasks that wait for a task, ascending, each once. The slice is read-only.
func (g *Graph) Children(position int) []int32 { return g.children.of(position) }

// Spec returns the spec that the graph was compiled from. Read-only.
func (g *Graph) Spec() *v1alpha1.DAGSpec { return g.spec }

// Workspace returns the workspace of the runs, or nil if it is not enabled. Read-only.
func (g *Graph) Workspace() *v1alpha1.Workspace { return workspaceOf(g.spec) }

// MaxParallel returns the maximum number of active tasks of a run. 0 means no limit. A workspace with
// ReadWriteOncePod allows one.
func (g *Graph) MaxParallel() int {
	w := g.Workspace()
	switch {
	case w != nil && slices.Contains(w.PVC.AccessModes, corev1.ReadWriteOncePod):
		return 1
	case g.spec.MaxParallel != nil:
		return int(*g.spec.MaxParallel)
	}
	return 0
}

// Order returns all positions in topological order, the same for the same spec. The slice is read-only.
func (g *Graph) Order() []int32 { return g.order }

// link resolves runAfter and sorts the tasks. It reports unknown parents, tasks that run after themselves, and cycles.
func (c *compiler) link() *Graph {
	g := &Graph{spec: c.spec, positions: c.positions, parameters: c.parameters}
	g.parents = c.linkParents()
	g.children = reverse(g.parents)
	var left []bool
	g.order, left = sortTasks(g.parents, g.children)
	if left != nil {
		c.checkCycles(g.parents, g.children, left)
	}
	return g
}

// linkParents resolves the parents of each task. A parent that is named twice counts once.
func (c *compiler) linkParents() adjacency {
	tasks := c.spec.Task
	a := adjacency{start: make([]int32, len(tasks)+1)}
	seenBy := make([]int32, len(tasks)) // the last task, from 1, that named this one as its parent
	for i := range tasks {
		for j, name := range tasks[i].RunAfter {
			parent, known := c.positions[name]
			path := func() *field.Path { return c.task(i).Child("runAfter").Index(j) }
			switch {
			case !known:
				c.add(notFound(path(), name, "no task has this name"))
			case name == tasks[i].Name:
				c.add(invalid(path(), name, "a task cannot run after itself"))
			case seenBy[parent] != int32(i+1):
				seenBy[parent] = int32(i + 1)
				a.list = append(a.list, parent)
			}
		}
		slices.Sort(a.list[a.start[i]:])
		a.start[i+1] = int32(len(a.list))
	}
	return a
}

// reverse computes the children from the parents.
func reverse(parents adjacency) adjacency {
	n := len(parents.start) - 1
	children := adjacency{start: make([]int32, n+1), list: make([]int32, len(parents.list))}
	for _, parent := range parents.list {
		children.start[parent+1]++
	}
	for i := range n {
		children.start[i+1] += children.start[i]
	}
	next := slices.Clone(children.start)
	for i := range n {
		for _, parent := range parents.of(i) {
			children.list[next[parent]] = int32(i)
			next[parent]++
		}
	}
	return children
}

// sortTasks returns the tasks in topological order. If that is impossible, the second result is not nil. It holds
// true for the tasks that are in a cycle or depend on one.
func sortTasks(parents, children adjacency) ([]int32, []bool) {
	n := len(parents.start) - 1
	order := make([]int32, 0, n)
	unmet := make([]int32, n)
	for i := range n {
		unmet[i] = int32(len(parents.of(i)))
		if unmet[i] == 0 {
			order = append(order, int32(i))
		}
	}
	for next := 0; next < len(order); next++ {
		for _, child := range children.of(int(order[next])) {
			if unmet[child]--; unmet[child] == 0 {
				order = append(order, child)
			}
		}
	}
	if len(order) == n {
		return order, nil
	}
	left := make([]bool, n)
	for i := range n {
		left[i] = unmet[i] > 0
	}
	return order, left
}

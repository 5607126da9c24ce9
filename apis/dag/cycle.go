package dag

import (
	"fmt"
	"slices"
	"strings"
)

// A cycle with more than maxCycleNames tasks is reported with its first tasks and its last one.
const (
	maxCycleNames  = 20
	cutCycleBefore = maxCycleNames - 2
)

// checkCycles adds one fault for each group of tasks that wait for each other, in the order of the spec. left holds
// true for the tasks that cannot be sorted.
func (c *compiler) checkCycles(children adjacency, left []bool) {
	f := &finder{
		children:  children,
		left:      left,
		number:    make([]int32, len(left)),
		low:       make([]int32, len(left)),
		next:      make([]int32, len(left)),
		component: make([]int32, len(left)),
	}
	f.find()
	slices.SortFunc(f.found, func(a, b []int32) int { return int(a[0] - b[0]) })
	via := make([]int32, len(left))
	for _, members := range f.found {
		cycle := f.shortest(members[0], via)
		path := c.task(int(cycle[0])).Child("runAfter")
		c.add(invalid(path, nil, "the tasks wait for each other: "+c.nameCycle(cycle)))
	}
}

// nameCycle formats a cycle as "a → b → a". Each task runs before the next.
func (c *compiler) nameCycle(cycle []int32) string {
	var text strings.Builder
	for i, position := range cycle {
		if len(cycle) > maxCycleNames && i >= cutCycleBefore && i < len(cycle)-1 {
			if i == cutCycleBefore {
				fmt.Fprintf(&text, "… (%d more) → ", len(cycle)-1-cutCycleBefore)
			}
			continue
		}
		text.WriteString(cut(c.spec.Task[position].Name))
		text.WriteString(" → ")
	}
	text.WriteString(cut(c.spec.Task[cycle[0]].Name))
	return text.String()
}

// finder finds the strongly connected components with more than one task. It is Tarjan's algorithm with an explicit
// stack instead of recursion. Positions that are not in left, or have not been visited, have number 0.
type finder struct {
	children  adjacency
	left      []bool
	number    []int32 // in the order of the visit, from 1
	low       []int32 // the smallest number known to be reachable
	next      []int32 // the next child to visit
	component []int32 // from 1; 0 means none yet
	visited   int32
	closed    int32
	path      []int32 // the positions being visited, each a child of the one before
	open      []int32 // visited, not yet in a component
	found     [][]int32
}

// find fills found. The positions of each component are ascending.
func (f *finder) find() {
	for i, left := range f.left {
		if left && f.number[i] == 0 {
			f.enter(int32(i))
			for len(f.path) > 0 {
				f.step(f.path[len(f.path)-1])
			}
		}
	}
}

// enter begins the visit of a position.
func (f *finder) enter(position int32) {
	f.visited++
	f.number[position], f.low[position] = f.visited, f.visited
	f.path = append(f.path, position)
	f.open = append(f.open, position)
}

// step visits the next child of the end of the path. After the last child it ends the visit of the position.
func (f *finder) step(position int32) {
	children := f.children.of(int(position))
	for int(f.next[position]) < len(children) {
		child := children[f.next[position]]
		f.next[position]++
		switch {
		case f.number[child] == 0:
			f.enter(child) // descendants of a task in left are in left too
			return
		case f.component[child] == 0:
			f.low[position] = min(f.low[position], f.number[child])
		}
	}
	f.path = f.path[:len(f.path)-1]
	if len(f.path) > 0 {
		parent := f.path[len(f.path)-1]
		f.low[parent] = min(f.low[parent], f.low[position])
	}
	if f.low[position] == f.number[position] {
		f.close(position)
	}
}

// close makes a component of all positions that were opened since position, including itself.
func (f *finder) close(position int32) {
	from := len(f.open) - 1
	for f.open[from] != position {
		from--
	}
	members := slices.Clone(f.open[from:])
	f.open = f.open[:from]
	f.closed++
	for _, member := range members {
		f.component[member] = f.closed
	}
	if len(members) > 1 {
		slices.Sort(members)
		f.found = append(f.found, members)
	}
}

// shortest returns a shortest cycle through start, whose component has more than one task. The cycle begins with
// start. Each task is the parent of the next, and the last one is the parent of start. via is scratch memory;
// components do not overlap, so it is never cleared.
func (f *finder) shortest(start int32, via []int32) []int32 {
	queue := []int32{start}
	for at := 0; at < len(queue); at++ {
		position := queue[at]
		for _, child := range f.children.of(int(position)) {
			if child == start {
				cycle := []int32{position}
				for position != start {
					position = via[position] - 1
					cycle = append(cycle, position)
				}
				slices.Reverse(cycle)
				return cycle
			}
			if f.component[child] == f.component[start] && via[child] == 0 {
				via[child] = position + 1
				queue = append(queue, child)
			}
		}
	}
	return queue[:1] // unreachable: every member of a component is on a cycle
}

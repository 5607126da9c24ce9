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
func (c *compiler) checkCycles(parents, children adjacency, left []bool) {
	component, groups := components(parents, children, left)
	via := make([]int32, len(left))
	for _, members := range groups {
		cycle := shortest(children, component, members[0], via)
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

// components divides the tasks in left into strongly connected components, numbered from 1. groups are those of more
// than one task, in the order of their first tasks, each ascending. It is Kosaraju's algorithm without recursion:
// tasks that can be reached from one another in both directions are in one component.
func components(parents, children adjacency, left []bool) (component []int32, groups [][]int32) {
	component = make([]int32, len(left))
	number := int32(0)
	for _, root := range slices.Backward(endings(children, left)) {
		if component[root] != 0 {
			continue
		}
		number++
		component[root] = number
		members := []int32{root}
		for at := 0; at < len(members); at++ {
			for _, parent := range parents.of(int(members[at])) {
				if left[parent] && component[parent] == 0 {
					component[parent] = number
					members = append(members, parent)
				}
			}
		}
		if len(members) > 1 {
			slices.Sort(members)
			groups = append(groups, members)
		}
	}
	slices.SortFunc(groups, func(a, b []int32) int { return int(a[0] - b[0]) })
	return component, groups
}

// endings returns the tasks in left in the order in which a depth-first visit along children leaves them.
func endings(children adjacency, left []bool) (ended []int32) {
	visited, next := make([]bool, len(left)), slices.Clone(children.start)
	for root := range left {
		if !left[root] || visited[root] {
			continue
		}
		visited[root] = true
		for path := []int32{int32(root)}; len(path) > 0; {
			position := path[len(path)-1]
			if next[position] == children.start[position+1] {
				ended, path = append(ended, position), path[:len(path)-1]
				continue
			}
			child := children.list[next[position]] // it is in left, like each descendant of a task in left
			next[position]++
			if !visited[child] {
				visited[child] = true
				path = append(path, child)
			}
		}
	}
	return ended
}

// shortest returns a shortest cycle through start, whose component has more than one task. The cycle begins with
// start. Each task is the parent of the next, and the last one is the parent of start. via is scratch memory;
// components do not overlap, so it is never cleared.
func shortest(children adjacency, component []int32, start int32, via []int32) []int32 {
	queue := []int32{start}
	for at := 0; at < len(queue); at++ {
		position := queue[at]
		for _, child := range children.of(int(position)) {
			if child == start {
				cycle := []int32{position}
				for position != start {
					position = via[position] - 1
					cycle = append(cycle, position)
				}
				slices.Reverse(cycle)
				return cycle
			}
			if component[child] == component[start] && via[child] == 0 {
				via[child] = position + 1
				queue = append(queue, child)
			}
		}
	}
	return queue[:1] // unreachable: every member of a component is on a cycle
}

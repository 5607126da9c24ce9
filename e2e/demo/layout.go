package main

import (
	"cmp"
	"slices"

	"kontroler/apis/kontroler/v1alpha1"
)

// graph is a DAG to draw. Its tasks are in the order of the DAG, each in the layer below its lowest parent.
type graph struct {
	nodes  []vertex
	index  map[string]int
	layers [][]int
}

type vertex struct {
	name     string
	parents  []int
	children []int
	layer    int
}

// newGraph layers the tasks of a DAG without cycles. It ignores unknown parents.
func newGraph(tasks []v1alpha1.Task) *graph {
	g := &graph{nodes: make([]vertex, len(tasks)), index: make(map[string]int, len(tasks))}
	for i := range tasks {
		g.nodes[i].name = tasks[i].Name
		g.index[tasks[i].Name] = i
	}
	unmet := make([]int, len(tasks))
	for i := range tasks {
		for _, name := range tasks[i].RunAfter {
			parent, ok := g.index[name]
			if !ok || slices.Contains(g.nodes[i].parents, parent) {
				continue
			}
			g.nodes[i].parents = append(g.nodes[i].parents, parent)
			g.nodes[parent].children = append(g.nodes[parent].children, i)
			unmet[i]++
		}
	}
	var ready []int
	for i := range unmet {
		if unmet[i] == 0 {
			ready = append(ready, i)
		}
	}
	for ; len(ready) > 0; ready = ready[1:] {
		node := &g.nodes[ready[0]]
		for _, child := range node.children {
			g.nodes[child].layer = max(g.nodes[child].layer, node.layer+1)
			if unmet[child]--; unmet[child] == 0 {
				ready = append(ready, child)
			}
		}
	}
	for i := range g.nodes {
		for len(g.layers) <= g.nodes[i].layer {
			g.layers = append(g.layers, nil)
		}
		g.layers[g.nodes[i].layer] = append(g.layers[g.nodes[i].layer], i)
	}
	return g
}

// box is a task in the drawing, or a line of a task that passes a layer.
type box struct {
	task  int
	line  bool
	width int
	left  int
	// up and down are the boxes that it is connected to in the layers above and below.
	up, down []int
}

func (b *box) centre() int { return b.left + (b.width-1)/2 }

// between is the distance between two boxes of a layer.
const between = 2

// arrange places the tasks, which have these widths, and the lines that pass a layer. It returns the layers and the
// total width.
func (g *graph) arrange(widths []int) (rows [][]box, width int) {
	rows = g.boxes(widths)
	for l := range rows {
		pack(rows[l])
	}
	for range 4 {
		for l := 1; l < len(rows); l++ {
			straighten(rows[l], func(b *box) []int { return b.up }, rows[l-1])
		}
		for l := len(rows) - 2; l >= 0; l-- {
			straighten(rows[l], func(b *box) []int { return b.down }, rows[l+1])
		}
	}
	least := 0
	for _, row := range rows {
		least = min(least, row[0].left)
	}
	for _, row := range rows {
		for i := range row {
			row[i].left -= least
		}
		last := row[len(row)-1]
		width = max(width, last.left+last.width)
	}
	return rows, width
}

// boxes makes the layers' boxes, connected and in an order that keeps children below their parents.
func (g *graph) boxes(widths []int) [][]box {
	rows := make([][]box, len(g.layers))
	place := map[[2]int]int{} // position in a layer, by task and layer
	for l, layer := range g.layers {
		for _, task := range layer {
			rows[l] = append(rows[l], box{task: task, width: widths[task]})
		}
		for task := range g.nodes {
			if g.nodes[task].layer < l && g.lowest(task) > l {
				rows[l] = append(rows[l], box{task: task, line: true, width: 1})
			}
		}
		if l > 0 {
			g.sortBelow(rows[l], l, place)
		}
		for i := range rows[l] {
			place[[2]int{rows[l][i].task, l}] = i
		}
		for i := range rows[l] {
			for _, above := range g.sources(&rows[l][i], l) {
				from := place[[2]int{above, l - 1}]
				rows[l][i].up = append(rows[l][i].up, from)
				rows[l-1][from].down = append(rows[l-1][from].down, i)
			}
		}
	}
	return rows
}

// lowest returns the layer of the lowest child of a task.
func (g *graph) lowest(task int) int {
	lowest := 0
	for _, child := range g.nodes[task].children {
		lowest = max(lowest, g.nodes[child].layer)
	}
	return lowest
}

// sources returns the tasks to which a box is connected in the layer above.
func (g *graph) sources(b *box, layer int) []int {
	switch {
	case b.line:
		return []int{b.task}
	case layer == 0:
		return nil
	}
	return g.nodes[b.task].parents
}

// sortBelow sorts a layer by the mean position of the sources of each box.
func (g *graph) sortBelow(row []box, layer int, place map[[2]int]int) {
	middle := func(b box) float64 {
		sum, sources := 0, g.sources(&b, layer)
		for _, source := range sources {
			sum += place[[2]int{source, layer - 1}]
		}
		return float64(sum) / float64(max(1, len(sources)))
	}
	slices.SortStableFunc(row, func(a, b box) int { return cmp.Compare(middle(a), middle(b)) })
}

func pack(row []box) {
	left := 0
	for i := range row {
		row[i].left = left
		left += row[i].width + between
	}
}

// straighten moves each box of a layer towards the mean position of the boxes to which it is connected in another
// layer. The order stays. Boxes that compete for a position share the difference.
func straighten(row []box, connected func(*box) []int, other []box) {
	type block struct {
		sum   float64
		count int
	}
	var blocks []block
	offset := 0
	for i := range row {
		want := float64(row[i].centre())
		if to := connected(&row[i]); len(to) > 0 {
			want = 0
			for _, at := range to {
				want += float64(other[at].centre()) / float64(len(to))
			}
		}
		want -= float64((row[i].width-1)/2 + offset)
		offset += row[i].width + between
		blocks = append(blocks, block{want, 1})
		for n := len(blocks); n > 1 &&
			blocks[n-2].sum/float64(blocks[n-2].count) > blocks[n-1].sum/float64(blocks[n-1].count); n-- {
			blocks[n-2].sum += blocks[n-1].sum
			blocks[n-2].count += blocks[n-1].count
			blocks = blocks[:n-1]
		}
	}
	i, offset := 0, 0
	for _, b := range blocks {
		at := int(b.sum/float64(b.count) + 1000.5) // rounds in the same direction on both sides of 0
		for range b.count {
			row[i].left = at - 1000 + offset
			offset += row[i].width + between
			i++
		}
	}
}

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// picture draws a DAG from top to bottom, each task with its mark and its note. If it is wider than width, it is a
// list.
func picture(g *graph, notes []note, width int) []line {
	const margin = 2
	widths := make([]int, len(notes))
	for i, n := range notes {
		widths[i] = max(count(n.mark.glyph)+1+count(g.nodes[i].name), count(n.text))
	}
	rows, wide := g.arrange(widths)
	if wide+margin > width {
		return list(g, notes, width)
	}
	var lines []line
	for l, row := range rows {
		names, texts := newCanvas(wide+margin), newCanvas(wide+margin)
		for _, b := range row {
			if b.line {
				names.put(b.centre()+margin, "│", styleDim)
				texts.put(b.centre()+margin, "│", styleDim)
				continue
			}
			n, name := notes[b.task], g.nodes[b.task].name
			start := b.left + margin + (b.width-count(n.mark.glyph)-1-count(name))/2
			names.put(start, n.mark.glyph, n.mark.style)
			names.put(start+count(n.mark.glyph)+1, name, stylePlain)
			texts.put(b.left+margin+(b.width-count(n.text))/2, n.text, styleDim)
		}
		lines = append(lines, names.line(), texts.line())
		if l+1 < len(rows) {
			for _, canvas := range wires(row, rows[l+1], wide+margin, margin) {
				lines = append(lines, canvas.line())
			}
		}
	}
	return lines
}

// note is the mark and the text of a task in a picture.
type note struct {
	mark mark
	text string
}

// list returns a DAG as a list of its tasks.
func list(g *graph, notes []note, width int) []line {
	var lines []line
	for l, layer := range g.layers {
		for i, task := range layer {
			number := ""
			if i == 0 {
				number = fmt.Sprint(l + 1)
			}
			n := notes[task]
			one := line{
				{styleDim, fmt.Sprintf(" %3s ", number)}, {n.mark.style, n.mark.glyph},
				{stylePlain, " " + g.nodes[task].name}, {styleDim, "  " + n.text},
			}
			if parents := g.names(g.nodes[task].parents); len(parents) > 0 {
				one = append(one, span{styleDim, "  ← " + strings.Join(parents, ", ")})
			}
			lines = append(lines, one.cut(width))
		}
	}
	return lines
}

func (g *graph) names(tasks []int) []string {
	names := make([]string, len(tasks))
	for i, task := range tasks {
		names[i] = g.nodes[task].name
	}
	return names
}

// bundle is a set of edges between two layers that connect each parent with each child. One horizontal line shows them
// all.
type bundle struct {
	parents, children []int // columns
	level             int
	straight          bool
}

func (b *bundle) ends() (left, right int) {
	all := slices.Concat(b.parents, b.children)
	return slices.Min(all), slices.Max(all)
}

// wires draws the edges between two layers.
func wires(above, below []box, width, margin int) []canvas {
	bundles := bundled(above, below)
	levels := level(bundles)
	grid := newGrid(width, levels)
	for id, b := range bundles {
		if b.straight {
			for row := range levels {
				grid.join(row, b.parents[0]+margin, id, up|down)
			}
			continue
		}
		left, right := b.ends()
		for column := left; column <= right; column++ {
			var bits direction
			if column > left {
				bits |= toLeft
			}
			if column < right {
				bits |= toRight
			}
			grid.join(b.level, column+margin, id, bits)
		}
		for _, column := range b.parents {
			for row := range b.level {
				grid.join(row, column+margin, id, up|down)
			}
			grid.join(b.level, column+margin, id, up)
		}
		for _, column := range b.children {
			grid.join(b.level, column+margin, id, down)
			for row := b.level + 1; row < levels; row++ {
				grid.join(row, column+margin, id, up|down)
			}
		}
	}
	return grid.canvases()
}

// bundled returns the bundles between two layers, with their columns.
func bundled(above, below []box) []*bundle {
	var bundles []*bundle
	byChildren := map[string]*bundle{}
	into := make([][]*bundle, len(below))
	for _, b := range above {
		if len(b.down) == 0 {
			continue
		}
		children := slices.Sorted(slices.Values(b.down))
		key := fmt.Sprint(children)
		if byChildren[key] == nil {
			byChildren[key] = &bundle{}
			bundles = append(bundles, byChildren[key])
			for _, child := range children {
				into[child] = append(into[child], byChildren[key])
			}
		}
		byChildren[key].parents = append(byChildren[key].parents, b.centre())
	}
	for i, ports := range into {
		arrive(bundles, ports, &below[i])
	}
	for _, b := range bundles {
		b.straight = len(b.parents) == 1 && len(b.children) == 1 && b.parents[0] == b.children[0]
	}
	return bundles
}

// arrive gives each bundle that ends at a box its own column there, apart from the lines of other bundles.
func arrive(bundles, ports []*bundle, at *box) {
	middle := func(b *bundle) float64 {
		sum := 0
		for _, column := range b.parents {
			sum += column
		}
		return float64(sum) / float64(len(b.parents))
	}
	ports = slices.Clone(ports)
	slices.SortStableFunc(ports, func(a, b *bundle) int { return cmp.Compare(middle(a), middle(b)) })
	for i, b := range ports {
		want := at.centre() + 2*i - (len(ports) - 1)
		taken := func(column int) bool {
			return column < at.left || column >= at.left+at.width ||
				slices.ContainsFunc(bundles, func(other *bundle) bool {
					return other != b &&
						(slices.Contains(other.parents, column) || slices.Contains(other.children, column))
				})
		}
		column := want
		for away := 0; taken(column) && away < at.width; away++ {
			if column = want + away; taken(column) {
				column = want - away
			}
		}
		if taken(column) {
			column = at.centre()
		}
		b.children = append(b.children, column)
	}
}

// level gives each bundle a row, so that no two horizontal lines touch, and returns the number of rows.
func level(bundles []*bundle) int {
	levels := 1
	for i, b := range bundles {
		if b.straight {
			continue
		}
		left, right := b.ends()
		for slices.ContainsFunc(bundles[:i], func(other *bundle) bool {
			otherLeft, otherRight := other.ends()
			return !other.straight && other.level == b.level && left <= otherRight+1 && otherLeft <= right+1
		}) {
			b.level++
		}
		levels = max(levels, b.level+1)
	}
	return levels
}

// direction is the set of sides of a cell to which its line leads.
type direction uint8

const (
	up direction = 1 << iota
	down
	toLeft
	toRight
)

var wireGlyphs = map[direction]string{
	up: "│", down: "│", up | down: "│", toLeft: "─", toRight: "─", toLeft | toRight: "─",
	up | toLeft: "┘", up | toRight: "└", down | toLeft: "┐", down | toRight: "┌",
	up | toLeft | toRight: "┴", down | toLeft | toRight: "┬", up | down | toLeft: "┤", up | down | toRight: "├",
	up | down | toLeft | toRight: "┼",
}

// grid joins lines. Where lines of two bundles cross, the vertical one is drawn, so that they do not look joined.
type grid [][]wire

type wire struct {
	bits direction
	id   int
}

func newGrid(width, height int) grid {
	g := make(grid, height)
	for row := range g {
		g[row] = make([]wire, width)
	}
	return g
}

func (g grid) join(row, column, id int, bits direction) {
	cell := &g[row][column]
	switch {
	case cell.bits == 0 || cell.id == id:
		cell.bits, cell.id = cell.bits|bits, id
	case bits&(up|down) != 0:
		cell.bits, cell.id = bits, id
	}
}

func (g grid) canvases() []canvas {
	rows := make([]canvas, len(g))
	for i, row := range g {
		rows[i] = newCanvas(len(row))
		for column, cell := range row {
			if cell.bits != 0 {
				rows[i].put(column, wireGlyphs[cell.bits], styleDim)
			}
		}
	}
	return rows
}

// canvas is a row of cells.
type canvas []cell

type cell struct {
	glyph rune
	style style
}

func newCanvas(width int) canvas {
	c := make(canvas, width)
	for i := range c {
		c[i] = cell{glyph: ' '}
	}
	return c
}

func (c canvas) put(column int, text string, s style) {
	for _, glyph := range text {
		if column >= 0 && column < len(c) {
			c[column] = cell{glyph, s}
		}
		column++
	}
}

// line returns the row without trailing blanks.
func (c canvas) line() line {
	end := len(c)
	for end > 0 && c[end-1].glyph == ' ' {
		end--
	}
	var l line
	for _, cell := range c[:end] {
		if n := len(l); n > 0 && l[n-1].Style == cell.style {
			l[n-1].Text += string(cell.glyph)
			continue
		}
		l = append(l, span{cell.style, string(cell.glyph)})
	}
	return l
}

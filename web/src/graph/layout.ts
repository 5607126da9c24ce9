import dagre, { type Graph } from "@dagrejs/dagre";
import { place } from "./layered";

/** Input is a DAG: the names of its tasks, and for each the positions of its parents. */
export interface Input {
  names: string[];
  parents: number[][];
}

/** Box is a node: a task, or several tasks with the same parents and the same children. */
export interface Box {
  id: string;
  members: number[];
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Edge joins two boxes, by their positions. It is between top and bottom. */
export interface Edge {
  from: number;
  to: number;
  d: string;
  top: number;
  bottom: number;
}

export interface Layout {
  boxes: Box[];
  edges: Edge[];
  width: number;
  height: number;
}

export const boxHeight = 44;
const gap = 32;
const between = 12;
const corner = 8;
const narrowest = 156;
const widest = 304;
const characterWidth = 7.8;
const beforeName = 44;
/** So many siblings are drawn one by one. More become one node. */
const mostSiblings = 12;
/** Beyond so many nodes dagre takes too long. */
const manyNodes = 80;

/** label shortens a name in the middle, because the ends tell names apart. */
export function label(name: string): string {
  const most = Math.floor((widest - beforeName) / characterWidth);
  if (name.length <= most) return name;
  const head = Math.ceil((most - 1) / 2);
  return `${name.slice(0, head)}…${name.slice(name.length - (most - 1 - head))}`;
}

/** groupSiblings puts tasks with equal parents and equal children together, unless they are few or were opened. */
export function groupSiblings(input: Input, opened: ReadonlySet<string>): { id: string; members: number[] }[] {
  const children: number[][] = input.names.map(() => []);
  input.parents.forEach((parents, task) => parents.forEach((parent) => children[parent]?.push(task)));
  const byKin = new Map<string, number[]>();
  input.names.forEach((_, task) => {
    const kin = JSON.stringify([[...(input.parents[task] ?? [])].sort((a, b) => a - b), children[task]]);
    const members = byKin.get(kin);
    if (members) members.push(task);
    else byKin.set(kin, [task]);
  });
  const groups: { id: string; members: number[] }[] = [];
  for (const members of byKin.values()) {
    const id = `group ${members[0]}`;
    if (members.length > mostSiblings && !opened.has(id)) groups.push({ id, members });
    else groups.push(...members.map((member) => ({ id: `task ${member}`, members: [member] })));
  }
  return groups.sort((a, b) => (a.members[0] ?? 0) - (b.members[0] ?? 0));
}

/**
 * layOut places the nodes from left to right. Edges have right angles. They turn only between columns, so that none goes
 * through a node. The result depends on names and parents alone, and so stays while a run progresses.
 */
export function layOut(input: Input, opened: ReadonlySet<string> = new Set()): Layout {
  const groups = groupSiblings(input, opened);
  const boxOf = new Map<number, number>();
  groups.forEach((group, index) => group.members.forEach((member) => boxOf.set(member, index)));
  if (groups.length > manyNodes) return layOutMany(input, groups, boxOf);
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: between, edgesep: between, ranksep: gap });
  graph.setDefaultEdgeLabel(() => ({}));
  groups.forEach((group, index) => graph.setNode(String(index), { width: widthOf(input, group.members), height: boxHeight }));
  const ranks = ranksOf(input.parents);
  const joined = new Set<string>();
  input.parents.forEach((parents, task) => parents.forEach((parent) => {
    const from = boxOf.get(parent), into = boxOf.get(task);
    const key = `${from} ${into}`;
    if (from === undefined || into === undefined || from === into || joined.has(key)) return;
    joined.add(key);
    // A task stands as far left as it may, because it starts as soon as it may.
    graph.setEdge(String(from), String(into), { minlen: Math.max(1, (ranks[task] ?? 1) - (ranks[parent] ?? 0)) });
  }));
  dagre.layout(graph);
  return draw(graph, groups);
}

/** layOutMany does the same for graphs of many nodes. */
function layOutMany(input: Input, groups: { id: string; members: number[] }[], boxOf: Map<number, number>): Layout {
  const ofTasks = ranksOf(input.parents);
  const ranks = groups.map((group) => ofTasks[group.members[0] ?? 0] ?? 0);
  const pairs = new Map<string, [number, number]>();
  input.parents.forEach((parents, task) => parents.forEach((parent) => {
    const from = boxOf.get(parent), into = boxOf.get(task);
    if (from !== undefined && into !== undefined && from !== into) pairs.set(`${from} ${into}`, [from, into]);
  }));
  const edges = [...pairs.values()];
  const { y, crossings, height } = place(ranks, edges, boxHeight, between);
  const columns: Column[] = [];
  const widths = groups.map((group) => widthOf(input, group.members));
  for (let rank = 0, left = 0; rank <= Math.max(0, ...ranks); rank++) {
    const width = Math.max(narrowest, ...widths.filter((_, node) => ranks[node] === rank));
    columns.push({ center: left + width / 2, left, right: left + width });
    left += width + gap;
  }
  const boxes = groups.map((group, node): Box => {
    const column = columns[ranks[node] ?? 0] as Column;
    return { ...group, x: column.left, y: (y[node] ?? 0) - boxHeight / 2, width: column.right - column.left, height: boxHeight };
  });
  return {
    boxes, width: columns[columns.length - 1]?.right ?? 0, height,
    edges: edges.map(([from, to], index) => ({ from, to, ...route(columns, ranks[from] ?? 0, y[from] ?? 0,
      new Map([...(crossings[index] ?? []), [ranks[to] ?? 0, y[to] ?? 0]])) })),
  };
}

/** ranksOf returns for each task the length of the longest way to it. */
export function ranksOf(parents: number[][]): number[] {
  const ranks: number[] = [];
  const open = parents.map((_, task) => task).reverse();
  const isOpen = new Set<number>();
  for (let task = open.pop(); task !== undefined; task = open.pop()) {
    if (ranks[task] !== undefined) continue;
    const unknown = (parents[task] ?? []).filter((parent) => ranks[parent] === undefined && !isOpen.has(parent));
    if (unknown.length && !isOpen.has(task)) {
      isOpen.add(task);
      open.push(task, ...unknown);
      continue;
    }
    ranks[task] = Math.max(-1, ...(parents[task] ?? []).map((parent) => ranks[parent] ?? -1)) + 1;
  }
  return ranks;
}

/** isUpsideDown reports whether most tasks of a column stand in reverse of their order in the definition. */
function isUpsideDown(graph: Graph): boolean {
  const columns = new Map<number, { order: number; y: number }[]>();
  for (const id of graph.nodes()) {
    const { x, y } = graph.node(id);
    columns.set(Math.round(x), [...(columns.get(Math.round(x)) ?? []), { order: Number(id), y }]);
  }
  let balance = 0;
  for (const column of columns.values()) {
    column.sort((a, b) => a.y - b.y).forEach((node, index) => {
      const next = column[index + 1];
      if (next) balance += next.order > node.order ? 1 : -1;
    });
  }
  return balance < 0;
}

function widthOf(input: Input, members: number[]): number {
  const longest = members.length > 1 ? 16 : label(input.names[members[0] ?? 0] ?? "").length;
  return Math.min(widest, Math.max(narrowest, Math.ceil((longest * characterWidth + beforeName) / 4) * 4));
}

/** Column is a rank: where it begins and ends. */
interface Column {
  center: number;
  left: number;
  right: number;
}

function columnsOf(graph: Graph): Column[] {
  const widths = new Map<number, number>();
  for (const id of graph.nodes()) {
    const { x, width } = graph.node(id);
    const center = Math.round(x);
    widths.set(center, Math.max(widths.get(center) ?? 0, width));
  }
  return [...widths].map(([center, width]) => ({ center, left: center - width / 2, right: center + width / 2 }))
    .sort((a, b) => a.center - b.center);
}

function draw(graph: Graph, groups: { id: string; members: number[] }[]): Layout {
  const columns = columnsOf(graph);
  const sign = isUpsideDown(graph) ? -1 : 1;
  const all = [...graph.nodes().map((id) => graph.node(id).y), ...graph.edges().flatMap((edge) => graph.edge(edge).points.map((point: { y: number }) => point.y))];
  const shift = sign < 0 ? Math.max(...all) + Math.min(...all) : 0;
  const turned = (y: number) => Math.round(shift + sign * y);
  const at = (x: number) => columns.findIndex((column) => Math.abs(column.center - x) < 1.5);
  const boxes = groups.map((group, index): Box => {
    const { x, y } = graph.node(String(index));
    const column = columns[at(x)] as Column;
    return { ...group, x: column.left, y: turned(y) - boxHeight / 2, width: column.right - column.left, height: boxHeight };
  });
  const edges = graph.edges().map(({ v, w }): Edge => {
    const from = boxes[Number(v)] as Box, into = boxes[Number(w)] as Box;
    const start = at(graph.node(v).x), end = at(graph.node(w).x);
    const heights = new Map<number, number>([[end, into.y + boxHeight / 2]]);
    for (const point of graph.edge({ v, w }).points) {
      const column = at(point.x);
      if (column > start && column < end) heights.set(column, turned(point.y));
    }
    return { from: Number(v), to: Number(w), ...route(columns, start, from.y + boxHeight / 2, heights) };
  });
  return {
    boxes, edges, width: Math.max(0, ...boxes.map((box) => box.x + box.width)),
    height: Math.max(boxHeight, ...boxes.map((box) => box.y + box.height), ...all.map(turned)),
  };
}

/** route draws a line from a column to the last one of heights. It crosses each column between at its height. */
function route(columns: Column[], start: number, fromY: number, heights: Map<number, number>): Pick<Edge, "d" | "top" | "bottom"> {
  let y = fromY;
  let d = `M${columns[start]?.right} ${y}`;
  for (const [column, next] of [...heights].sort(([a], [b]) => a - b)) {
    const turn = (columns[column]?.left ?? 0) - gap / 2;
    const step = next - y;
    const r = Math.min(corner, Math.abs(step) / 2) * Math.sign(step);
    const x = Math.abs(r);
    if (step !== 0) d += `H${turn - x}q${x} 0 ${x} ${r}V${next - r}q0 ${r} ${x} ${r}`;
    d += `H${columns[column]?.left}`;
    y = next;
  }
  return { d, top: Math.min(fromY, ...heights.values()), bottom: Math.max(fromY, ...heights.values()) };
}

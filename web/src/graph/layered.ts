/** Placed is where a quick layout puts nodes, and at which heights edges cross the columns between their ends. */
export interface Placed {
  /** The height of the middle of each node. */
  y: number[];
  /** For each edge, the height in each column between its ends. */
  crossings: Map<number, number>[];
  height: number;
}

/** A slot of a column: a node, or a line of a node that passes. */
interface Slot {
  rank: number;
  node: number;
  isNode: boolean;
  at: number;
  before: Slot[];
  after: Slot[];
}

const sweeps = 6;

/**
 * place orders nodes in their columns, so that few edges cross, in time that grows with the number of edges. All edges of
 * a node that pass a column share one line there. It is for graphs for which dagre takes seconds.
 */
export function place(ranks: number[], edges: [from: number, to: number][], boxHeight: number, between: number): Placed {
  const columns: Slot[][] = Array.from({ length: Math.max(0, ...ranks) + 1 }, () => []);
  const add = (rank: number, node: number, isNode: boolean): Slot => {
    const column = columns[rank] as Slot[];
    const slot = { rank, node, isNode, at: column.length, before: [], after: [] };
    column.push(slot);
    return slot;
  };
  const nodes = ranks.map((rank, node) => add(rank, node, true));
  const lines = new Map<string, Slot>();
  const ways = edges.map(([from, to]) => {
    let last = nodes[from] as Slot;
    const way: Slot[] = [];
    for (let rank = (ranks[from] ?? 0) + 1; rank < (ranks[to] ?? 0); rank++) {
      const key = `${from} ${rank}`;
      const line = lines.get(key) ?? add(rank, from, false);
      if (!lines.has(key)) {
        lines.set(key, line);
        join(last, line);
      }
      way.push((last = line));
    }
    join(last, nodes[to] as Slot);
    return way;
  });
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const isForward = sweep % 2 === 0;
    for (const column of isForward ? columns : [...columns].reverse()) {
      const weights = new Map(column.map((slot) => [slot, mean(isForward ? slot.before : slot.after) ?? slot.at]));
      column.sort((a, b) => (weights.get(a) ?? 0) - (weights.get(b) ?? 0) || a.at - b.at);
      column.forEach((slot, index) => (slot.at = index));
    }
  }
  const size = (slot: Slot) => (slot.isNode ? boxHeight : 0) + between;
  const height = Math.max(0, ...columns.map((column) => column.reduce((sum, slot) => sum + size(slot), 0)));
  const y = new Map<Slot, number>();
  for (const column of columns) {
    let top = Math.round((height - column.reduce((sum, slot) => sum + size(slot), 0)) / 2);
    for (const slot of column) {
      y.set(slot, Math.round(top + size(slot) / 2));
      top += size(slot);
    }
  }
  return {
    y: nodes.map((slot) => y.get(slot) ?? 0),
    crossings: ways.map((way) => new Map(way.map((slot) => [slot.rank, y.get(slot) ?? 0]))),
    height,
  };
}

function join(from: Slot, to: Slot): void {
  from.after.push(to);
  to.before.push(from);
}

function mean(slots: Slot[]): number | undefined {
  return slots.length ? slots.reduce((sum, slot) => sum + slot.at, 0) / slots.length : undefined;
}

import { describe, expect, it } from "vitest";
import { boxHeight, groupSiblings, label, layOut, ranksOf, type Layout } from "../src/graph/layout";

const pipeline = {
  names: ["extract", "rates", "de", "fr", "it", "join", "publish"],
  parents: [[], [], [0], [0], [0], [2, 3, 4], [1, 5]],
};

/** random makes a DAG of a number of tasks, the same for the same seed. */
function random(count: number, seed: number) {
  let state = seed;
  const next = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
  const parents = Array.from({ length: count }, (_, task) =>
    task === 0 ? [] : [...new Set(Array.from({ length: Math.floor(next() * 3) }, () => Math.floor(next() * task)))]);
  return { names: parents.map((_, task) => `task-${task}`), parents };
}

/** crossings returns the boxes that an edge goes through, other than its ends. */
function crossings(layout: Layout): string[] {
  const found: string[] = [];
  for (const edge of layout.edges) {
    // The horizontal parts: between two turns the height does not change.
    let x = 0, y = 0;
    for (const [, command, rest] of edge.d.matchAll(/([MHVq])([^MHVq]*)/g)) {
      const values = (rest ?? "").trim().split(/[ ,]+/).map(Number);
      if (command === "M") [x, y] = values as [number, number];
      else if (command === "V") y = values[0] as number;
      else if (command === "q") [x, y] = [x + (values[2] as number), y + (values[3] as number)];
      else {
        const to = values[0] as number;
        layout.boxes.forEach((box, index) => {
          if (index === edge.from || index === edge.to) return;
          const isWithin = y > box.y + 1 && y < box.y + boxHeight - 1;
          if (isWithin && Math.max(x, box.x) < Math.min(to, box.x + box.width) - 1) found.push(`${edge.from}>${edge.to} through ${index}`);
        });
        x = to;
      }
    }
  }
  return found;
}

describe("the layout of a graph", () => {
  it("puts each task right of all that it needs", () => {
    const { boxes, edges } = layOut(pipeline);
    for (const edge of edges) expect(boxes[edge.from]!.x + boxes[edge.from]!.width).toBeLessThan(boxes[edge.to]!.x);
  });

  it("puts a task without parents into the first column, however late it is needed", () => {
    const { boxes } = layOut(pipeline);
    expect(boxes[1]!.x).toBe(boxes[0]!.x);
  });

  it("keeps the order of the definition within a column", () => {
    const { boxes } = layOut(pipeline);
    expect(boxes[2]!.y).toBeLessThan(boxes[3]!.y);
    expect(boxes[3]!.y).toBeLessThan(boxes[4]!.y);
  });

  it.each([[60, 7], [60, 21], [300, 7], [300, 99]])("leads no edge through a node, and lets no nodes overlap (%i tasks, seed %i)", (count, seed) => {
    const layout = layOut(random(count, seed));
    expect(crossings(layout)).toEqual([]);
    for (const a of layout.boxes) {
      for (const b of layout.boxes) {
        if (a === b) continue;
        const overlaps = a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
        expect(overlaps).toBe(false);
      }
    }
  });

  it("is the same for the same tasks", () => expect(layOut(random(40, 3))).toEqual(layOut(random(40, 3))));

  it("draws a thousand siblings as one node, and each of them once it is opened", () => {
    const names = ["begin", ...Array.from({ length: 1000 }, (_, index) => `part-${index}`), "end"];
    const parents = names.map((_, index) => (index === 0 ? [] : index <= 1000 ? [0] : Array.from({ length: 1000 }, (_, part) => part + 1)));
    expect(groupSiblings({ names, parents }, new Set()).map((group) => group.members.length)).toEqual([1, 1000, 1]);
    expect(groupSiblings({ names, parents }, new Set(["group 1"]))).toHaveLength(1002);
  });

  it("ranks a chain of ten thousand tasks", () => {
    const parents = Array.from({ length: 10_000 }, (_, task) => (task ? [task - 1] : []));
    expect(ranksOf(parents)[9_999]).toBe(9_999);
  });

  it("shortens long names in the middle", () => {
    const name = label("warehouse-stock-reconciliation-with-carrier-feeds-eu-central-01");
    expect(name).toMatch(/^warehouse-.*….*central-01$/);
  });
});

import { createEffect, createMemo, createSignal, createUniqueId, For, on, onCleanup, onMount, Show, type JSX } from "solid-js";
import { Icon } from "../parts/icons";
import { looks, type Look } from "../phases";
import { number, text } from "../text";
import { boxHeight, label, layOut, type Box } from "./layout";

/** GraphTask is what a node says of its task. Without a look it is a task of a definition. */
export interface GraphTask {
  look?: Look;
  sub: string;
  /** Marks of the attempts before this one. */
  before?: Look[];
  /** Why it is not running, shown on hover. */
  why?: { reason: string; message: string };
}

const smallest = 0.25, largest = 1.5;
const steps = [smallest, 0.4, 0.6, 0.8, 1, 1.25, largest];
/** The padding of the canvas, and how far the mouse moves before it drags, in pixels. */
const padding = 20, dragsAfter = 4;
/** Below this scale nodes have no words, because nobody could read them. */
const readable = 0.45;
/** So many tasks are in the table. */
const mostRows = 200;
/** What is so near to what is seen is in the document too, in pixels. */
const margin = 500;
const tipWidth = 340;

/**
 * Graph draws tasks and what they need. It is panned by scrolling and by dragging, and zoomed by buttons and by the wheel
 * with Ctrl. hasTable says that a table of the same is beside it, which only screen readers see.
 */
export default function Graph(props: {
  names: string[]; parents: number[][]; task: (position: number) => GraphTask; selected?: string | undefined;
  select: (name: string) => void; name: string; search?: string; shown?: Look | undefined; tools?: JSX.Element;
  hasTable?: boolean;
}): JSX.Element {
  const id = createUniqueId();
  const [opened, setOpened] = createSignal<ReadonlySet<string>>(new Set());
  const [scale, setScale] = createSignal(1);
  const [hovered, setHovered] = createSignal<number>();
  let canvas!: HTMLDivElement;
  // Only names and parents move nodes. Phases change in place.
  const shape = createMemo(() => JSON.stringify([props.names, props.parents]));
  const layout = createMemo(on([shape, opened], () => layOut({ names: props.names, parents: props.parents }, opened())));
  const fit = () => {
    const room = canvas.clientWidth - 2 * padding;
    setScale(Math.max(smallest, Math.min(1, room / Math.max(1, layout().width))));
  };
  createEffect(on(layout, () => {
    const room = canvas.clientWidth - 2 * padding;
    setScale(layout().width > room && layout().width < room * 1.35 ? room / layout().width : 1);
  }));
  /** zoomTo changes the scale. What is at a place of the canvas, by default its middle, stays there. */
  const zoomTo = (next: number, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) => {
    const factor = next / scale();
    const left = (canvas.scrollLeft + x - padding) * factor + padding - x;
    const top = (canvas.scrollTop + y - padding) * factor + padding - y;
    setScale(next);
    canvas.scrollTo({ left, top, behavior: "instant" });
    look();
  };
  const zoom = (direction: 1 | -1) => {
    const next = direction > 0 ? steps.find((step) => step > scale() + 0.01) : [...steps].reverse().find((step) => step < scale() - 0.01);
    if (next) zoomTo(next);
  };
  // Of a large graph only what is seen is in the document, what has the focus, and what can get it.
  const [seen, setSeen] = createSignal({ left: 0, top: 0, right: 0, bottom: 0 }, { equals: isSameArea });
  const [kept, setKept] = createSignal(-1);
  const look = () => {
    const step = margin / 2;
    const near = (pixels: number, by: number) => (Math.round(pixels / step) * step + by) / scale();
    setSeen({
      left: near(canvas.scrollLeft, -margin), right: near(canvas.scrollLeft + canvas.clientWidth, margin),
      top: near(canvas.scrollTop, -margin), bottom: near(canvas.scrollTop + canvas.clientHeight, margin),
    });
  };
  createEffect(on([layout, scale], look));
  onMount(() => {
    if (typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(look);
    observer.observe(canvas);
    onCleanup(() => observer.disconnect());
  });
  onMount(() => onCleanup(panAndZoom(canvas, (factor, x, y) =>
    zoomTo(Math.max(smallest, Math.min(largest, scale() * factor)), x, y))));
  const selectedBox = createMemo(() => {
    const position = props.names.indexOf(props.selected ?? "");
    return position < 0 ? -1 : layout().boxes.findIndex((box) => box.members.includes(position));
  });
  const isFar = createMemo(() => scale() < readable);
  const indices = createMemo(() => new Map(layout().boxes.map((box, index) => [box, index])));
  const shownBoxes = createMemo(() => {
    const { left, top, right, bottom } = seen(), always = new Set([kept(), Math.max(0, selectedBox())]);
    return layout().boxes.filter((box, index) => always.has(index) ||
      (box.x < right && box.x + box.width > left && box.y < bottom && box.y + box.height > top));
  });
  const shownEdges = createMemo(() => {
    const { left, top, right, bottom } = seen(), { boxes, edges } = layout();
    return edges.filter((edge) => {
      const from = boxes[edge.from] as Box, into = boxes[edge.to] as Box;
      return from.x < right && into.x + into.width > left && edge.top < bottom && edge.bottom > top;
    });
  });
  const kin = createMemo(() => kinOf(layout().edges, selectedBox()));
  const met = createMemo(() => layout().boxes.map((box) => box.members.every((member) => props.task(member).look === "succeeded")));
  const isDim = (index: number) => {
    const box = layout().boxes[index] as Box;
    if (props.search) return !box.members.some((member) => props.names[member]?.includes(props.search as string));
    if (props.shown) return !box.members.some((member) => props.task(member).look === props.shown);
    return selectedBox() >= 0 && !kin().has(index);
  };
  createEffect(on(() => props.search, (search) => {
    if (!search) return;
    const found = layout().boxes.find((box) => box.members.some((member) => props.names[member]?.includes(search)));
    if (found) canvas.scrollTo({ left: (found.x - 40) * scale(), top: (found.y - 40) * scale() });
    look();
  }, { defer: true }));
  // Who selects a task elsewhere, such as in a list, finds it here without scrolling.
  createEffect(on(selectedBox, (index) => {
    const box = layout().boxes[index];
    if (!box) return;
    const [left, top, right, bottom] = [box.x, box.y, box.x + box.width, box.y + boxHeight].map((at) => at * scale()) as [number, number, number, number];
    const isSeen = left >= canvas.scrollLeft && right <= canvas.scrollLeft + canvas.clientWidth - 20 &&
      top >= canvas.scrollTop && bottom <= canvas.scrollTop + canvas.clientHeight;
    if (!isSeen) canvas.scrollTo({ left: left - 40, top: top - 40 });
  }, { defer: true }));
  const press = (box: Box) => {
    if (box.members.length > 1) setOpened(new Set([...opened(), box.id]));
    else props.select(props.names[box.members[0] ?? 0] ?? "");
  };
  const onKeyDown = (event: KeyboardEvent, index: number) => {
    if (event.key === "Enter" || event.key === " ") press(layout().boxes[index] as Box);
    else if (event.key.startsWith("Arrow")) focusBox(neighbour(layout().boxes, index, event.key));
    else return;
    event.preventDefault();
  };
  const focusBox = (index: number) => {
    setKept(index);
    document.getElementById(`${id}-${index}`)?.focus();
  };
  const tip = () => {
    const index = hovered();
    const box = index === undefined ? undefined : layout().boxes[index];
    const why = box?.members.length === 1 ? props.task(box.members[0] ?? 0).why : undefined;
    return box && why ? { box, why } : undefined;
  };
  return (
    <>
      <header class="graph-tools">
        {props.tools}
        <span class="end" />
        <Show when={opened().size}>
          <button class="btn quiet" type="button" onClick={() => setOpened(new Set<string>())}>{text.run.closeGroups}</button>
        </Show>
        <button class="btn quiet icon small-no" type="button" aria-label={text.run.smaller} title={text.run.smaller} onClick={() => zoom(-1)}><Icon name="minus" /></button>
        <button class="btn quiet icon small-no" type="button" aria-label={text.run.larger} title={text.run.larger} onClick={() => zoom(1)}><Icon name="plus" /></button>
        <button class="btn quiet icon" type="button" aria-label={text.run.fit} title={text.run.fit} onClick={fit}><Icon name="fit" /></button>
      </header>
      <div class="canvas" ref={canvas} role="region" aria-label={props.name} tabindex="0" onScroll={look}>
        <svg class="graph" classList={{ far: isFar() }} width={layout().width * scale() + 4} height={(layout().height + 4) * scale() + 4}
          viewBox={`-2 -2 ${layout().width + 4} ${layout().height + 4}`} role="group" aria-label={props.name}>
          <For each={shownEdges()}>{(edge) => (
            <path class="edge" classList={{
              met: met()[edge.from] ?? false,
              path: selectedBox() >= 0 && kin().has(edge.from) && kin().has(edge.to),
            }} d={edge.d} />
          )}</For>
          <For each={shownBoxes()}>{(box) => {
            const index = indices().get(box) ?? 0;
            return (
              <Node box={box} id={`${id}-${index}`} names={props.names} task={props.task} isSelected={index === selectedBox()} isFar={isFar()}
                isDim={isDim(index)} tabindex={index === Math.max(0, selectedBox()) ? 0 : -1}
                press={() => press(box)} keyDown={(event) => onKeyDown(event, index)}
                hover={(isOver) => setHovered(isOver ? index : undefined)} />
            );
          }}</For>
          <Show when={tip()}>{(shown) => (
            <foreignObject class="tip-place" x={Math.max(0, Math.min(shown().box.x, layout().width - tipWidth))}
              y={shown().box.y + boxHeight + 6} width={tipWidth} height="10">
              <div class="tip" role="tooltip"><b>{shown().why.reason}</b><br />{shown().why.message}</div>
            </foreignObject>
          )}</Show>
        </svg>
      </div>
      <Show when={props.hasTable}><Table names={props.names} parents={props.parents} task={props.task} name={props.name} /></Show>
    </>
  );
}

/** Table says what the graph shows. */
function Table(props: { names: string[]; parents: number[][]; task: (position: number) => GraphTask; name: string }): JSX.Element {
  const needs = (position: number) => (props.parents[position] ?? []).map((parent) => props.names[parent]).join(", ");
  return (
    <div class="sr"><table>
      <caption>{props.name}</caption>
      <thead><tr><th>{text.run.task}</th><th>{text.run.image}</th><th>{text.run.needsLabel}</th></tr></thead>
      <tbody><For each={props.names.slice(0, mostRows)}>{(name, position) => (
        <tr><th scope="row">{name}</th><td>{props.task(position()).sub}</td><td>{needs(position()) || text.none}</td></tr>
      )}</For></tbody>
    </table></div>
  );
}

/**
 * panAndZoom lets the mouse drag the content of an element, and the wheel with Ctrl zoom it at a place, until the returned
 * function is called. A drag is no click.
 */
function panAndZoom(element: HTMLElement, zoomBy: (factor: number, x: number, y: number) => void): () => void {
  const ended = new AbortController();
  let from: { x: number; y: number; left: number; top: number } | undefined;
  let isDragged = false;
  const listen = <K extends keyof HTMLElementEventMap>(name: K, listener: (event: HTMLElementEventMap[K]) => void,
    options: AddEventListenerOptions = {}) => element.addEventListener(name, listener, { ...options, signal: ended.signal });
  listen("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType !== "mouse") return;
    from = { x: event.clientX, y: event.clientY, left: element.scrollLeft, top: element.scrollTop };
    isDragged = false;
  });
  listen("pointermove", (event) => {
    if (!from) return;
    const x = event.clientX - from.x, y = event.clientY - from.y;
    if (!isDragged && Math.hypot(x, y) < dragsAfter) return;
    isDragged = true;
    element.setPointerCapture(event.pointerId);
    element.scrollTo({ left: from.left - x, top: from.top - y, behavior: "instant" });
  });
  listen("pointerup", () => (from = undefined));
  listen("pointercancel", () => (from = undefined));
  listen("click", (event) => isDragged && event.stopPropagation(), { capture: true });
  listen("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const box = element.getBoundingClientRect();
    zoomBy(Math.exp(-event.deltaY / 500), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  return () => ended.abort();
}

function Node(props: {
  box: Box; id: string; names: string[]; task: (position: number) => GraphTask; isSelected: boolean; isDim: boolean;
  isFar: boolean;
  tabindex: number; press: () => void; keyDown: (event: KeyboardEvent) => void; hover: (isOver: boolean) => void;
}): JSX.Element {
  const isGroup = () => props.box.members.length > 1;
  const task = createMemo(() => props.task(props.box.members[0] ?? 0), undefined, { equals: isSameTask });
  const counts = createMemo(() => {
    const byLook = new Map<Look, number>();
    for (const member of props.box.members) {
      const look = props.task(member).look;
      if (look) byLook.set(look, (byLook.get(look) ?? 0) + 1);
    }
    return looks.flatMap((look) => (byLook.has(look) ? [[look, byLook.get(look) ?? 0] as const] : []));
  });
  const look = () => (isGroup() ? counts()[0]?.[0] : task().look);
  const name = () => (isGroup() ? text.run.group(props.box.members.length) : props.names[props.box.members[0] ?? 0] ?? "");
  const sub = () => isGroup()
    ? counts().map(([look, count]) => `${number(count)} ${text.phase[look].toLowerCase()}`).join(", ") || text.run.openGroup
    : task().sub;
  const before = () => (isGroup() ? [] : task().before ?? []).slice(-3);
  const room = () => Math.floor((props.box.width - 42 - before().length * 16) / 6.9);
  const short = (value: string) => (value.length > room() ? `${value.slice(0, room() - 1)}…` : value);
  return (
    <g class="node" classList={{ off: props.isDim, stack: isGroup(), plain: !look() }} data-phase={look()} id={props.id}
      role="button" tabindex={props.tabindex} aria-current={props.isSelected ? "true" : undefined}
      transform={`translate(${props.box.x} ${props.box.y})`} onClick={() => props.press()}
      onKeyDown={(event) => props.keyDown(event)} onMouseEnter={() => props.hover(true)} onMouseLeave={() => props.hover(false)}
      onFocus={() => props.hover(true)} onBlur={() => props.hover(false)}>
      <title>{[name(), look() && text.phase[look() as Look], sub()].filter(Boolean).join(", ")}</title>
      <Show when={isGroup()}><rect class="box behind" x="4" y="4" width={props.box.width} height={boxHeight} /></Show>
      <rect class="box" width={props.box.width} height={boxHeight} />
      <Show when={!props.isFar}>
        <Show when={look()}>{(shape) => <svg class="ph" data-phase={shape()} x="9" y="6" width="16" height="16"><use href={`#${shape()}`} /></svg>}</Show>
        <text class="name" aria-hidden="true" x={look() ? 32 : 12} y="18">{label(name())}</text>
        <text class="sub" aria-hidden="true" x={look() ? 32 : 12} y="35">{short(sub())}</text>
        <For each={before()}>{(past, index) => (
          <svg class="ph" data-phase={past} x={props.box.width - 20 - index() * 16} y="24" width="14" height="14"><use href={`#${past}`} /></svg>
        )}</For>
      </Show>
    </g>
  );
}

interface Area {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

const isSameArea = (a: Area, b: Area) => a.left === b.left && a.top === b.top && a.right === b.right && a.bottom === b.bottom;

/** isSameTask reports whether a node looks the same. Why its task waits is read when it is shown. */
const isSameTask = (a: GraphTask, b: GraphTask) =>
  a.look === b.look && a.sub === b.sub && String(a.before) === String(b.before);

/** kinOf returns a node with its ancestors and descendants. */
export function kinOf(edges: { from: number; to: number }[], start: number): Set<number> {
  const found = new Set<number>();
  if (start < 0) return found;
  const walk = (next: (node: number) => number[]) => {
    const seen = new Set<number>();
    const open = [start];
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      if (seen.has(node)) continue;
      seen.add(node);
      found.add(node);
      open.push(...next(node));
    }
  };
  const after = new Map<number, number[]>(), before = new Map<number, number[]>();
  const add = (map: Map<number, number[]>, key: number, value: number) => {
    const values = map.get(key);
    if (values) values.push(value);
    else map.set(key, [value]);
  };
  for (const { from, to } of edges) {
    add(after, from, to);
    add(before, to, from);
  }
  walk((node) => after.get(node) ?? []);
  walk((node) => before.get(node) ?? []);
  return found;
}

/** neighbour returns the nearest node in the direction of an arrow key, or the node itself. */
export function neighbour(boxes: Box[], from: number, key: string): number {
  const here = boxes[from] as Box;
  const sign = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
  const isAcross = key === "ArrowRight" || key === "ArrowLeft";
  let best = from, nearest = Infinity;
  boxes.forEach((box, index) => {
    const dx = box.x - here.x, dy = box.y - here.y;
    const along = (isAcross ? dx : dy) * sign, aside = Math.abs(isAcross ? dy : dx);
    if (along <= 0 || (!isAcross && aside > 1)) return;
    const distance = along * 4 + aside;
    if (distance < nearest) [best, nearest] = [index, distance];
  });
  return best;
}

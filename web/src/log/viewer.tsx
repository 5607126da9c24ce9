import { createEffect, createMemo, createSignal, For, on, onCleanup, onMount, Show, type JSX } from "solid-js";
import { isTyping, useKeys } from "../keys";
import { Icon } from "../parts/icons";
import { Empty, ProblemNotice } from "../parts/states";
import { param, setParams } from "../router";
import { number, text } from "../text";
import { createFollowing } from "./following";
import { Line } from "./line";
import { Heights, Search, type Row } from "./lines";
import { joined, Selection } from "./selection";
import { downloadAddress, type LogKey } from "./source";

const rowPixels = 20;
/** What is so many rows of height above and below what is seen is in the document, too. */
const overscan = 30;
/** So many hits are marked beside the log. */
const mostTicks = 500;

/** Viewer shows the log of an attempt, of which only the lines that are seen are in the document. */
export default function Viewer(props: { logKey: LogKey; isOver: () => boolean }): JSX.Element {
  const log = createFollowing(props.logKey, props.isOver);
  const [isWrapped, setWrapped] = createSignal(true);
  const [isFollowing, setFollowing] = createSignal(!param("line"));
  const [query, setQuery] = createSignal("");
  const [hit, setHit] = createSignal(-1);
  const [seen, setSeen] = createSignal(0);

  let scroller!: HTMLDivElement, list!: HTMLOListElement, find!: HTMLInputElement;
  const [columns, setColumns] = createSignal(Infinity);
  const [top, setTop] = createSignal(0);
  const [room, setRoom] = createSignal(600);
  const source = createMemo(() => log.lines()); // changes when the log is read anew
  const heights = createMemo(() => (source(), new Heights(isWrapped() ? columns() : Infinity)));
  const measured = createMemo(() => {
    const current = heights();
    current.add(log.lines().rows);
    return current;
  }, undefined, { equals: false });
  const total = () => log.lines().rows.length;
  const count = () => log.lines().count;
  const range = createMemo((): [number, number] => {
    const current = measured();
    return [current.at(top() / rowPixels - overscan),
      Math.min(total(), current.at((top() + room()) / rowPixels + overscan) + 1)];
  }, undefined, { equals: (a, b) => a[0] === b[0] && a[1] === b[1] });
  const shown = createMemo(() => log.lines().rows.slice(...range()));
  const observe = () => {
    setRoom(scroller.clientHeight);
    const probe = scroller.querySelector<HTMLElement>(".probe span");
    const width = (probe?.getBoundingClientRect().width ?? 0) / 100;
    const gutter = matchMedia("(max-width: 719px)").matches ? 52 + 12 : 68 + 24;
    if (width > 0) setColumns(Math.max(10, Math.floor((scroller.clientWidth - gutter) / width)));
  };
  let lastTop = 0;
  let place = { row: 0, isAtEnd: true };
  const onScroll = () => {
    selection.changed(); // before rows leave the document
    const isAtEnd = scroller.scrollTop + scroller.clientHeight >= scroller.scrollHeight - rowPixels;
    setTop(scroller.scrollTop);
    if (isFollowing() && !isAtEnd && scroller.scrollTop < lastTop) { setFollowing(false); setSeen(count()); }
    if (isAtEnd && log.mode() === "live") setFollowing(true);
    lastTop = scroller.scrollTop;
    place = { row: measured().at(lastTop / rowPixels), isAtEnd };
  };
  // Where lines wrap anew, the same line stays at the top.
  createEffect(on([isWrapped, columns], () => {
    scroller.scrollTop = place.isAtEnd ? scroller.scrollHeight : measured().top(place.row) * rowPixels;
  }, { defer: true }));
  const toEnd = () => {
    setFollowing(true);
    scroller.scrollTop = scroller.scrollHeight;
  };
  const toStart = () => {
    setFollowing(false);
    scroller.scrollTop = 0;
  };
  const page = (direction: 1 | -1) => scroller.scrollBy({ top: direction * Math.max(rowPixels, room() - 2 * rowPixels) });
  createEffect(on(log.lines, () => {
    if (isFollowing() && log.mode() !== "stored") queueMicrotask(() => { scroller.scrollTop = scroller.scrollHeight; });
  }));
  const reveal = (row: Row) => {
    setFollowing(false);
    scroller.scrollTop = Math.max(0, measured().top(row.index) * rowPixels - scroller.clientHeight / 3);
  };

  const folded = createMemo(() => (source(), []));
  const found = createMemo(() => new Search(query(), folded()));
  const hits = createMemo(() => {
    found().add(log.lines().rows);
    return found().hits;
  }, undefined, { equals: false });
  const toHit = (index: number) => {
    const row = hits()[index];
    setHit(row ? index : -1);
    if (row) reveal(row);
  };
  const step = (by: 1 | -1) => toHit((hit() + by + hits().length) % Math.max(1, hits().length));
  createEffect(on(query, () =>
    toHit(Math.max(0, hits().findIndex((row) => measured().top(row.index) * rowPixels >= scroller.scrollTop))), { defer: true }));
  const errors = () => log.lines().errors;
  const toError = () => {
    const row = errors()[0];
    if (row) reveal(row);
  };

  let selection!: Selection;
  onMount(() => {
    const observer = new ResizeObserver(observe);
    observer.observe(scroller);
    onCleanup(() => observer.disconnect());
    selection = new Selection(list, () => log.lines().rows);
    const changed = () => selection.changed();
    document.addEventListener("selectionchange", changed);
    onCleanup(() => document.removeEventListener("selectionchange", changed));
    createEffect(on(shown, () => selection.draw(), { defer: true }));
    createEffect(on(source, () => selection.clear(), { defer: true }));
  });
  const onControl = (event: KeyboardEvent) => {
    if (!event.ctrlKey && !event.metaKey) return;
    if (event.key === "f") {
      find.focus();
      find.select();
    } else if (event.key === "a" && !isTyping(event)) {
      scroller.focus();
      selection.all();
    } else return;
    event.preventDefault();
  };
  document.addEventListener("keydown", onControl);
  onCleanup(() => document.removeEventListener("keydown", onControl));
  useKeys({
    n: () => step(1), N: () => step(-1), e: toError, "/": () => find.focus(), f: toEnd,
    End: toEnd, Home: toStart, PageDown: () => page(1), PageUp: () => page(-1),
  });

  const idOf = (row: Row) => `${row.isAfterGap ? "+" : ""}${row.number}`;
  const chosen = createMemo(() => {
    const [from = "", until = from] = param("line").split("-");
    return [from, until] as const;
  });
  const isChosen = (row: Row) => {
    const [from, until] = chosen();
    if (!from || row.isAfterGap !== from.startsWith("+")) return false;
    return row.number >= Number(from) && row.number <= Number(until);
  };
  const choose = (event: MouseEvent, row: Row) => {
    event.preventDefault();
    const [from] = chosen();
    setParams({ line: event.shiftKey && from ? `${from}-${idOf(row)}` : idOf(row) });
  };
  let isRevealed = false;
  createEffect(on(log.lines, (lines) => {
    if (isRevealed || !param("line")) return;
    const row = lines.rows.find(isChosen);
    if (!row) return;
    isRevealed = true;
    queueMicrotask(() => reveal(row));
  }));
  // What is selected is copied, also where it is not in the document. Without a selection the linked lines are.
  const onCopy = (event: ClipboardEvent) => {
    const copied = selection.read() || joined(log.lines().rows.filter(isChosen));
    if (!copied) return;
    event.clipboardData?.setData("text/plain", copied);
    event.preventDefault();
  };
  const state = () => ({ live: text.log.live, stored: text.log.stored, lost: text.log.lost, full: text.log.full, loading: text.shell.loading })[log.mode()];
  return (
    <>
      <div class="tools" role="toolbar" aria-label={text.log.tools}>
        <div class="search" role="search">
          <Icon name="search" />
          <input ref={find} type="search" aria-label={text.log.search} placeholder={text.log.search} spellcheck={false}
            onInput={(event) => setQuery(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
              else if (event.key === "Escape") { event.currentTarget.blur(); scroller.focus(); }
            }} />
          <Show when={query()}>
            <span role="status">{hits().length ? text.log.hits(hit() + 1, hits().length) : text.log.noHits}</span>
            <button class="btn quiet icon" type="button" aria-label={text.log.before} onClick={() => step(-1)}><Icon name="up" /></button>
            <button class="btn quiet icon" type="button" aria-label={text.log.after} onClick={() => step(1)}><Icon name="down" /></button>
          </Show>
        </div>
        <button class="btn" type="button" disabled={!errors().length} onClick={toError}>{text.log.firstError}</button>
        <span class="end" />
        <Show when={log.mode() !== "stored"}>
          <button class="btn" type="button" aria-pressed={isFollowing()} onClick={() => (isFollowing() ? setFollowing(false) : toEnd())}><Icon name="follow" />{text.log.follow}</button>
        </Show>
        <button class="btn" type="button" aria-pressed={isWrapped()} onClick={() => setWrapped(!isWrapped())}><Icon name="wrap" />{text.log.wrap}</button>
        <a class="btn" href={downloadAddress(props.logKey)} download=""><Icon name="follow" /><span class="small-no">{text.log.download}</span><span class="sr small-only">{text.log.download}</span></a>
      </div>
      <div class="body">
        <div class="lines" classList={{ wrapped: isWrapped() }} ref={scroller} tabindex="0" role="region" aria-label={text.log.region}
          onScroll={onScroll} onCopy={onCopy}>
          <span class="probe" aria-hidden="true"><span>{"0".repeat(100)}</span></span>
          <Show when={log.problem()}>{(shownProblem) => <div class="pad"><ProblemNotice problem={shownProblem()} retry={() => log.retry()} /></div>}</Show>
          <Show when={log.absence() && total() === 0}><Empty title={props.isOver() ? text.log.gone : text.log.notYet} hint={log.absence()} /></Show>
          <Show when={log.mode() === "stored" && total() === 0 && !log.problem() && !log.absence()}><Empty title={text.log.empty} hint={text.log.emptyHint} /></Show>
          <Show when={log.notice()}><p class="log-notice" role="status">{log.notice()}</p></Show>
          <svg class="spacer" width="1" height={measured().top(range()[0]) * rowPixels} aria-hidden="true" />
          <ol ref={list}>
            <For each={shown()}>{(row) => (
              <Show when={row.number > 0} fallback={
                <li class="cut" data-row={row.index}>
                  <p>{row.text}<Show when={row.isDropped}>{" "}<a class="link" href={downloadAddress(props.logKey)} download="">{text.log.whole}</a></Show></p>
                </li>
              }>
                <li classList={{ on: isChosen(row) }} data-row={row.index}>
                  <a href={`#L${idOf(row)}`} tabindex="-1" onClick={(event) => choose(event, row)}
                    title={row.isContinuation ? text.log.goesOn(row.number) : undefined}>
                    {row.isContinuation ? "…" : idOf(row)}
                  </a>
                  <Line text={row.text} query={query()} isNow={hits()[hit()] === row} />
                </li>
              </Show>
            )}</For>
          </ol>
          <svg class="spacer" width="1" height={Math.max(0, measured().total - measured().top(range()[1])) * rowPixels} aria-hidden="true" />
        </div>
        <svg class="ticks" aria-hidden="true">
          <For each={hits().slice(0, mostTicks)}>{(row) => <rect y={`${(row.index / Math.max(1, total())) * 100}%`} />}</For>
          <For each={[...errors()]}>{(row) => <rect class="err" y={`${(row.index / Math.max(1, total())) * 100}%`} />}</For>
        </svg>
        <Show when={!isFollowing() && log.mode() === "live" && count() > seen() && seen() > 0}>
          <button class="btn more" type="button" onClick={toEnd}><Icon name="follow" />{text.log.newLines(count() - seen())}</button>
        </Show>
      </div>
      <div class="foot-bar">
        <span class="live" classList={{ stale: log.mode() === "lost" || log.mode() === "full" }}>{state()}</span>
        <span>{text.log.lines(count())}</span>
        <Show when={log.mode() === "live"}><span class="small-no">{isFollowing() ? text.log.following : text.log.notFollowing}</span></Show>
        <span class="end small-no"><kbd>n</kbd> {text.log.after}</span><span class="small-no"><kbd>[</kbd> <kbd>]</kbd> {text.run.attempts}</span>
        <span class="sr">{number(count())}</span>
      </div>
    </>
  );
}


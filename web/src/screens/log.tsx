import { createEffect, createMemo, createSignal, For, on, onCleanup, onMount, Show, type JSX } from "solid-js";
import { runs } from "../api/calls";
import { backoff, pause } from "../api/client";
import { Problem } from "../api/problem";
import type { Attempt } from "../api/types";
import { useKeys } from "../keys";
import { isError, parseLine, plainText, type Piece } from "../log/ansi";
import { Heights, Lines, search } from "../log/lines";
import { downloadAddress, readText, stream, withSlot, type Ending, type LogKey, type Sink } from "../log/source";
import { Icon, Mark } from "../parts/icons";
import { Empty, ProblemNotice, Skeleton } from "../parts/states";
import { Said, Took } from "../parts/values";
import { lookOfAttempt, lookOfTask } from "../phases";
import { createReading } from "../reading";
import { go, param, place, setParams, to } from "../router";
import { ended } from "../session";
import { number, text } from "../text";
import { clockSeconds } from "../time";

const rowPixels = 20;
const overscan = 30;
/** While text is selected, so many rows stay in the document, so that the selection survives scrolling. */
const mostKept = 3000;
const askInterval = 3000;

const hasEnded = (attempt: Attempt | undefined) => ["Succeeded", "Failed", "Lost", "Cancelled"].includes(attempt?.phase ?? "");

export default function LogScreen(): JSX.Element {
  const uid = place().segments[1] ?? "", task = place().segments[3] ?? "";
  const attemptNumber = () => Number(place().segments[4]) || 1;
  const concerns = (change: { run?: string }) => change.run === uid;
  const run = createReading(() => ({}), (_, signal) => runs.one(uid, signal), concerns);
  const graph = createReading(() => ({}), (_, signal) => runs.graph(uid, signal), concerns);
  const attempts = createReading(() => ({}), (_, signal) => runs.attempts(uid, task, signal), concerns);
  const attempt = () => attempts.data()?.items.find((each) => each.number === attemptNumber());
  const ordered = () => [...(attempts.data()?.items ?? [])].reverse();
  createEffect(() => (document.title = text.shell.title(text.log.of(task, attemptNumber()))));
  const open = (next: number) => {
    if (attempts.data()?.items.some((each) => each.number === next)) go(to.log(uid, task, next), { replace: true });
  };
  useKeys({ "[": () => open(attemptNumber() - 1), "]": () => open(attemptNumber() + 1) });
  return (
    <div class="log">
      <nav class="siblings" aria-label={text.log.tasks}>
        <h2>{text.log.tasks}</h2>
        <For each={graph.data()?.names.slice(0, 200)}>{(name, index) => (
          <a href={to.log(uid, name, 1)} aria-current={name === task ? "page" : undefined}>
            <Mark look={lookOfTask(graph.data()?.phases[index()] ?? "", graph.data()?.reasons[index()])} label={graph.data()?.phases[index()] ?? ""} />
            <span>{name}</span>
          </a>
        )}</For>
      </nav>
      <div class="about">
        <div class="head">
          <h1>
            <span class="of">
              <Show when={run.data()}>{(data) => <><a class="small-no" href={to.dag(data().namespace, data().dag)}>{data().dag} / </a><a href={to.run(uid, { task })}>{data().name}</a> / </>}</Show>
            </span>{task}
          </h1>
          <div class="seg" role="group" aria-label={text.run.attempts}>
            <For each={ordered()}>{(each) => (
              <a href={to.log(uid, task, each.number)} aria-current={each.number === attemptNumber() ? "true" : undefined}>
                {each.number} <Mark look={lookOfAttempt(each.phase)} />{each.phase} <span class="n"><Took from={each.startedAt} until={each.finishedAt} /></span>
              </a>
            )}</For>
          </div>
        </div>
        <p class="meta">
          <Show when={attempt()?.node}><span>{text.log.on(attempt()?.node ?? "")} <Show when={attempt()?.startedAt}>{(at) => <>{text.log.since} {clockSeconds(at())}</>}</Show></span></Show>
          <Show when={attempt()?.reason}><span><span class="reason" data-phase={lookOfAttempt(attempt()?.phase ?? "")}>{attempt()?.reason}</span> <Said text={attempt()?.message} /></span></Show>
        </p>
      </div>
      <Show when={attempt()} keyed={false} fallback={
        <Show when={attempts.data()} fallback={<Skeleton />}><Empty title={text.log.notYet} hint={text.log.notYetHint} /></Show>
      }>
        <Show when={`${attemptNumber()} ${attempt()?.startedAt ? "" : "not started"}`} keyed>
          {(_key) => <Viewer logKey={{ uid, task, attempt: attemptNumber() }} isOver={() => hasEnded(attempt())} />}
        </Show>
      </Show>
    </div>
  );
}

function Viewer(props: { logKey: LogKey; isOver: () => boolean }): JSX.Element {
  const stop = new AbortController();
  onCleanup(() => stop.abort());
  let lines = new Lines();
  const [version, setVersion] = createSignal(0);
  const [problem, setProblem] = createSignal<Problem>();
  const [absence, setAbsence] = createSignal("");
  const [notice, setNotice] = createSignal("");
  const [mode, setMode] = createSignal<"live" | "stored" | "lost" | "full" | "loading">("loading");
  const [isWrapped, setWrapped] = createSignal(true);
  const [isFollowing, setFollowing] = createSignal(!param("line"));
  const [query, setQuery] = createSignal("");
  const [hit, setHit] = createSignal(-1);
  const [seen, setSeen] = createSignal(0);
  let frame = 0;
  const grew = () => (frame ||= requestAnimationFrame(() => { frame = 0; setVersion((now) => now + 1); }));
  const sink: Sink = {
    lines: () => lines,
    restart: () => void (lines = new Lines()),
    grew,
    state: (state) => setNotice([state.rotated && text.log.rotated, state.incomplete && (state.message || text.log.incomplete)].filter(Boolean).join(" ")),
    connected: (isConnected) => setMode(isConnected ? props.isOver() ? "loading" : "live" : "lost"),
  };
  /** ask reads the log without a stream, for tabs that have none. */
  const ask = async () => {
    const next = new Lines();
    await readText(props.logKey, next, stop.signal);
    lines = next;
    grew();
  };
  const conclude = (ending: Ending) => {
    if (ending.how === "credential") return ended();
    if (ending.how === "gone") setAbsence(ending.message || ending.reason);
    if (ending.how === "complete" && ending.isRotated) setNotice(text.log.rotated);
    setMode("stored");
  };
  const load = async () => {
    setProblem(undefined);
    try {
      for (let attempt = 1; !stop.signal.aborted; attempt++) {
        let ending: Ending = { how: "lost" };
        const isMine = document.visibilityState === "visible" && await withSlot(stop.signal, async () => {
          sink.restart();
          ending = await stream(props.logKey, sink, hiddenSignal(stop.signal));
        });
        if (stop.signal.aborted) return;
        if (ending.how !== "lost") return conclude(ending);
        setMode(isMine ? "lost" : "full");
        if (document.visibilityState === "visible") await ask();
        if (props.isOver()) return setMode("stored");
        await pause(isMine ? backoff(attempt) : askInterval, stop.signal);
      }
    } catch (error) {
      if (stop.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      if (error.kind === "not-found" || error.kind === "conflict") setAbsence(error.detail || error.message);
      else setProblem(error);
      setMode("stored");
    }
  };
  onMount(() => void load());

  let scroller!: HTMLDivElement;
  const [columns, setColumns] = createSignal(Infinity);
  const [top, setTop] = createSignal(0);
  const [room, setRoom] = createSignal(600);
  const [kept, setKept] = createSignal<[number, number]>();
  const heights = createMemo(() => new Heights(isWrapped() ? columns() : Infinity));
  const measured = createMemo(() => {
    version();
    const current = heights();
    if (current.length > lines.rows.length) return new Heights(isWrapped() ? columns() : Infinity);
    current.add(lines.rows);
    return current;
  }, undefined, { equals: false });
  const total = () => (measured(), lines.rows.length);
  const range = createMemo((): [number, number] => {
    const current = measured();
    const first = Math.max(0, current.at(top() / rowPixels) - overscan);
    const last = Math.min(total(), current.at((top() + room()) / rowPixels) + overscan + 1);
    const pinned = kept();
    return pinned && Math.max(last, pinned[1]) - Math.min(first, pinned[0]) <= mostKept
      ? [Math.min(first, pinned[0]), Math.min(total(), Math.max(last, pinned[1]))] : [first, last];
  }, undefined, { equals: (a, b) => a[0] === b[0] && a[1] === b[1] });
  const shown = createMemo(() => {
    measured();
    const [first, last] = range();
    return lines.rows.slice(first, last).map((row, offset) => ({ row, index: first + offset }));
  });
  const observe = () => {
    setRoom(scroller.clientHeight);
    const probe = scroller.querySelector<HTMLElement>(".probe span");
    const width = (probe?.getBoundingClientRect().width ?? 0) / 100;
    const gutter = matchMedia("(max-width: 719px)").matches ? 44 + 12 : 68 + 24;
    if (width > 0) setColumns(Math.max(10, Math.floor((scroller.clientWidth - gutter) / width)));
  };
  onMount(() => {
    const observer = new ResizeObserver(observe);
    observer.observe(scroller);
    onCleanup(() => observer.disconnect());
    const selected = () => {
      const selection = document.getSelection();
      const isHere = selection && !selection.isCollapsed && scroller.contains(selection.anchorNode);
      setKept((before) => {
        if (!isHere) return undefined;
        const [first, last] = range();
        return before ? [Math.min(before[0], first), Math.max(before[1], last)] : [first, last];
      });
    };
    document.addEventListener("selectionchange", selected);
    onCleanup(() => document.removeEventListener("selectionchange", selected));
  });
  const onScroll = () => {
    const isAtEnd = scroller.scrollTop + scroller.clientHeight >= scroller.scrollHeight - rowPixels;
    setTop(scroller.scrollTop);
    if (isFollowing() && !isAtEnd && scroller.scrollTop < lastTop) { setFollowing(false); setSeen(total()); }
    if (isAtEnd && mode() === "live") setFollowing(true);
    lastTop = scroller.scrollTop;
  };
  let lastTop = 0;
  const toEnd = () => {
    setFollowing(true);
    scroller.scrollTop = scroller.scrollHeight;
  };
  createEffect(on(version, () => {
    if (isFollowing() && mode() !== "stored") queueMicrotask(() => { scroller.scrollTop = scroller.scrollHeight; });
  }));
  const reveal = (index: number) => {
    setFollowing(false);
    const at = measured().top(index) * rowPixels;
    scroller.scrollTop = Math.max(0, at - scroller.clientHeight / 3);
  };

  const hits = createMemo(() => (version(), search(lines.rows, query())));
  const step = (by: 1 | -1) => {
    if (!hits().length) return;
    const next = (hit() + by + hits().length) % hits().length;
    setHit(next);
    reveal(hits()[next] ?? 0);
  };
  createEffect(on(query, () => {
    if (!query() || !hits().length) return setHit(-1);
    const from = hits().findIndex((index) => measured().top(index) * rowPixels >= scroller.scrollTop);
    setHit(Math.max(0, from));
    reveal(hits()[hit()] ?? 0);
  }, { defer: true }));
  const errors = createMemo(() => (version(), lines.rows.flatMap((row, index) => (row.number && isError(plainText(row.text)) ? [index] : [])).slice(0, 200)));
  let find!: HTMLInputElement;
  useKeys({
    n: () => step(1), N: () => step(-1), e: () => errors()[0] !== undefined && reveal(errors()[0] ?? 0),
    "/": () => find.focus(), f: () => toEnd(),
  });
  const onFind = (event: KeyboardEvent) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "f") {
      event.preventDefault();
      find.focus();
      find.select();
    }
  };
  document.addEventListener("keydown", onFind);
  onCleanup(() => document.removeEventListener("keydown", onFind));

  const idOf = (row: { number: number; isAfterGap: boolean }) => `${row.isAfterGap ? "+" : ""}${row.number}`;
  const chosen = createMemo(() => {
    const [from = "", until = from] = param("line").split("-");
    return [from, until] as const;
  });
  const isChosen = (row: { number: number; isAfterGap: boolean }) => {
    const [from, until] = chosen();
    if (!from || row.isAfterGap !== from.startsWith("+")) return false;
    return row.number >= Number(from) && row.number <= Number(until);
  };
  const choose = (event: MouseEvent, row: { number: number; isAfterGap: boolean }) => {
    event.preventDefault();
    const [from] = chosen();
    setParams({ line: event.shiftKey && from ? `${from}-${idOf(row)}` : idOf(row) });
  };
  let isRevealed = false;
  createEffect(on(version, () => {
    if (isRevealed || !param("line")) return;
    const index = lines.rows.findIndex(isChosen);
    if (index < 0) return;
    isRevealed = true;
    queueMicrotask(() => reveal(index));
  }));
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "End" && !event.ctrlKey) { toEnd(); event.preventDefault(); }
    else if (event.key === "Home" && !event.ctrlKey) { setFollowing(false); scroller.scrollTop = 0; event.preventDefault(); }
    else if ((event.ctrlKey || event.metaKey) && event.key === "a") { setAll(true); event.preventDefault(); }
    else if (event.key !== "Control" && event.key !== "Meta" && !(event.key === "c" && (event.ctrlKey || event.metaKey))) setAll(false);
  };
  const [isAll, setAll] = createSignal(false);
  // Ctrl-A selects all lines, also those that are not in the document.
  const onCopy = (event: ClipboardEvent) => {
    const numbers = lines.rows.filter((row) => isAll() || (!document.getSelection()?.toString() && isChosen(row)));
    if (!numbers.length) return;
    event.clipboardData?.setData("text/plain", numbers.map((row) => (row.number ? plainText(row.text) : `[${row.text}]`)).join("\n"));
    event.preventDefault();
  };
  const state = () => ({ live: text.log.live, stored: text.log.stored, lost: text.log.lost, full: text.log.full, loading: text.shell.loading })[mode()];
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
        <button class="btn" type="button" disabled={!errors().length} onClick={() => reveal(errors()[0] ?? 0)}>{text.log.firstError}</button>
        <span class="end" />
        <Show when={mode() !== "stored"}>
          <button class="btn" type="button" aria-pressed={isFollowing()} onClick={() => (isFollowing() ? setFollowing(false) : toEnd())}><Icon name="follow" />{text.log.follow}</button>
        </Show>
        <button class="btn" type="button" aria-pressed={isWrapped()} onClick={() => setWrapped(!isWrapped())}><Icon name="wrap" />{text.log.wrap}</button>
        <a class="btn" href={downloadAddress(props.logKey)} download=""><Icon name="follow" /><span class="small-no">{text.log.download}</span><span class="sr small-only">{text.log.download}</span></a>
      </div>
      <div class="body">
        <div class="lines" classList={{ wrapped: isWrapped(), all: isAll() }} ref={scroller} tabindex="0" role="region" aria-label={text.log.region}
          onScroll={onScroll} onKeyDown={onKeyDown} onCopy={onCopy}>
          <span class="probe" aria-hidden="true"><span>{"0".repeat(100)}</span></span>
          <Show when={problem()}>{(shownProblem) => <div class="pad"><ProblemNotice problem={shownProblem()} retry={() => void load()} /></div>}</Show>
          <Show when={absence() && total() === 0}><Empty title={props.isOver() ? text.log.gone : text.log.notYet} hint={absence()} /></Show>
          <Show when={mode() === "stored" && total() === 0 && !problem() && !absence()}><Empty title={text.log.empty} hint={text.log.emptyHint} /></Show>
          <Show when={notice()}><p class="log-notice" role="status">{notice()}</p></Show>
          <svg class="spacer" width="1" height={measured().top(range()[0]) * rowPixels} aria-hidden="true" />
          <ol>
            <For each={shown()}>{({ row, index }) => (
              <Show when={row.number > 0} fallback={<li class="cut"><p>{row.text}</p></li>}>
                <li classList={{ on: isChosen(row) }}>
                  <a href={`#L${idOf(row)}`} tabindex="-1" onClick={(event) => choose(event, row)}>{idOf(row)}</a>
                  <Line text={row.text} query={query()} isNow={hits()[hit()] === index} />
                </li>
              </Show>
            )}</For>
          </ol>
          <svg class="spacer" width="1" height={Math.max(0, measured().total - measured().top(range()[1])) * rowPixels} aria-hidden="true" />
        </div>
        <svg class="ticks" aria-hidden="true">
          <For each={hits().slice(0, 500)}>{(index) => <rect y={`${(index / Math.max(1, total())) * 100}%`} />}</For>
          <For each={errors()}>{(index) => <rect class="err" y={`${(index / Math.max(1, total())) * 100}%`} />}</For>
        </svg>
        <Show when={!isFollowing() && mode() === "live" && total() > seen() && seen() > 0}>
          <button class="btn more" type="button" onClick={toEnd}><Icon name="follow" />{text.log.newLines(total() - seen())}</button>
        </Show>
      </div>
      <div class="foot-bar">
        <span class="live" classList={{ stale: mode() === "lost" || mode() === "full" }}>{state()}</span>
        <span>{text.log.lines(total())}</span>
        <Show when={mode() === "live"}><span class="small-no">{isFollowing() ? text.log.following : text.log.notFollowing}</span></Show>
        <span class="end small-no"><kbd>n</kbd> {text.log.after}</span><span class="small-no"><kbd>[</kbd> <kbd>]</kbd> {text.run.attempts}</span>
        <span class="sr">{number(total())}</span>
      </div>
    </>
  );
}

/** hiddenSignal aborts when the page is hidden, so that hidden tabs give their streams back. */
function hiddenSignal(outer: AbortSignal): AbortSignal {
  const hidden = new AbortController();
  const listen = () => document.visibilityState === "hidden" && hidden.abort();
  document.addEventListener("visibilitychange", listen);
  const both = AbortSignal.any([outer, hidden.signal]);
  both.addEventListener("abort", () => document.removeEventListener("visibilitychange", listen), { once: true });
  return both;
}

/** Line shows a line as text nodes. Hits are marked. */
function Line(props: { text: string; query: string; isNow: boolean }): JSX.Element {
  const pieces = createMemo(() => (props.query ? marked(parseLine(props.text), props.query) : parseLine(props.text)));
  return (
    <span dir="ltr">
      <For each={pieces()}>{(piece) => (
        <Show when={"isHit" in piece && piece.isHit} fallback={<span class={piece.color} classList={{ bold: piece.isBold ?? false }}>{piece.text}</span>}>
          <mark classList={{ at: props.isNow }}>{piece.text}</mark>
        </Show>
      )}</For>
    </span>
  );
}

/** marked cuts pieces at the hits of a query. A hit across pieces is not marked, but its line is still found. */
export function marked(pieces: Piece[], query: string): (Piece & { isHit?: boolean })[] {
  const wanted = query.toLowerCase();
  return pieces.flatMap((piece) => {
    const parts: (Piece & { isHit?: boolean })[] = [];
    const lower = piece.text.toLowerCase();
    let from = 0;
    for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
      if (at > from) parts.push({ ...piece, text: piece.text.slice(from, at) });
      parts.push({ ...piece, text: piece.text.slice(at, at + wanted.length), isHit: true });
      from = at + wanted.length;
    }
    if (from < piece.text.length) parts.push({ ...piece, text: piece.text.slice(from) });
    return parts;
  });
}

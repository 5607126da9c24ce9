import { createMemo, createSignal, createUniqueId, For, onCleanup, Show, type JSX } from "solid-js";
import { dags, runs } from "../api/calls";
import { Problem } from "../api/problem";
import { useKeys } from "../keys";
import { lookOfRun, type Look } from "../phases";
import { go, to } from "../router";
import { text } from "../text";
import { Icon, Mark } from "./icons";

interface Hit {
  group: string;
  label: string;
  detail: string;
  href: string;
  look?: Look;
}

const uid = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;
const settle = 150;
const mostHits = 6;

/** Found is what a search has found. problem is why something may be missing. */
interface Found {
  hits: Hit[];
  problem?: Problem;
}

/** find asks for DAGs with the text in their name, runs that begin with it, or the run of a UID. */
export async function find(query: string, signal: AbortSignal): Promise<Found> {
  const found: Found = { hits: [] };
  /** optional turns a problem into undefined: one kind of hit is better than none. */
  const optional = async <T,>(promise: Promise<T>): Promise<T | undefined> => {
    try {
      return await promise;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.kind !== "not-found") found.problem = error;
      return undefined;
    }
  };
  const pasted = uid.exec(query)?.[0];
  if (pasted) {
    const run = await optional(runs.one(pasted.toLowerCase(), signal));
    if (run) {
      found.hits.push({ group: text.search.uid, label: run.name, detail: run.namespace, href: to.run(run.uid),
        look: lookOfRun(run.phase) });
    }
    return found;
  }
  const [foundDags, foundRuns] = await Promise.all([
    optional(dags.list({ search: query, limit: mostHits }, signal)),
    optional(runs.list({ namePrefix: query, limit: mostHits }, signal)),
  ]);
  found.hits.push(
    ...(foundDags?.items ?? []).map((dag) => ({ group: text.search.dags, label: dag.name, detail: dag.namespace,
      href: to.dag(dag.namespace, dag.name) })),
    ...(foundRuns?.items ?? []).map((run) => ({ group: text.search.runs, label: run.name, detail: run.namespace,
      href: to.run(run.uid), look: lookOfRun(run.phase) })),
  );
  return found;
}

export function Search(): JSX.Element {
  const id = createUniqueId();
  let input!: HTMLInputElement;
  const [query, setQuery] = createSignal("");
  const [found, setFound] = createSignal<Found>();
  const hits = () => found()?.hits;
  const [at, setAt] = createSignal(0);
  const [isOpen, setOpen] = createSignal(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let current = new AbortController();

  const change = (value: string) => {
    setQuery(value);
    clearTimeout(timer);
    current.abort();
    setFound(undefined);
    setAt(0);
    if (!value.trim()) return;
    timer = setTimeout(async () => {
      const mine = (current = new AbortController());
      try {
        const answer = await find(value.trim(), mine.signal);
        if (!mine.signal.aborted) setFound(answer);
      } catch (error) {
        if (!mine.signal.aborted) throw error;
      }
    }, settle);
  };
  onCleanup(() => (clearTimeout(timer), current.abort()));
  const open = (hit: Hit | undefined) => {
    if (!hit) return;
    setOpen(false);
    change("");
    input.value = "";
    input.blur();
    go(hit.href);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const count = hits()?.length ?? 0;
    if (event.key === "ArrowDown" && count) setAt((at() + 1) % count);
    else if (event.key === "ArrowUp" && count) setAt((at() + count - 1) % count);
    else if (event.key === "Enter") open(hits()?.[at()]);
    else if (event.key === "Escape") { setOpen(false); input.blur(); }
    else return;
    event.preventDefault();
  };
  useKeys({ "/": () => { setOpen(true); input.focus(); input.select(); } });
  const groups = createMemo(() => [...new Set(hits()?.map((hit) => hit.group))]);
  return (
    <div class="finder" classList={{ open: isOpen() }}
      onFocusOut={(event) => !event.currentTarget.contains(event.relatedTarget as Node | null) && setOpen(false)}>
      <button class="btn quiet icon small-only" type="button" aria-label={text.shell.search}
        onClick={() => { setOpen(true); input.focus(); }}><Icon name="search" /></button>
      <label class="search">
        <Icon name="search" />
        <input ref={input} type="search" role="combobox" aria-label={text.shell.search} placeholder={text.shell.searchHint}
          aria-expanded={isOpen() && Boolean(query())} aria-controls={id} aria-autocomplete="list" autocomplete="off"
          spellcheck={false} aria-activedescendant={hits()?.length ? `${id}-${at()}` : undefined}
          onFocus={() => setOpen(true)} onInput={(event) => change(event.currentTarget.value)} onKeyDown={onKeyDown} />
        <kbd class="small-no">/</kbd>
      </label>
      <div class="hits" id={id} role="listbox" aria-label={text.shell.search} hidden={!isOpen() || !query().trim() || !hits()}>
        <Show when={found()?.problem}>
          {(problem) => <p class="pad dim" role="option" aria-selected="false">{text.search.failed(problem().message)}</p>}
        </Show>
        <Show when={hits()?.length} fallback={
          <Show when={!found()?.problem}><p class="pad dim" role="option" aria-selected="false">{text.search.none}</p></Show>
        }>
          <For each={groups()}>
            {(group) => (
              <div role="group" aria-label={group}>
                <h3 aria-hidden="true">{group}</h3>
                <For each={hits()}>
                  {(hit, index) => (
                    <Show when={hit.group === group}>
                      <a id={`${id}-${index()}`} role="option" aria-selected={at() === index()} href={hit.href} tabindex="-1"
                        onClick={(event) => { event.preventDefault(); open(hit); }}>
                        <Show when={hit.look}>{(look) => <Mark look={look()} label={text.phase[look()]} />}</Show>
                        <span>{hit.label}</span><span class="faint end">{hit.detail}</span>
                      </a>
                    </Show>
                  )}
                </For>
              </div>
            )}
          </For>
        </Show>
      </div>
    </div>
  );
}

import { createEffect, For, Show, type JSX } from "solid-js";
import { runs } from "../api/calls";
import type { Attempt } from "../api/types";
import { useKeys } from "../keys";
import Viewer from "../log/viewer";
import { Mark } from "../parts/icons";
import { Empty, Skeleton } from "../parts/states";
import { Said, Took } from "../parts/values";
import { lookOfAttempt, lookOfTask } from "../phases";
import { createReading } from "../reading";
import { go, place, to } from "../router";
import { text } from "../text";
import { clockSeconds } from "../time";

const hasEnded = (attempt: Attempt | undefined) => ["Succeeded", "Failed", "Lost", "Cancelled"].includes(attempt?.phase ?? "");

/** So many tasks are listed beside the log. */
const mostTasks = 200;

export default function LogScreen(): JSX.Element {
  const uid = place().segments[1] ?? "", task = place().segments[3] ?? "";
  const attemptNumber = () => Number(place().segments[4]) || newest();
  const concerns = (change: { run?: string }) => change.run === uid;
  const run = createReading(() => ({}), (_, signal) => runs.one(uid, signal), concerns);
  const graph = createReading(() => ({}), (_, signal) => runs.graph(uid, signal), concerns);
  const attempts = createReading(() => ({}), (_, signal) => runs.attempts(uid, task, signal), concerns);
  const newest = () => attempts.data()?.items[0]?.number ?? 1;
  // The address names the attempt, so that the page does not change to another one by itself.
  createEffect(() => {
    if (!place().segments[4] && attempts.data()?.items.length) go(to.log(uid, task, newest()), { replace: true });
  });
  const names = () => graph.data()?.names ?? [];
  /** The first of the tasks that are listed. The one of this log is among them. */
  const firstListed = () => Math.max(0, Math.min(names().indexOf(task) - mostTasks / 2, names().length - mostTasks));
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
        <For each={names().slice(firstListed(), firstListed() + mostTasks)}>{(name, index) => (
          <a href={to.log(uid, name)} aria-current={name === task ? "page" : undefined}>
            <Mark look={lookOfTask(graph.data()?.phases[firstListed() + index()] ?? "", graph.data()?.reasons[firstListed() + index()])} label={graph.data()?.phases[firstListed() + index()] ?? ""} />
            <span>{name}</span>
          </a>
        )}</For>
        <Show when={names().length > mostTasks}><a href={to.run(uid)}>{text.log.moreTasks(names().length - mostTasks)}</a></Show>
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

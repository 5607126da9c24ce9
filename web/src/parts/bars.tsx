import { For, Show, type JSX } from "solid-js";
import type { RecentRun, TaskCounts } from "../api/types";
import { lookOfRun, type Look } from "../phases";
import { now } from "../time";
import { text } from "../text";

const slot = 8;
const base = 24;
const tallest = 22;

/** Bars are the last runs, the newest at the right. Height is duration; what did not succeed has a foot. */
export function Bars(props: { name: string; runs: RecentRun[]; slots?: number }): JSX.Element {
  const slots = () => props.slots ?? 20;
  const shown = () => props.runs.slice(0, slots()).reverse();
  const lengths = () => shown().map((run) =>
    run.startedAt ? (run.finishedAt ? Date.parse(run.finishedAt) : now()) - Date.parse(run.startedAt) : 0);
  const longest = () => Math.max(1, ...lengths());
  const paths = () => {
    const byLook = new Map<Look, string>();
    shown().forEach((run, index) => {
      const look = lookOfRun(run.phase);
      const x = (slots() - shown().length + index) * slot + 3;
      const height = Math.max(3, Math.round(((lengths()[index] ?? 0) / longest()) * tallest));
      const foot = look === "failed" || look === "cancelled" ? 5 : 0;
      byLook.set(look, `${byLook.get(look) ?? ""}M${x} ${base + foot}V${base - height}`);
    });
    return [...byLook];
  };
  const counts = () => {
    const byLook = new Map<string, number>();
    for (const run of props.runs) byLook.set(run.phase, (byLook.get(run.phase) ?? 0) + 1);
    return [...byLook].map(([phase, count]) => `${count} ${phase}`).join(", ") || text.dags.noRunYet;
  };
  return (
    <svg class="bars" viewBox={`0 0 ${slots() * slot} 30`} role="img" aria-label={text.dags.barsOf(props.name, counts())}>
      <path class="base" d={`M0 ${base + 0.5}H${slots() * slot - 2}`} />
      <For each={paths()}>{([look, d]) => <path data-phase={look} d={d} />}</For>
    </svg>
  );
}

/** Progress is the done of all tasks, by phase. */
export function Progress(props: { tasks: TaskCounts }): JSX.Element {
  const parts = () => {
    const { tasks } = props;
    let x = 0;
    const list: [Look, number][] = [["succeeded", tasks.succeeded], ["skipped", tasks.skipped],
      ["cancelled", tasks.cancelled], ["failed", tasks.failed], ["running", tasks.active]];
    return list.filter(([, count]) => count > 0).map(([look, count]) => {
      const part = { look, x: (x / tasks.total) * 100, width: Math.max((count / tasks.total) * 100, 0.8) };
      x += count;
      return part;
    });
  };
  const done = () => props.tasks.succeeded + props.tasks.skipped + props.tasks.cancelled + props.tasks.failed;
  return (
    <svg class="progress" role="img" aria-label={text.home.tasksDone(done(), props.tasks.total)}>
      <Show when={props.tasks.total > 0}>
        <For each={parts()}>
          {(part) => <rect data-phase={part.look} x={`${part.x}%`} width={`${part.width}%`} height="8" />}
        </For>
      </Show>
    </svg>
  );
}

import { createEffect, createMemo, For, Show, type JSX } from "solid-js";
import { dags, home, runs } from "../api/calls";
import type { Attention, Day, Statistics } from "../api/types";
import { NewButton } from "../parts/new";
import { Mark } from "../parts/icons";
import { Progress } from "../parts/bars";
import { Keyed } from "../parts/keyed";
import { Code, Empty, Lacks, Loaded, Notice } from "../parts/states";
import { Ago, At, In, Said, Took } from "../parts/values";
import { createReading } from "../reading";
import { param, to } from "../router";
import { text, percent, number } from "../text";
import { clock, day, zone } from "../time";

const mostRunning = 20;
const mostUpcoming = 10;

/** Concern is a line of what needs attention. */
interface Concern {
  /** It is unique among all lines, and stays the same when they are read again. */
  key: string;
  look: "failed" | "waiting" | "missed" | "invalid";
  label: string;
  name: string;
  href: string;
  of: string;
  reason: string;
  isFailure: boolean;
  message: string;
  since?: string;
  action: { label: string; href: string };
}

/** concerns puts what needs attention in one list: failed, stuck, waiting for a DAG, invalid, missed. */
export function concerns(a: Attention): Concern[] {
  const waiting = new Map<string, typeof a.waiting.items>();
  for (const task of a.waiting.items) {
    const key = `${task.runUID} ${task.reason}`;
    waiting.set(key, [...(waiting.get(key) ?? []), task]);
  }
  return [
    ...a.failed.items.map((run): Concern => {
      const task = run.failedTask, others = run.tasks.failed > 1 ? ` ${text.home.andMore(run.tasks.failed - 1)}` : "";
      const href = to.run(run.uid, task ? { task: task.name } : {});
      return {
        key: run.uid, look: "failed", label: text.phase.failed, name: run.dag, href,
        of: `${run.namespace} · ${text.home.run(run.name)}`, reason: task?.reason ?? run.reason ?? "Failed", isFailure: true,
        message: task ? `${task.name}${others}${task.message ? `: ${task.message}` : ""}` : run.message ?? "",
        ...(run.finishedAt ? { since: run.finishedAt } : {}), action: { label: text.home.openRun, href },
      };
    }),
    ...[...waiting].map(([key, tasks]): Concern => {
      const first = tasks[0] as (typeof tasks)[number];
      const others = tasks.length > 1 ? ` ${text.home.andMore(tasks.length - 1)}` : "";
      return {
        key, look: "waiting", label: text.phase.waiting, name: first.dag, href: to.run(first.runUID, { task: first.task }),
        of: `${first.namespace} · ${text.home.run(first.runName)}`, reason: first.reason, isFailure: false,
        message: `${first.task}${others}${first.message ? `: ${first.message}` : ""}`, since: first.since,
        action: { label: text.home.openRun, href: to.run(first.runUID, { task: first.task }) },
      };
    }),
    ...(a.pending?.items ?? []).map((run): Concern => ({
      key: `pending ${run.uid}`, look: "waiting", label: text.phase.waiting, name: run.dag, href: to.pending(run.namespace, run.name),
      of: `${run.namespace} · ${text.home.run(run.name)}`, reason: run.reason ?? "Pending", isFailure: false,
      message: run.message ?? text.run.notAdmitted, since: run.createdAt,
      action: { label: text.home.openRun, href: to.pending(run.namespace, run.name) },
    })),
    ...(a.invalid?.items ?? []).map((dag): Concern => ({
      key: `${dag.namespace}/${dag.name}`, look: "invalid", label: text.dags.invalid, name: dag.name, href: to.dag(dag.namespace, dag.name),
      of: dag.namespace, reason: "Valid=False", isFailure: true, message: dag.message ?? text.dags.invalidSaid,
      ...(dag.since ? { since: dag.since } : {}),
      action: { label: text.home.openDag, href: to.dag(dag.namespace, dag.name, "definition") },
    })),
    ...a.missed.items.map((tick): Concern => ({
      key: `${tick.namespace}/${tick.dag} ${tick.from}`, look: "missed", label: tick.outcome, name: tick.dag,
      href: to.dag(tick.namespace, tick.dag, "ledger"),
      of: tick.namespace, reason: tick.outcome, isFailure: false,
      message: `${text.home.missed(tick.count)}, ${clock(tick.from)}${tick.to === tick.from ? "" : ` ${text.none} ${clock(tick.to)}`}: ` +
        (text.outcome[tick.outcome] ?? ""), since: tick.decidedAt,
      action: { label: text.home.openLedger, href: to.dag(tick.namespace, tick.dag, "ledger") },
    })),
  ];
}

export default function Home(): JSX.Element {
  const namespace = () => param("namespace");
  const attention = createReading(namespace, (ns, signal) => home.attention(ns, signal), () => true, true);
  const running = createReading(namespace, (ns, signal) =>
    runs.list({ phase: "Live", namespace: ns, limit: mostRunning }, signal), (change) => change.kind === "run");
  const upcoming = createReading(namespace, (ns, signal) => home.upcoming(ns, mostUpcoming, signal), () => true, true);
  const statistics = createReading(
    () => ({ ns: namespace(), zone: zone() }), ({ ns, zone }, signal) => home.statistics(ns, zone, signal),
    (change) => change.kind === "run" && change.phase !== "Running");
  const anyDag = createReading(namespace, (ns, signal) => dags.list({ namespace: ns, limit: 1 }, signal));
  /** isPartial is true if parts of what needs attention are not known. */
  const isPartial = () => {
    const data = attention.data();
    return Boolean(data?.unavailable || [data?.invalid, data?.pending].some((part) => part?.unavailableNamespaces));
  };
  const list = createMemo(() => (attention.data() ? concerns(attention.data() as Attention) : []));
  createEffect(() => {
    const count = list().length;
    document.title = `${count ? `(${count}) ` : ""}${text.shell.title(text.shell.home)}`;
  });
  const isNew = () => anyDag.data()?.items.length === 0 && !anyDag.data()?.unavailableNamespaces && !running.data()?.items.length &&
    statistics.data()?.all.successRate === null;
  return (
    <div class="home">
      <h1 class="sr">{text.shell.home}</h1>
      <Show when={isNew()}>
        <section class="panel welcome">
          <Empty title={text.home.welcome} hint={text.home.welcomeHint}>
            <Code value={"kubectl apply -f manifests/examples/hello.yaml"} />
            <NewButton kind="DAG" />
          </Empty>
        </section>
      </Show>
      <section class="panel attention" aria-labelledby="h-attention">
        <header><h2 id="h-attention">{text.home.attention}</h2><span class="n">{list().length || ""}</span></header>
        <div class="pad lacks">
          <Lacks lists={[attention.data()?.invalid, attention.data()?.pending, upcoming.data()]} />
          <Show when={attention.data()?.unavailable}>{(why) => <Notice title={text.home.unknown} detail={why()} />}</Show>
        </div>
        <Loaded reading={attention}>{(data) => (
          <Show when={list().length} fallback={isPartial() ? undefined :
            <p class="calm"><Mark look="succeeded" /><span><b>{text.home.nothingWrong}.</b> <span class="dim">{text.home.nothingWrongHint}</span></span></p>
          }>
            <ul>
              <Keyed each={list()} by={(concern) => concern.key}>{(concern) => (
                <li>
                  <Mark look={concern().look} label={concern().label} />
                  <div class="what"><a class="row" href={concern().href}>{concern().name}</a> <span>{concern().of}</span></div>
                  <p class="why">
                    <span class="reason" data-phase={concern().isFailure ? "failed" : undefined}>{concern().reason}</span>{" "}
                    <Said text={concern().message} />
                  </p>
                  <span class="since"><Show when={concern().since}>{(since) => <Ago at={since()} />}</Show></span>
                  <a class="btn" href={concern().action.href} tabindex="-1" aria-hidden="true">{concern().action.label}</a>
                </li>
              )}</Keyed>
            </ul>
            <Show when={[data().failed, data().waiting, data().missed].some((part) => part.hasMore)}>
              <p class="pad faint">{text.home.more}</p>
            </Show>
          </Show>
        )}</Loaded>
      </section>

      <section class="panel rows running" aria-labelledby="h-running">
        <header>
          <h2 id="h-running">{text.home.running}</h2><span class="n">{running.data()?.items.length || ""}</span>
          <a class="link faint end" href={to.runs({ namespace: namespace() })}>{text.home.allRuns}</a>
        </header>
        <Loaded reading={running}>{(data) => (
          <Show when={data().items.length} fallback={<p class="pad dim">{text.home.noneRunning}</p>}>
            <ul>
              <Keyed each={data().items} by={(run) => run.uid}>{(run) => (
                <li>
                  <Mark look={run().phase === "Pending" ? "waiting" : "running"} label={run().phase} />
                  <span class="name"><a class="row" href={to.run(run().uid)} title={run().name}>{run().dag}</a></span>
                  <Progress tasks={run().tasks} />
                  <span class="n">{number(run().tasks.total - run().tasks.waiting - run().tasks.ready - run().tasks.active)}/{number(run().tasks.total)}</span>
                  <b class="took"><Took from={run().startedAt ?? run().admittedAt} /></b>
                </li>
              )}</Keyed>
            </ul>
            <Show when={data().next}><p class="pad"><a class="link" href={to.runs({ namespace: namespace(), phase: "Live" })}>{text.home.allRuns}</a></p></Show>
          </Show>
        )}</Loaded>
      </section>

      <section class="panel rows next" aria-labelledby="h-next">
        <header><h2 id="h-next">{text.home.next}</h2></header>
        <Loaded reading={upcoming}>{(data) => (
          <Show when={data().items.length} fallback={<p class="pad dim">{text.home.noneDue}</p>}>
            <ul>
              <Keyed each={data().items} by={(due) => `${due.namespace}/${due.dag} ${due.dueAt}`}>{(due) => (
                <li>
                  <At at={due().dueAt} isDue /><span class="name"><a class="row" href={to.dag(due().namespace, due().dag)}>{due().dag}</a></span>
                  <span class="in faint"><In at={due().dueAt} /></span>
                </li>
              )}</Keyed>
            </ul>
          </Show>
        )}</Loaded>
      </section>

      <section class="panel chart-panel" aria-labelledby="h-rate">
        <header>
          <h2 id="h-rate">{text.home.rate}</h2>
          <Show when={statistics.data()}>{(data) => (
            <Show when={data().all.successRate !== null}>
              <span class="n">{text.home.rateSummary(data().days.length, percent(data().all.successRate ?? 0),
                data().all.succeeded + data().all.failed)}</span>
              <span class="faint end small-no">{text.home.rateLeftOut}</span>
            </Show>
          )}</Show>
        </header>
        <Loaded reading={statistics}>{(data) => (
          <Show when={data().all.successRate !== null} fallback={<p class="pad dim">{text.home.noRuns}</p>}>
            <RateChart statistics={data()} />
          </Show>
        )}</Loaded>
      </section>
    </div>
  );
}

const floors = [0.95, 0.9, 0.75, 0.5, 0];
const top = 16;
const plot = 80;
const below = 118;

/** RateChart has a dot for each day: its success rate, and below the number that failed. A table says the same. */
export function RateChart(props: { statistics: Statistics }): JSX.Element {
  const days = () => props.statistics.days;
  const worst = () => Math.min(1, ...days().map((d) => d.successRate ?? 1));
  const floor = () => floors.find((f) => f <= worst()) ?? 0;
  const y = (rate: number) => top + ((1 - rate) / (1 - floor())) * plot;
  const x = (index: number) => `${((index + 0.5) / days().length) * 100}%`;
  const mostFailed = () => Math.max(1, ...days().map((d) => d.failed));
  const worstDay = () => days().findIndex((d) => d.successRate !== null && d.successRate === worst());
  const title = (d: Day) => text.home.dayTitle(day(d.date), d.succeeded, d.failed, d.cancelled);
  const isLow = (rate: number) => rate < 0.97;
  return (
    <div class="chart">
      <svg class="days" aria-hidden="true">
        <For each={[1, (1 + floor()) / 2, floor()]}>{(rate) => (
          <>
            <line class="grid" x1="0" x2="100%" y1={y(rate)} y2={y(rate)} />
            <text x="-12" y={y(rate) + 4} text-anchor="end">{Math.round(rate * 1000) / 10}{rate === 1 ? " %" : ""}</text>
          </>
        )}</For>
        <line class="grid" x1="0" x2="100%" y1={below} y2={below} />
        <text x="-12" y={below + 10} text-anchor="end">{text.home.failedAxis}</text>
        <For each={days()}>{(d, index) => (
          <g>
            <title>{title(d)}</title>
            <Show when={d.successRate !== null}>
              <Show when={isLow(d.successRate ?? 1)}>
                <line class="stem" x1={x(index())} x2={x(index())} y1={top} y2={y(d.successRate ?? 1)} />
              </Show>
              <circle class={isLow(d.successRate ?? 1) ? "low" : index() === days().length - 1 ? "today" : "rate"}
                cx={x(index())} cy={y(d.successRate ?? 1)} r={isLow(d.successRate ?? 1) ? 4 : 3.5} />
            </Show>
            <Show when={d.failed}>
              <line class="failed" x1={x(index())} x2={x(index())} y1={below}
                y2={below + Math.max(2, (d.failed / mostFailed()) * 28)} />
            </Show>
            <Show when={index() % 7 === (days().length - 1) % 7}>
              <text classList={{ even: index() % 2 === 0 }} x={x(index())} y="172" text-anchor="middle">{day(d.date)}</text>
            </Show>
          </g>
        )}</For>
        <Show when={worst() < 1 && worstDay() >= 0}>
          <text class="label" x={x(worstDay())} dx={worstDay() > days().length / 2 ? -10 : 10} y={y(worst()) + 4}
            text-anchor={worstDay() > days().length / 2 ? "end" : "start"}>
            {text.home.day(day(days()[worstDay()]?.date ?? ""), percent(worst()))}
          </text>
        </Show>
      </svg>
      <div class="sr"><table>
        <caption>{text.home.table}</caption>
        <thead><tr><th>{text.home.days.date}</th><th>{text.home.days.succeeded}</th><th>{text.home.days.failed}</th>
          <th>{text.home.days.cancelled}</th></tr></thead>
        <tbody><For each={days()}>{(d) => <tr><td>{d.date}</td><td>{d.succeeded}</td><td>{d.failed}</td><td>{d.cancelled}</td></tr>}</For></tbody>
      </table></div>
    </div>
  );
}

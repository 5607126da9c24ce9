import { createEffect, createSignal, onCleanup, Show, type JSX } from "solid-js";
import { runs } from "../api/calls";
import type { PendingRun } from "../api/types";
import { Confirm } from "../parts/dialog";
import { Badge } from "../parts/icons";
import { Loaded } from "../parts/states";
import { say, sayProblem } from "../parts/toasts";
import { Ago, Said } from "../parts/values";
import { createReading } from "../reading";
import { go, place, to } from "../router";
import { may } from "../session";
import { text } from "../text";

const askInterval = 1000;

/** Pending is a DagRun by name. When it has been admitted, its run takes this place. */
export default function Pending(): JSX.Element {
  const namespace = place().segments[1] ?? "", name = place().segments[2] ?? "";
  const run = createReading(() => ({}), (_, signal) => runs.byName(namespace, name, signal),
    (change) => change.kind === "run" && change.namespace === namespace);
  createEffect(() => {
    const data = run.data();
    document.title = text.shell.title(name);
    if (data && !("admitted" in data && data.admitted === false)) go(to.run(data.uid), { replace: true });
  });
  // Reading again would abort a reading that takes longer than the interval, so that it never ended.
  const ask = () => document.visibilityState === "visible" && !run.isLoading() && run.refresh();
  const timer = setInterval(ask, askInterval);
  onCleanup(() => clearInterval(timer));
  return (
    <Loaded reading={run} rows={3}>{(data) => (
      <Show when={"admitted" in data() && !(data() as PendingRun).admitted}>
        <Waiting run={data() as PendingRun} />
      </Show>
    )}</Loaded>
  );
}

function Waiting(props: { run: PendingRun }): JSX.Element {
  const [asks, setAsks] = createSignal(false);
  const remove = async () => {
    try {
      await runs.removePending(props.run.namespace, props.run.name);
      say(text.run.removed);
      go(to.runs({ namespace: props.run.namespace }), { replace: true });
    } catch (error) {
      sayProblem(error);
    }
  };
  return (
    <>
      <div class="head">
        <h1><span class="of"><a href={to.dags({ namespace: props.run.namespace })}>{props.run.namespace}</a> / <a href={to.dag(props.run.namespace, props.run.dag)}>{props.run.dag}</a> / </span>{props.run.name}</h1>
        <Badge look="waiting" />
        <Show when={may(props.run.namespace, "editor")}>
          <div class="actions"><button class="btn" type="button" onClick={() => setAsks(true)}>{text.run.remove}</button></div>
        </Show>
      </div>
      <div class="notice before-list" role="status">
        <div>
          <h2>{text.run.notAdmitted}</h2>
          <p><Show when={props.run.reason}><span class="reason">{props.run.reason}</span> </Show><Said text={props.run.message} /></p>
          <p class="faint"><Ago at={props.run.createdAt} suffix /></p>
        </div>
      </div>
      <Show when={asks()}>
        <Confirm title={text.run.confirmRemove(props.run.name)} hint={text.runs.confirmRemoveHint} action={text.run.remove} isDanger
          close={() => setAsks(false)} confirm={() => void remove()} />
      </Show>
    </>
  );
}

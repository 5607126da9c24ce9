import { createEffect, createMemo, For, Show, type JSX } from "solid-js";
import { dagTasks } from "../api/calls";
import { Icon, Mark } from "../parts/icons";
import { NewButton } from "../parts/new";
import { Keyed } from "../parts/keyed";
import { Pager } from "../parts/pager";
import { RemoveButton } from "../parts/remove";
import { CopyButton, Empty, Lacks, Loaded } from "../parts/states";
import { Ago } from "../parts/values";
import { createReading } from "../reading";
import { go, param, place, to } from "../router";
import { may } from "../session";
import { text } from "../text";
import { toYAML } from "../yaml";

export default function DagTasks(): JSX.Element {
  return (
    <Show when={place().segments[2]} fallback={<List />} keyed>
      {(name) => <One namespace={place().segments[1] ?? ""} name={name} />}
    </Show>
  );
}

function List(): JSX.Element {
  const list = createReading(() => ({ namespace: param("namespace"), cursor: param("cursor") }),
    ({ namespace, cursor }, signal) => dagTasks.list(namespace, { cursor, limit: 50 }, signal), (change) => change.kind === "dagtask", true);
  createEffect(() => (document.title = text.shell.title(text.dagTasks.title)));
  return (
    <>
      <div class="head"><h1>{text.dagTasks.title}</h1><NewButton kind="DagTask" /></div>
      <Lacks lists={[list.data()]} />
      <Loaded reading={list}>{(page) => (
        <Show when={page().items.length} fallback={
          <Show when={!page().unavailableNamespaces}>
            <Empty title={text.dagTasks.none} hint={text.dagTasks.noneHint}><NewButton kind="DagTask" /></Empty>
          </Show>
        }>
          <div class="panel below-head">
            <table class="table">
              <thead><tr><th>{text.dagTasks.name}</th><th class="mid">{text.dagTasks.managedBy}</th><th>{text.dagTasks.created}</th></tr></thead>
              <tbody><Keyed each={page().items} by={(task) => `${task.namespace}/${task.name}`}>{(task) => (
                <tr>
                  <td><span class="of">{task().namespace} / </span><a class="row" href={to.dagTask(task().namespace, task().name)}>{task().name}</a>
                    <Show when={task().valid === false}><small class="said block"><Mark look="invalid" label={text.dags.invalid} />{task().message}</small></Show></td>
                  <td class="mid"><span class="lock"><Show when={task().readOnly}><Icon name="lock" /></Show>{task().manager}</span></td>
                  <td class="faint"><Ago at={task().createdAt} suffix /></td>
                </tr>
              )}</Keyed></tbody>
            </table>
          </div>
          <Pager page={page()} newer={text.dags.before} older={text.dags.more} />
        </Show>
      )}</Loaded>
    </>
  );
}

function One(props: { namespace: string; name: string }): JSX.Element {
  const concerns = (change: { namespace: string; kind: string }) => change.namespace === props.namespace && change.kind !== "run";
  const task = createReading(() => ({}), (_, signal) => dagTasks.one(props.namespace, props.name, signal), concerns, true);
  const users = createReading(() => ({}), (_, signal) => dagTasks.users(props.namespace, props.name, signal), concerns);
  createEffect(() => (document.title = text.shell.title(props.name)));
  return (
    <>
      <div class="head"><h1><span class="of"><a href={to.dagTasks({ namespace: props.namespace })}>{props.namespace}</a> / </span>{props.name}</h1>
        <Show when={may(props.namespace, "editor") && task.data()}>
          <div class="actions">
            <a class="btn" href={to.create("DagTask", { namespace: props.namespace, from: `copy ${props.namespace}/${props.name}` })}>{text.create.copy}</a>
            <RemoveButton kind="DagTask" namespace={props.namespace} name={props.name} done={() => go(to.dagTasks({ namespace: props.namespace }))}>
              <Show when={users.data()?.items.length}>
                <div class="dim"><p>{text.remove.users}</p><ul class="plain-list"><For each={users.data()?.items}>{(dag) => <li>{dag.name}</li>}</For></ul></div>
              </Show>
            </RemoveButton>
            <a class="btn primary" href={to.edit("DagTask", props.namespace, props.name)}>{text.dag.definition.edit}</a>
          </div>
        </Show>
      </div>
      <Loaded reading={task}>{(data) => {
        const yaml = createMemo(() => { const { status: _, ...rest } = data().manifest; return toYAML(rest); });
        return (
          <div class="with-side below-head">
            <section class="panel">
              <header><h2>{text.dagTasks.manifest}</h2><span class="end" /><CopyButton value={yaml()} label={text.dag.definition.copy} /></header>
              <pre class="code flat" tabindex="0">{yaml()}</pre>
            </section>
            <aside class="panel side"><div>
              <h2>{text.dagTasks.users}</h2>
              <Loaded reading={users} rows={2}>{(list) => (
                <Show when={list().items.length} fallback={<p class="dim">{text.dagTasks.noUsers}</p>}>
                  <ul><For each={list().items}>{(dag) => <li><a class="link" href={to.dag(dag.namespace, dag.name)}>{dag.name}</a></li>}</For></ul>
                </Show>
              )}</Loaded>
            </div></aside>
          </div>
        );
      }}</Loaded>
    </>
  );
}

import { createEffect, createSignal, For, Show, type JSX } from "solid-js";
import { createAction } from "../action";
import { session, tokens } from "../api/calls";
import { Problem } from "../api/problem";
import type { Grant, Token } from "../api/types";
import { Confirm } from "../parts/dialog";
import { accessText, GrantFields } from "../parts/grants";
import { Code, Loaded, ProblemNotice } from "../parts/states";
import { say, sayProblem } from "../parts/toasts";
import { Ago, At } from "../parts/values";
import { createReading } from "../reading";
import { me, signOut } from "../session";
import { nextTheme, theme } from "../theme";
import { text } from "../text";
import { toggleZone, zone } from "../time";
import { createTyped } from "../typed";

const lifetimes = [7, 30, 90, 365];

export default function Account(): JSX.Element {
  createEffect(() => (document.title = text.shell.title(text.account.title)));
  return (
    <div class="settings">
      <div class="head">
        <h1>{me().name}</h1>
        <div class="actions">
          <button class="btn small-only" type="button" onClick={toggleZone}>{zone()}</button>
          <button class="btn small-only" type="button" onClick={nextTheme}>{text.shell.themes[theme()]}</button>
          <button class="btn" type="button" onClick={() => void signOut().catch((error: unknown) => sayProblem(error))}>{text.account.signOut}</button>
        </div>
      </div>
      <section class="panel">
        <header><h2>{text.account.roles}</h2></header>
        <div class="pad">
          <Show when={me().admin}><p><b>{text.users.admin}.</b> <span class="dim">{text.account.adminHint}</span></p></Show>
          <Show when={me().grants.length} fallback={<Show when={!me().admin}><p class="dim">{text.account.noRoles}</p></Show>}>
            <dl class="facts"><For each={me().grants}>{(grant) => <><dt>{grant.namespace === "*" ? text.account.allNamespaces : grant.namespace}</dt><dd>{grant.role}</dd></>}</For></dl>
          </Show>
        </div>
      </section>
      <Password />
      <Tokens />
    </div>
  );
}

function Password(): JSX.Element {
  const [problem, setProblem] = createSignal<Problem>();
  const [change, isChanging] = createAction(async (form: HTMLFormElement) => {
    const values = new FormData(form);
    setProblem(undefined);
    try {
      await session.changePassword(String(values.get("current")), String(values.get("next")));
      form.reset();
      say(text.account.changed);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    }
  });
  return (
    <section class="panel">
      <header><h2>{text.account.password}</h2></header>
      <form class="pad form-row" onSubmit={(event) => { event.preventDefault(); void change(event.currentTarget); }}>
        <input type="text" name="user" autocomplete="username" value={me().name} hidden readOnly />
        <label class="field">{text.account.current}<input class="input" type="password" name="current" autocomplete="current-password" required /></label>
        <label class="field">{text.account.next}<input class="input" type="password" name="next" autocomplete="new-password" minlength="12" required aria-describedby="minimum" /></label>
        <button class="btn" type="submit" disabled={isChanging()}>{text.account.change}</button>
        <p class="hint" id="minimum">{text.account.minimum}</p>
        <Show when={problem()}>{(shown) => <ProblemNotice problem={shown()} isWrite />}</Show>
      </form>
    </section>
  );
}

/** initialToken is a new token unless the form is changed. It may do what the user may, but never administration. */
const initialToken = (): { name: string; days: number; admin: boolean; grants: Grant[] } => ({
  name: "", days: 90, admin: false,
  grants: me().grants.length ? me().grants.map((grant) => ({ ...grant })) : [{ namespace: "*", role: "viewer" }],
});

function Tokens(): JSX.Element {
  const list = createReading(() => ({}), (_, signal) => tokens.list(signal));
  const [form, setForm] = createTyped("token", initialToken());
  const [made, setMade] = createSignal("");
  const [problem, setProblem] = createSignal<Problem>();
  const [asked, setAsked] = createSignal<Token>();
  const [create, isCreating] = createAction(async () => {
    setProblem(undefined);
    try {
      const expires = new Date(Date.now() + form.days * 86_400_000).toISOString();
      const token = await tokens.create(form.name, expires, form.admin, form.grants);
      setMade(token.token);
      setForm(initialToken());
      list.refresh();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      if (error.isOutcomeUnknown) list.refresh();
    }
  });
  const remove = async (token: Token) => {
    try {
      await tokens.remove(token.id);
    } catch (error) {
      sayProblem(error);
    }
    list.refresh();
  };
  const isExpired = (token: Token) => Date.parse(token.expiresAt) < Date.now();
  return (
    <section class="panel">
      <header><h2>{text.account.tokens}</h2></header>
      <form class="pad form-row" onSubmit={(event) => { event.preventDefault(); void create(); }}>
        <label class="field">{text.account.tokenName}<input class="input" maxlength="63" required value={form.name} onInput={(event) => setForm("name", event.currentTarget.value)} /></label>
        <label class="field">{text.account.days}
          <select class="input" onChange={(event) => setForm("days", Number(event.currentTarget.value))}>
            <For each={lifetimes}>{(days) => <option value={days} selected={days === form.days}>{text.account.dayCount(days)}</option>}</For>
          </select>
        </label>
        <div class="rights">
          <GrantFields grants={form.grants} change={(index, grant) => setForm("grants", index, grant)}
            remove={(index) => setForm("grants", form.grants.filter((_, at) => at !== index))}
            add={() => setForm("grants", form.grants.length, { namespace: "", role: "viewer" })} />
        </div>
        <Show when={me().admin}>
          <label><input type="checkbox" checked={form.admin}
            onChange={(event) => setForm("admin", event.currentTarget.checked)} /> {text.users.admin}</label>
        </Show>
        <button class="btn" type="submit" disabled={isCreating()}>{text.account.create}</button>
        <p class="hint">{text.account.tokenRights}</p>
        <Show when={problem()}>{(shown) => <ProblemNotice problem={shown()} isWrite />}</Show>
      </form>
      <Show when={made()}><div class="pad" role="status"><p><b>{text.account.shownOnce}</b></p><Code value={made()} /></div></Show>
      <Loaded reading={list} rows={2}>{(data) => (
        <Show when={data().items.length} fallback={<p class="pad dim">{text.account.noTokens}</p>}>
          <table class="table">
            <thead><tr><th>{text.account.tokenName}</th><th>{text.account.roles}</th><th>{text.account.expires}</th><th class="mid">{text.account.created}</th><th><span class="sr">{text.dags.actions}</span></th></tr></thead>
            <tbody><For each={data().items}>{(token) => (
              <tr>
                <td class="wrap">{token.name}</td>
                <td class="wrap">{accessText(token) || <span class="faint">{text.users.none}</span>}</td>
                <td><Show when={!isExpired(token)} fallback={<span class="faint">{text.account.expired}</span>}><At at={token.expiresAt} /></Show></td>
                <td class="mid faint"><Ago at={token.createdAt} suffix /></td>
                <td class="num"><button class="btn" type="button" onClick={() => setAsked(token)}>{text.account.remove}</button></td>
              </tr>
            )}</For></tbody>
          </table>
        </Show>
      )}</Loaded>
      <Show when={asked()} keyed>{(token) => (
        <Confirm title={text.account.confirmRemove(token.name)} hint={text.account.confirmRemoveHint} action={text.account.remove} isDanger
          close={() => setAsked(undefined)} confirm={() => void remove(token)} />
      )}</Show>
    </section>
  );
}

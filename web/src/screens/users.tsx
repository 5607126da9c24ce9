import { createEffect, createSignal, For, Show, type JSX } from "solid-js";
import { createAction } from "../action";
import { users } from "../api/calls";
import { Problem } from "../api/problem";
import type { Grant, User } from "../api/types";
import { draftsBelow } from "../drafts";
import { Confirm, Dialog } from "../parts/dialog";
import { accessText, GrantFields } from "../parts/grants";
import { Icon } from "../parts/icons";
import { Pager } from "../parts/pager";
import { Empty, Loaded, ProblemNotice } from "../parts/states";
import { say, sayProblem } from "../parts/toasts";
import { Ago } from "../parts/values";
import { createReading } from "../reading";
import { param } from "../router";
import { me } from "../session";
import { text } from "../text";
import { createTyped, typedAt } from "../typed";

export default function Users(): JSX.Element {
  createEffect(() => (document.title = text.shell.title(text.users.title)));
  return <Show when={me().admin} fallback={<Empty title={text.users.forbidden} />}><List /></Show>;
}

/** UserForm is the dialog of a user, or of a new one, without the password. */
interface UserForm {
  of: User | null;
  name: string;
  admin: boolean;
  disabled: boolean;
  grants: Grant[];
}

const draftPrefix = "user ";

/** unfinished is whose dialog was filled in when the session ended. */
function unfinished(): User | "new" | undefined {
  const [key] = draftsBelow(draftPrefix);
  return key === undefined ? undefined : typedAt<UserForm>(key)?.of ?? "new";
}

function List(): JSX.Element {
  const list = createReading(() => ({ cursor: param("cursor"), limit: 50 }), (query, signal) => users.list(query, signal));
  const [edited, setEdited] = createSignal(unfinished());
  const [asked, setAsked] = createSignal<User>();
  const remove = async (user: User) => {
    try {
      await users.remove(user.name);
    } catch (error) {
      sayProblem(error);
    }
    list.refresh();
  };
  return (
    <>
      <div class="head">
        <h1>{text.users.title}</h1>
        <div class="actions"><button class="btn primary" type="button" onClick={() => setEdited("new")}><Icon name="plus" />{text.users.add}</button></div>
      </div>
      <Loaded reading={list}>{(page) => (
        <>
          <div class="panel below-head">
            <table class="table">
              <thead><tr><th>{text.users.name}</th><th>{text.users.roles}</th><th class="mid">{text.users.created}</th><th><span class="sr">{text.dags.actions}</span></th></tr></thead>
              <tbody><For each={page().items}>{(user) => (
                <tr>
                  <td class="wrap"><b>{user.name}</b><Show when={user.disabled}> <span class="faint">{text.users.disabled}</span></Show></td>
                  <td class="wrap">{accessText(user) || <span class="faint">{text.users.none}</span>}</td>
                  <td class="mid faint"><Ago at={user.createdAt} suffix /></td>
                  <td class="num">
                    <button class="btn" type="button" aria-label={`${text.users.edit} ${user.name}`} onClick={() => setEdited(user)}>{text.users.edit}</button>{" "}
                    <button class="btn small-no" type="button" aria-label={`${text.users.remove} ${user.name}`} onClick={() => setAsked(user)}>{text.users.remove}</button>
                  </td>
                </tr>
              )}</For></tbody>
            </table>
          </div>
          <Pager page={page()} newer={text.dags.before} older={text.dags.more} />
        </>
      )}</Loaded>
      <Show when={edited()} keyed>{(user) => (
        <Edit user={user === "new" ? undefined : user} close={() => setEdited(undefined)} saved={list.refresh} />
      )}</Show>
      <Show when={asked()} keyed>{(user) => (
        <Confirm title={text.users.confirmRemove(user.name)} hint={text.users.confirmRemoveHint} action={text.users.remove} isDanger
          close={() => setAsked(undefined)} confirm={() => void remove(user)} />
      )}</Show>
    </>
  );
}

function Edit(props: { user: User | undefined; close: () => void; saved: () => void }): JSX.Element {
  const user = props.user;
  const [form, setForm] = createTyped<UserForm>(draftPrefix + (user?.name ?? ""), {
    of: user ? { ...user } : null, name: user?.name ?? "", admin: user?.admin ?? false, disabled: user?.disabled ?? false,
    grants: (user?.grants ?? []).map((grant) => ({ ...grant })),
  });
  const [password, setPassword] = createSignal("");
  const [problem, setProblem] = createSignal<Problem>();
  let lacksPassword = false; // Everything else is saved.
  const advice = () =>
    !lacksPassword ? undefined : problem()?.isOutcomeUnknown ? text.users.unknownPassword : text.users.noPassword;
  const [save, isSaving] = createAction(async () => {
    setProblem(undefined);
    lacksPassword = false;
    const access = { admin: form.admin, grants: form.grants.filter((grant) => grant.namespace) };
    try {
      if (form.of) {
        setForm("of", await users.update(form.of.name, form.of.generation, { ...access, disabled: form.disabled }));
        props.saved();
        lacksPassword = true;
        if (password()) await users.setPassword(form.name, password());
      } else {
        await users.create({ name: form.name, password: password(), ...access });
        props.saved();
      }
      say(text.users.saved(form.name));
      props.close();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      if (error.kind === "precondition-failed" || error.isOutcomeUnknown) props.saved();
    }
  });
  return (
    <Dialog title={props.user ? props.user.name : text.users.add} close={props.close}>
      <form class="stack" onSubmit={(event) => { event.preventDefault(); void save(); }}>
        <Show when={!props.user}>
          <label class="field">{text.users.name}<input class="input" autocomplete="off" required value={form.name} onInput={(event) => setForm("name", event.currentTarget.value)} /></label>
        </Show>
        <label class="field">{props.user ? text.users.setPassword : text.users.password}
          <input class="input" type="password" autocomplete="new-password" minlength="12" required={!props.user} onInput={(event) => setPassword(event.currentTarget.value)} />
        </label>
        <label><input type="checkbox" checked={form.admin} onChange={(event) => setForm("admin", event.currentTarget.checked)} /> {text.users.admin}</label>
        <Show when={props.user}>
          <label><input type="checkbox" checked={form.disabled} onChange={(event) => setForm("disabled", event.currentTarget.checked)} /> {text.users.disabled}</label>
        </Show>
        <GrantFields grants={form.grants} change={(index, grant) => setForm("grants", index, grant)}
          remove={(index) => setForm("grants", form.grants.filter((_, at) => at !== index))}
          add={() => setForm("grants", form.grants.length, { namespace: "", role: "viewer" })} />
        <Show when={problem()}>{(shown) => <><ProblemNotice problem={shown()} isWrite advice={advice()} /><Show when={shown().kind === "precondition-failed"}><p>{text.users.conflict}</p></Show></>}</Show>
        <div class="dialog-actions">
          <button class="btn" type="button" onClick={() => props.close()}>{text.users.cancel}</button>
          <button class="btn primary" type="submit" disabled={isSaving()}>{text.users.save}</button>
        </div>
      </form>
    </Dialog>
  );
}

import {
  createEffect, createMemo, createSignal, ErrorBoundary, lazy, Match, on, onCleanup, onMount, Show, Suspense, Switch, For,
  type JSX,
} from "solid-js";
import { home } from "./api/calls";
import { moveRow, useKeys } from "./keys";
import * as live from "./live";
import { Icon, Sprite } from "./parts/icons";
import { Dialog } from "./parts/dialog";
import { Search } from "./parts/search";
import { ProblemNotice, Skeleton } from "./parts/states";
import { Toasts } from "./parts/toasts";
import { createReading } from "./reading";
import { go, param, place, setParams, to } from "./router";
import { me, mayAnywhere, restore, state } from "./session";
import { SignIn } from "./screens/signin";
import { nextTheme, theme } from "./theme";
import { ownZone, toggleZone, zone, zoneName } from "./time";
import { text } from "./text";

const screens = {
  home: lazy(() => import("./screens/home")),
  dags: lazy(() => import("./screens/dags")),
  dag: lazy(() => import("./screens/dag")),
  trigger: lazy(() => import("./screens/trigger")),
  edit: lazy(() => import("./screens/edit")),
  new: lazy(() => import("./screens/new")),
  runs: lazy(() => import("./screens/runs")),
  run: lazy(() => import("./screens/run")),
  pending: lazy(() => import("./screens/pending")),
  log: lazy(() => import("./screens/log")),
  dagTasks: lazy(() => import("./screens/dagtasks")),
  account: lazy(() => import("./screens/account")),
  users: lazy(() => import("./screens/users")),
};

/** Screen is the screen of the place. A place that is another object gets a new screen. */
function Screen(): JSX.Element {
  const name = (): keyof typeof screens | undefined => {
    const [first, second, third, fourth] = place().segments;
    if ((first === "dags" || first === "dagtasks") && second === "new" && !third) return "new";
    switch (first) {
      case undefined: return "home";
      case "dags": return fourth === "trigger" ? "trigger" : fourth === "edit" ? "edit" : third ? "dag" : "dags";
      case "runs": return third === "log" ? "log" : place().segments[1] ? "run" : "runs";
      case "pending": return "pending";
      case "dagtasks": return fourth === "edit" ? "edit" : "dagTasks";
      case "account": return "account";
      case "users": return "users";
      default: return undefined;
    }
  };
  const key = createMemo(() => {
    const segments = place().segments;
    const length = name() === "dag" ? 3 : name() === "log" ? 4 : segments.length;
    return `${name()} ${JSON.stringify(segments.slice(0, length))}`;
  });
  return (
    <Show when={key()} keyed>
      {(_key) => {
        const found = name();
        const Found = found && screens[found];
        return Found ? <Found /> : <NoScreen />;
      }}
    </Show>
  );
}

function NoScreen(): JSX.Element {
  return <div class="empty"><h2>{text.shell.noScreen}</h2><a class="btn" href={to.home()}>{text.shell.toHome}</a></div>;
}

/** App is the page: the form to sign in, or the shell with a screen. */
export function App(): JSX.Element {
  const unreachable = () => {
    const now = state();
    return now.is === "unreachable" ? now.problem : undefined;
  };
  return (
    <>
      <Sprite />
      <ErrorBoundary fallback={(error: unknown) => <Crash error={error} />}>
        <Switch>
          <Match when={state().is === "unknown"}><main id="main" class="alone"><Skeleton rows={3} /></main></Match>
          <Match when={unreachable()}>{(problem) => (
            <main id="main" class="alone"><ProblemNotice problem={problem()} retry={() => void restore()} /></main>
          )}</Match>
          <Match when={state().is === "signed-out"}><SignIn /></Match>
          <Match when={state().is === "signed-in"}><Shell /></Match>
        </Switch>
      </ErrorBoundary>
      <Toasts />
    </>
  );
}

function Crash(props: { error: unknown }): JSX.Element {
  console.error(props.error);
  return (
    <main id="main" class="alone">
      <div class="notice" data-phase="failed" role="alert">
        <div>
          <h1>{text.problem.crash}</h1>
          <p>{text.problem.crashAdvice}</p>
          <p class="id">{String(props.error)}</p>
          <button class="btn" type="button" onClick={() => location.reload()}>{text.problem.reload}</button>
        </div>
      </div>
    </main>
  );
}

function Shell(): JSX.Element {
  const [showsKeys, setShowsKeys] = createSignal(false);
  onMount(() => onCleanup(live.start()));
  const namespace = () => param("namespace");
  useKeys({
    "g h": () => go(to.home(namespace())),
    "g d": () => go(to.dags({ namespace: namespace() })),
    "g r": () => go(to.runs({ namespace: namespace() })),
    "g t": () => go(to.dagTasks({ namespace: namespace() })),
    j: () => moveRow(1),
    k: () => moveRow(-1),
    "?": () => setShowsKeys(true),
  });
  // A screen that was opened begins at its top, and screen readers begin with it.
  createEffect(on(() => place().segments.join("/"), () => {
    window.scrollTo(0, 0);
    document.title = text.product;
    // What had the focus is gone with the screen before. Without this, the next Tab would begin anywhere.
    if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
  }, { defer: true }));
  return (
    <div class="app">
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>
        {text.shell.skip}
      </a>
      <header class="top">
        <a class="logo" href={to.home()}>
          <svg viewBox="0 0 20 20" aria-hidden="true">
            <path d="M4 2v16M4 10l11-6M4 10l11 6" /><circle cx="15.5" cy="3.7" r="2.3" /><circle cx="15.5" cy="16.3" r="2.3" />
          </svg>
          <span class="tiny-no">{text.product}</span>
        </a>
        <NamespaceChoice />
        <Search />
        <span class="live small-no" classList={{ stale: !live.isLive() }}
          title={live.isLive() ? text.shell.liveTitle : text.shell.staleTitle}>
          {live.isLive() ? text.shell.live : text.shell.stale}
        </span>
        <button class="btn quiet small-no" type="button" onClick={toggleZone}
          title={text.shell.zoneTitle(zone(), zone() === "UTC" ? ownZone : "UTC")}>{zoneName()}</button>
        <button class="btn quiet icon small-no" type="button" aria-label={`${text.shell.theme}: ${text.shell.themes[theme()]}`}
          title={`${text.shell.theme}: ${text.shell.themes[theme()]}`} onClick={nextTheme}><Icon name="theme" /></button>
        <button class="btn quiet icon small-no" type="button" aria-label={text.shell.keys} title={text.shell.keysTitle}
          onClick={() => setShowsKeys(true)}>?</button>
        <a class="btn quiet" href={to.account()}>{me().name}
          <span class="faint small-no">{me().admin ? text.shell.admin : roleName()}</span></a>
      </header>
      <Navigation namespace={namespace()} />
      <main class="main" id="main" tabindex="-1">
        <ErrorBoundary fallback={(error: unknown) => <Crash error={error} />}>
          <Suspense fallback={<Skeleton />}><Screen /></Suspense>
        </ErrorBoundary>
      </main>
      <Show when={showsKeys()}>
        <Dialog title={text.shell.keys} close={() => setShowsKeys(false)}>
          <dl class="facts keys">
            <For each={text.keys}>{([keys, what]) => <><dt><For each={keys.split(" ")}>{(key) => <kbd>{key}</kbd>}</For></dt><dd>{what}</dd></>}</For>
          </dl>
        </Dialog>
      </Show>
    </div>
  );
}

/** roleName is the highest role of the user anywhere. */
function roleName(): string {
  return (["editor", "operator", "viewer"] as const).find((role) => mayAnywhere(role)) ?? "";
}

function Navigation(props: { namespace: string }): JSX.Element {
  const attention = createReading(() => props.namespace, (namespace, signal) => home.attention(namespace, signal), () => true);
  const count = () => {
    const data = attention.data();
    if (!data) return 0;
    return [data.failed, data.waiting, data.missed, data.invalid, data.pending]
      .reduce((sum, list) => sum + (list?.items.length ?? 0), 0);
  };
  const at = () => place().segments[0] ?? "";
  const current = (name: string) => (at() === name ? "page" as const : undefined);
  return (
    <nav class="nav" aria-label={text.shell.main}>
      <a href={to.home(props.namespace)} aria-current={current("")}>
        <Icon name="home" />{text.shell.home}
        <Show when={count() > 0}>
          <span class="count">{count()}<span class="sr"> {text.shell.needAttention}</span></span>
        </Show>
      </a>
      <a href={to.dags({ namespace: props.namespace })} aria-current={current("dags")}><Icon name="dags" />{text.shell.dags}</a>
      <a href={to.runs({ namespace: props.namespace })} aria-current={current("runs")}><Icon name="runs" />{text.shell.runs}</a>
      <a href={to.dagTasks({ namespace: props.namespace })} aria-current={current("dagtasks")}>
        <Icon name="tasks" />{text.shell.dagTasks}
      </a>
      <Show when={me().admin}>
        <a href={to.users()} aria-current={current("users")}><Icon name="users" />{text.shell.users}</a>
      </Show>
    </nav>
  );
}

/** NamespaceChoice narrows the lists to a namespace. It is a parameter of their addresses. */
function NamespaceChoice(): JSX.Element {
  const lists = () => ["", "dags", "runs", "dagtasks"].includes(place().segments[0] ?? "") && place().segments.length < 2;
  const namespaces = createReading(() => ({}), (_, signal) => home.namespaces(signal), (change) => change.kind === "dag");
  const names = () => {
    const known = namespaces.data()?.items.map((item) => item.name) ??
      me().grants.map((grant) => grant.namespace).filter((name) => name !== "*");
    return [...new Set([...known, param("namespace")])].filter(Boolean).sort();
  };
  return (
    <Show when={lists()}>
      <select class="choice" aria-label={text.shell.namespace}
        onChange={(event) => setParams({ namespace: event.currentTarget.value, cursor: "" }, {})}>
        <option value="" selected={!param("namespace")}>{text.shell.allNamespaces}</option>
        <For each={names()}>{(name) => <option value={name} selected={name === param("namespace")}>{name}</option>}</For>
      </select>
    </Show>
  );
}

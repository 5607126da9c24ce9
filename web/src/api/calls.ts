import { call, path, read, startOnce, type Query } from "./client";
import type {
  Attempt, Attention, Created, DAG, DAGDetail, DagTask, DagTaskDetail, Diff, Grant, Grid, Manifest, Me, Namespace, Page,
  ParameterValue, PendingRun, PodEvent, Run, RunAttempts, RunDetail, RunGraph, Some, Statistics, Task, Tick, Token, Upcoming,
  User, Version, Written,
} from "./types";

/** scoped returns the path of a list of a namespace, or of all if it is empty. */
function scoped(namespace: string, list: string): string {
  return namespace ? path("namespaces", namespace, list) : list;
}

const dagPath = (namespace: string, name: string, ...more: (string | number)[]) =>
  path("namespaces", namespace, "dags", name, ...more);

/** manifests has the calls that write objects of a kind, as YAML. */
function manifests(resource: "dags" | "dagtasks") {
  const of = (namespace: string, ...more: string[]) => path("namespaces", namespace, resource, ...more);
  return {
    validate: (namespace: string, yaml: string, signal?: AbortSignal) =>
      call<{ valid: true; warnings: string[] }>("POST", of(namespace, "validate"), { yaml, ...(signal ? { signal } : {}) }),
    create: (namespace: string, yaml: string) => call<Written>("POST", of(namespace), { yaml }),
    update: (namespace: string, name: string, generation: number, yaml: string, isForced: boolean) =>
      call<Written>("PUT", of(namespace, name), {
        yaml, query: { force: isForced || undefined }, headers: { "If-Match": `"${generation}"` },
      }),
    remove: (namespace: string, name: string) => call<void>("DELETE", of(namespace, name)),
  };
}

export const session = {
  me: (signal?: AbortSignal) => read<{ user: Me; expiresAt: string }>("auth/me", {}, signal),
  login: (user: string, password: string) =>
    call<{ user: Me; expiresAt: string }>("POST", "auth/login", { json: { user, password, cookie: true } }),
  logout: () => call<void>("POST", "auth/logout"),
  changePassword: (currentPassword: string, newPassword: string) =>
    call<void>("PUT", "auth/password", { json: { currentPassword, newPassword } }),
};

export const tokens = {
  list: (signal?: AbortSignal) => read<{ items: Token[] }>("auth/tokens", {}, signal),
  create: (name: string, expiresAt: string, admin: boolean, grants: Grant[]) =>
    call<Token & { token: string }>("POST", "auth/tokens", { json: { name, expiresAt, admin, grants } }),
  remove: (id: number) => call<void>("DELETE", path("auth", "tokens", id)),
};

export const users = {
  list: (query: Query, signal?: AbortSignal) => read<Page<User>>("users", query, signal),
  create: (user: { name: string; password: string; admin: boolean; grants: Grant[] }) =>
    call<User>("POST", "users", { json: user }),
  update: (name: string, generation: number, change: { admin: boolean; grants: Grant[]; disabled: boolean }) =>
    call<User>("PUT", path("users", name), { json: change, headers: { "If-Match": `"${generation}"` } }),
  remove: (name: string) => call<void>("DELETE", path("users", name)),
  setPassword: (name: string, password: string) =>
    call<void>("PUT", path("users", name, "password"), { json: { password } }),
};

export const home = {
  attention: (namespace: string, signal?: AbortSignal) => read<Attention>(scoped(namespace, "attention"), {}, signal),
  upcoming: (namespace: string, limit: number, signal?: AbortSignal) =>
    read<Page<Upcoming>>(scoped(namespace, "upcoming"), { limit }, signal),
  statistics: (namespace: string, zone: string, signal?: AbortSignal) =>
    read<Statistics>(scoped(namespace, "statistics"), { zone }, signal),
  namespaces: (signal?: AbortSignal) => read<{ items: Namespace[] }>("namespaces", {}, signal),
};

export const dags = {
  list: (query: Query, signal?: AbortSignal) => read<Page<DAG>>("dags", query, signal),
  one: (namespace: string, name: string, signal?: AbortSignal) => read<DAGDetail>(dagPath(namespace, name), {}, signal),
  versions: (namespace: string, name: string, query: Query, signal?: AbortSignal) =>
    read<Page<Version>>(dagPath(namespace, name, "versions"), query, signal),
  version: (namespace: string, name: string, version: number, signal?: AbortSignal) =>
    read<Version>(dagPath(namespace, name, "versions", version), {}, signal),
  /** Without from it compares with the version before. */
  diff: (namespace: string, name: string, from: number | undefined, to: number, signal?: AbortSignal) =>
    read<Diff>(dagPath(namespace, name, "diff"), { from, to }, signal),
  ticks: (namespace: string, name: string, query: Query, signal?: AbortSignal) =>
    read<Page<Tick>>(dagPath(namespace, name, "ticks"), query, signal),
  grid: (namespace: string, name: string, runs: number, signal?: AbortSignal) =>
    read<Grid>(dagPath(namespace, name, "grid"), { runs }, signal),
  statistics: (namespace: string, name: string, zone: string, signal?: AbortSignal) =>
    read<Statistics>(dagPath(namespace, name, "statistics"), { zone }, signal),
  suspend: (namespace: string, name: string) => call<Written>("POST", dagPath(namespace, name, "suspend")),
  resume: (namespace: string, name: string) => call<Written>("POST", dagPath(namespace, name, "resume")),
  /** It is safe to repeat: until its outcome is known, each try of this tab with the same parameters starts one run. */
  trigger: (namespace: string, name: string, parameters: ParameterValue[]) =>
    startOnce(`trigger ${namespace}/${name} ${JSON.stringify(parameters)}`, (key) =>
      call<Created>("POST", dagPath(namespace, name, "runs"), {
        json: parameters.length ? { parameters } : {}, headers: { "Idempotency-Key": key },
      })),
  /** It asks what trigger would answer, and starts nothing. */
  checkTrigger: (namespace: string, name: string, parameters: ParameterValue[], signal: AbortSignal) =>
    call<void>("POST", dagPath(namespace, name, "runs"), { query: { dryRun: true }, json: { parameters }, signal }),
  ...manifests("dags"),
};

export const dagTasks = {
  ...manifests("dagtasks"),
  list: (namespace: string, query: Query, signal?: AbortSignal) =>
    read<Page<DagTask>>(scoped(namespace, "dagtasks"), query, signal),
  one: (namespace: string, name: string, signal?: AbortSignal) =>
    read<DagTaskDetail & { manifest: Manifest }>(path("namespaces", namespace, "dagtasks", name), {}, signal),
  users: (namespace: string, name: string, signal?: AbortSignal) =>
    read<{ items: { namespace: string; name: string }[] }>(
      path("namespaces", namespace, "dagtasks", name, "users"), {}, signal),
};

export const runs = {
  list: (query: Query, signal?: AbortSignal) => read<Page<Run>>("runs", query, signal),
  one: (uid: string, signal?: AbortSignal) => read<RunDetail>(path("runs", uid), {}, signal),
  byName: (namespace: string, name: string, signal?: AbortSignal) =>
    read<RunDetail | PendingRun>(path("namespaces", namespace, "runs", name), {}, signal),
  pending: (namespace: string, signal?: AbortSignal) =>
    read<Some<PendingRun>>(scoped(namespace, "pending"), {}, signal),
  graph: (uid: string, signal?: AbortSignal) => read<RunGraph>(path("runs", uid, "graph"), {}, signal),
  allAttempts: (uid: string, signal?: AbortSignal) => read<RunAttempts>(path("runs", uid, "attempts"), {}, signal),
  tasks: (uid: string, query: Query, signal?: AbortSignal) => read<Page<Task>>(path("runs", uid, "tasks"), query, signal),
  task: (uid: string, task: string, signal?: AbortSignal) => read<Task>(path("runs", uid, "tasks", task), {}, signal),
  attempts: (uid: string, task: string, signal?: AbortSignal) =>
    read<Page<Attempt>>(path("runs", uid, "tasks", task, "attempts"), { limit: 200 }, signal),
  events: (uid: string, task: string, attempt: number, signal?: AbortSignal) =>
    read<{ items: PodEvent[] }>(path("runs", uid, "tasks", task, "attempts", attempt, "events"), {}, signal),
  cancel: (uid: string) => call<void>("POST", path("runs", uid, "cancel")),
  /** It is safe to repeat: until its outcome is known, each try of this tab starts the same run. */
  again: (uid: string) => startOnce(`again ${uid}`, (key) =>
    call<Created>("POST", path("runs", uid, "again"), { json: {}, headers: { "Idempotency-Key": key } })),
  remove: (uid: string) => call<void>("DELETE", path("runs", uid)),
  cancelPending: (namespace: string, name: string) =>
    call<void>("POST", path("namespaces", namespace, "runs", name, "cancel")),
  removePending: (namespace: string, name: string) => call<void>("DELETE", path("namespaces", namespace, "runs", name)),
};

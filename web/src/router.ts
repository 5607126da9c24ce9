import { createSignal } from "solid-js";

/** Place is where the page is: the fragment #/a/b?c=d as its segments and its query. */
export interface Place {
  segments: string[];
  query: URLSearchParams;
}

/** parse reads a fragment. A segment that is not well escaped is taken as it is. */
export function parse(fragment: string): Place {
  const [path = "", query = ""] = fragment.replace(/^#?\/?/, "").split(/\?(.*)/s, 2);
  return { segments: path.split("/").filter(Boolean).map(unescape), query: new URLSearchParams(query) };
}

function unescape(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** Parameters are those of a query. Those without a value are left out. */
export type Parameters = Record<string, string | number | boolean | undefined>;

/** href makes the fragment of a place. */
export function href(segments: (string | number)[], query: Parameters = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "" && value !== false) search.set(name, String(value));
  }
  const tail = search.size ? `?${search}` : "";
  return `#/${segments.map((segment) => encodeURIComponent(segment)).join("/")}${tail}`;
}

const [place, setPlace] = createSignal(parse(location.hash));
window.addEventListener("hashchange", () => setPlace(parse(location.hash)));

export { place };

/** param returns a parameter of the query of the page, or "". */
export const param = (name: string): string => place().query.get(name) ?? "";

/** go opens a place. */
export function go(to: string, options: { replace?: boolean } = {}): void {
  if (options.replace) history.replaceState(history.state, "", to);
  else history.pushState(null, "", to);
  setPlace(parse(location.hash));
}

/** setParams changes parameters of the query. Filters replace the entry of the history, so that Back leaves the list. */
export function setParams(change: Parameters, options: { replace?: boolean } = { replace: true }): void {
  const { segments, query } = place();
  go(href(segments, { ...Object.fromEntries(query), ...change }), options);
}

const folders = { DAG: "dags", DagTask: "dagtasks" } as const;

/** links are the places of the UI. */
export const to = {
  home: (namespace = "") => href([], { namespace }),
  dags: (query: Parameters = {}) => href(["dags"], query),
  dag: (namespace: string, name: string, tab = "", query: Parameters = {}) =>
    href(["dags", namespace, name, ...(tab ? [tab] : [])], query),
  trigger: (namespace: string, name: string, from = "") => href(["dags", namespace, name, "trigger"], { from }),
  edit: (kind: "DAG" | "DagTask", namespace: string, name: string) => href([folders[kind], namespace, name, "edit"]),
  /** from is an example, "form", or "copy" of an object. */
  create: (kind: "DAG" | "DagTask", query: Parameters = {}) => href([folders[kind], "new"], query),
  object: (kind: "DAG" | "DagTask", namespace: string, name: string) => href([folders[kind], namespace, name]),
  runs: (query: Parameters = {}) => href(["runs"], query),
  run: (uid: string, query: Parameters = {}) => href(["runs", uid], query),
  pending: (namespace: string, name: string) => href(["pending", namespace, name]),
  /** Without an attempt it is the log of the newest one. */
  log: (uid: string, task: string, attempt?: number | string, query: Parameters = {}) =>
    href(["runs", uid, "log", task, ...(attempt === undefined ? [] : [attempt])], query),
  dagTasks: (query: Parameters = {}) => href(["dagtasks"], query),
  dagTask: (namespace: string, name: string) => href(["dagtasks", namespace, name]),
  account: () => href(["account"]),
  users: () => href(["users"]),
};

import { draftAt, keepDraft } from "../drafts";
import { Problem, problemOf, type Kind } from "./problem";

/** Query holds query parameters. Those without a value are left out. */
export type Query = Record<string, string | number | boolean | undefined | null>;

export interface Options {
  query?: Query;
  /** A value that is sent as JSON. */
  json?: unknown;
  /** A body in YAML. */
  yaml?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/**
 * A start whose outcome is unknown is open for so long after its last try, in milliseconds. The server knows its key
 * for longer, but whoever starts the same later wants another run. The text unknownStart says how long.
 */
export const startIsOpen = 10 * 60_000;

/** Answers of these kinds come after the server has looked for what an earlier try with the key has started. */
const looked: Kind[] = ["conflict", "invalid"];

/**
 * startOnce starts something with an Idempotency-Key. what names it, with all that the request says. While the outcome
 * of a try is unknown, the next one has the same key, also after a reload: what may have begun does not begin twice.
 */
export async function startOnce<T>(what: string, start: (key: string) => Promise<T>): Promise<T> {
  const place = `start ${what}`;
  const open = JSON.parse(draftAt(place)?.text ?? "null") as { key: string; at: number } | null;
  const earlier = open && Date.now() - open.at < startIsOpen ? open.key : undefined;
  const key = earlier ?? newKey();
  keepDraft(place, { text: JSON.stringify({ key, at: Date.now() }), generation: 0 });
  try {
    const started = await start(key);
    keepDraft(place, undefined);
    return started;
  } catch (error) {
    if (error instanceof Problem && !error.isOutcomeUnknown) {
      if (earlier && !looked.includes(error.kind)) error.isOfOpenStart = true;
      else keepDraft(place, undefined);
    }
    throw error;
  }
}

function newKey(): string {
  // Browsers have no randomUUID on plain HTTP.
  return crypto.randomUUID?.() ??
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** How often a read is repeated if the server is not available, and the first pause in milliseconds. */
const attempts = 4;
const firstPause = 500;
const longestPause = 10_000;

/** How long an answer may take, in milliseconds. Streams have no such limit. */
const longestAnswer = 60_000;

/** Nobody uses the page if nobody has touched it for so long, in milliseconds. */
const unattendedAfter = 60_000;
let usedAt = Date.now();
for (const input of ["pointerdown", "pointermove", "wheel", "touchstart", "keydown"]) {
  window.addEventListener(input, () => (usedAt = Date.now()), { capture: true, passive: true });
}

let base = "api/v1/";
let onUnauthenticated: () => void = () => {};

/** configure sets where the API is, relative to the page, and what happens when the session has ended. */
export function configure(api: string, unauthenticated: () => void): void {
  base = api.endsWith("/") ? api : `${api}/`;
  onUnauthenticated = unauthenticated;
}

/** address returns the URL of a path of the API. */
export function address(path: string, query: Query = {}): string {
  const url = new URL(base + path, document.baseURI.split("#")[0]);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, String(value));
  }
  return url.href;
}

/** path joins segments, and escapes each. */
export function path(...segments: (string | number)[]): string {
  return segments.map((segment) => encodeURIComponent(segment)).join("/");
}

/**
 * send makes one request with the cookie of the session. It throws a Problem unless the answer is a success. A 401 of
 * any route but those of the session itself ends the session of this page. What a page sends while nobody uses it does not
 * keep the session from ending.
 */
export async function send(method: string, to: string, options: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  if (Date.now() - usedAt >= unattendedAfter) headers["Kontroler-Unattended"] = "true";
  let body: string | undefined;
  if (options.json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(options.json);
  } else if (options.yaml !== undefined) {
    headers["Content-Type"] = "application/yaml";
    body = options.yaml;
  }
  let response: Response;
  try {
    response = await fetch(address(to, options.query), {
      method, headers, credentials: "same-origin", cache: "no-store", redirect: "error",
      ...(body === undefined ? {} : { body }), ...(options.signal ? { signal: options.signal } : {}),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem("unreachable", {});
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (problem.kind === "unauthenticated" && to !== "auth/login" && to !== "auth/password") onUnauthenticated();
  throw problem;
}

/**
 * call makes one request and returns the JSON of its answer. One without a body, such as a 202 or 204, is undefined. An
 * answer that takes too long is given up.
 */
export async function call<T>(method: string, to: string, options: Options = {}): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), longestAnswer);
  const signal = options.signal ? AbortSignal.any([options.signal, limit.signal]) : limit.signal;
  let response: Response, body: string;
  try {
    response = await send(method, to, { ...options, signal });
    body = await response.text();
  } catch (error) {
    if (error instanceof Problem || options.signal?.aborted) throw error;
    throw new Problem("unreachable", {}); // It took too long, or the connection broke under the answer.
  } finally {
    clearTimeout(timer);
  }
  try {
    return (body ? JSON.parse(body) : undefined) as T;
  } catch {
    throw new Problem("unexpected", { status: response.status }); // the page of a proxy
  }
}

/** read is a GET. It is repeated while the server is not available, because a read changes nothing. */
export async function read<T>(to: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call<T>("GET", to, { query, ...(signal ? { signal } : {}) });
    } catch (error) {
      if (!isTransient(error) || attempt === attempts) throw error;
      await pause(backoff(attempt, error.retryAfter), signal);
    }
  }
}

/** isTransient reports whether the same request may succeed a moment later. */
export function isTransient(error: unknown): error is Problem {
  return error instanceof Problem && (error.kind === "unavailable" || error.kind === "unreachable");
}

/** backoff returns how long to wait after an attempt, in milliseconds: exponential, between half and all of it. */
export function backoff(attempt: number, retryAfter?: number, random = Math.random()): number {
  const exponential = Math.min(firstPause * 2 ** (attempt - 1), longestPause);
  return Math.max(retryAfter ?? 0, 0) + exponential * (0.5 + random / 2);
}

/** pause waits. It throws if the signal aborts first. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", end);
  });
}

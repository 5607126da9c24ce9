import { createSignal } from "solid-js";
import * as api from "./api/calls";
import { backoff, isTransient } from "./api/client";
import { Problem } from "./api/problem";
import type { Me, Role } from "./api/types";
import { dropDrafts, ownDrafts } from "./drafts";
import { post, onMessage } from "./tabs";

/** State is what this page knows of its session. */
export type State =
  | { is: "unknown" }
  | { is: "signed-out"; why: "never" | "ended" | "left" }
  | { is: "signed-in"; me: Me }
  | { is: "unreachable"; problem: Problem };

const [state, setState] = createSignal<State>({ is: "unknown" });
export { state };

/** me returns the user. It is called only by what a signed-in user sees. */
export function me(): Me {
  const now = state();
  return now.is === "signed-in" ? now.me : { name: "", admin: false, grants: [] };
}

/** enter shows the page of a user. */
function enter(user: Me): void {
  ownDrafts(user.name);
  setState({ is: "signed-in", me: user });
}

const ranks: Record<Role, number> = { viewer: 1, operator: 2, editor: 3 };

/** allows reports whether the role of a user in a namespace is at least that. Only the server forbids anything. */
export function allows(user: Me, namespace: string, role: Role): boolean {
  return user.admin || user.grants.some((grant) =>
    (grant.namespace === "*" || grant.namespace === namespace) && ranks[grant.role] >= ranks[role]);
}

/** may is allows for the user of this page. */
export const may = (namespace: string, role: Role) => allows(me(), namespace, role);

/** mayAnywhere reports whether the user has the role in any namespace. */
export const mayAnywhere = (role: Role) =>
  me().admin || me().grants.some((grant) => ranks[grant.role] >= ranks[role]);

/** restore asks the server who the cookie of this browser is. While the server cannot say, it asks again. */
export async function restore(attempt = 1): Promise<void> {
  try {
    const { user } = await api.session.me();
    enter(user);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    setState(error.kind === "unauthenticated" ? { is: "signed-out", why: "never" } : { is: "unreachable", problem: error });
    if (isTransient(error)) setTimeout(() => state().is === "unreachable" && void restore(attempt + 1), backoff(attempt));
  }
}

/** reread asks again what the user may do, and makes all tabs follow. A 401 ends the session of this page. */
export async function reread(signal?: AbortSignal): Promise<void> {
  const before = state();
  try {
    const { user } = await api.session.me(signal);
    if (before !== state() || before.is !== "signed-in" || JSON.stringify(user) === JSON.stringify(before.me)) return;
    enter(user);
    post({ kind: "rights", me: user });
  } catch (error) {
    if (!(error instanceof Problem) && !signal?.aborted) throw error;
  }
}

/** signIn begins a session. Other tabs of this browser learn of it. */
export async function signIn(user: string, password: string): Promise<void> {
  const answer = await api.session.login(user, password);
  enter(answer.user);
  post({ kind: "signed-in" });
}

/** leave shows the form to sign in. Screens ask for drafts while they go, so that those are removed before. */
function leave(why: "ended" | "left"): void {
  if (why === "left") dropDrafts();
  setState({ is: "signed-out", why });
}

/** signOut ends the session in all tabs, and removes what was typed in them. */
export async function signOut(): Promise<void> {
  try {
    await api.session.logout();
  } catch (error) {
    if (!(error instanceof Problem) || error.kind !== "unauthenticated") throw error;
  }
  leave("left");
  post({ kind: "signed-out", why: "left" });
}

/**
 * ended notes that the server no longer knows the session. The page shows the form in place of the screen. The address
 * stays, so that signing in returns to the same place, and nothing can loop.
 */
export function ended(): void {
  if (state().is === "signed-in") {
    leave("ended");
    post({ kind: "signed-out", why: "ended" });
  }
}

onMessage((message) => {
  if (message.kind === "signed-out" && state().is === "signed-in") leave(message.why);
  else if (message.kind === "signed-out" && message.why === "left") dropDrafts();
  if (message.kind === "rights" && state().is === "signed-in" && me().name === message.me.name) enter(message.me);
  if (message.kind === "signed-in" && state().is === "signed-out") void restore();
});

import { createEffect, on, onCleanup } from "solid-js";
import { createStore, type SetStoreFunction } from "solid-js/store";
import { draftAt, keepDraft } from "./drafts";
import { state } from "./session";

/**
 * keepTyped keeps what is typed in a form as a draft: when the session ends, not when the user leaves. undefined means
 * that nothing was typed. No form gives it a password.
 */
export function keepTyped(key: string, typed: () => string | undefined): void {
  createEffect(on(typed, (text) => keepDraft(key, text === undefined ? undefined : { text, generation: 0 })));
  onCleanup(() => state().is === "signed-in" && keepDraft(key, undefined));
}

/** typedAt returns what was typed in a form when the session ended. */
export const typedAt = <T>(key: string): T | undefined =>
  (JSON.parse(draftAt(key)?.text ?? "null") as T | null) ?? undefined;

/** createTyped returns the fields of a form. They begin with what was typed when the session ended. */
export function createTyped<T extends object>(key: string, initial: T): [fields: T, set: SetStoreFunction<T>] {
  const untouched = JSON.stringify(initial);
  const [fields, set] = createStore<T>({ ...initial, ...typedAt<Partial<T>>(key) });
  keepTyped(key, () => {
    const text = JSON.stringify(fields);
    return text === untouched ? undefined : text;
  });
  return [fields, set];
}

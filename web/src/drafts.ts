/**
 * Draft is what a user typed, or the key of a start whose outcome is unknown. It survives a reload in this tab, and the
 * end of the session.
 */
export interface Draft {
  text: string;
  /** The generation of the object that it changes. 0 for a new one. */
  generation: number;
}

let prefix = "draft  ";

/** ownDrafts makes all that follows about the drafts of a user. Nobody else who uses this tab sees them. */
export function ownDrafts(user: string): void {
  prefix = `draft ${encodeURIComponent(user)} `;
}

/** dropDrafts removes the drafts of the user. */
export function dropDrafts(): void {
  for (const key of draftsBelow("")) keepDraft(key, undefined);
}

/** draftAt returns the draft of an object, or of a new one. */
export function draftAt(key: string): Draft | undefined {
  try {
    return (JSON.parse(sessionStorage.getItem(prefix + key) ?? "null") as Draft | null) ?? undefined;
  } catch {
    return undefined;
  }
}

/** keepDraft stores a draft, or removes it. */
export function keepDraft(key: string, draft: Draft | undefined): void {
  try {
    if (draft) sessionStorage.setItem(prefix + key, JSON.stringify(draft));
    else sessionStorage.removeItem(prefix + key);
  } catch {
    // A browser that stores nothing still saves to the server.
  }
}

/** draftsBelow returns the keys of the drafts that begin so. */
export function draftsBelow(start: string): string[] {
  try {
    return Object.keys(sessionStorage)
      .filter((key) => key.startsWith(prefix + start))
      .map((key) => key.slice(prefix.length))
      .sort();
  } catch {
    return [];
  }
}

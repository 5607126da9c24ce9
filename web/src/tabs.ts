import type { Me } from "./api/types";
import type { Change } from "./live";

/** Message is what the tabs of a browser tell each other. */
export type Message =
  | { kind: "signed-in" }
  | { kind: "signed-out"; why: "ended" | "left" }
  | { kind: "rights"; me: Me }
  | { kind: "change"; change: Change }
  | { kind: "reset" }
  | { kind: "stream"; isOpen: boolean }
  | { kind: "hello" };

/** Another UI may be under another path of the origin, which shares the names of channels. */
const name = `kontroler ${new URL(".", location.href).pathname}`;
const channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(name);

/** post tells the other tabs. This tab does not hear it. */
export function post(message: Message): void {
  channel?.postMessage(message);
}

/** onMessage calls back for each message of another tab, until the returned function is called. */
export function onMessage(callback: (message: Message) => void): () => void {
  const listen = (event: MessageEvent<Message>) => callback(event.data);
  channel?.addEventListener("message", listen);
  return () => channel?.removeEventListener("message", listen);
}

import { createSignal, For, Show, type JSX } from "solid-js";
import { text } from "../text";
import { Problem } from "../api/problem";
import { Icon, Mark } from "./icons";
import { outcomeOf } from "./states";
import { Said } from "./values";

interface Toast {
  id: number;
  message: string;
  /** What else is to be known of it, a sentence each. */
  details: string[];
  mark?: "failed" | "warning";
  action?: { label: string; run: () => void };
}

const [toasts, setToasts] = createSignal<Toast[]>([]);
let next = 0;
const shownFor = 8000;

const dismiss = (id: number) => setToasts((all) => all.filter((toast) => toast.id !== id));

function show(toast: Omit<Toast, "id">): number {
  const id = next++;
  setToasts((all) => [...all.slice(-3), { id, ...toast }]);
  return id;
}

/** say shows what was done. It goes by itself, unless the server warns of something: then it stays until it is closed. */
export function say(message: string, action?: Toast["action"], warnings: string[] = []): void {
  const more = action ? { action } : {};
  if (warnings.length) show({ message, details: warnings, mark: "warning", ...more });
  else setTimeout(dismiss, shownFor, show({ message, details: [], ...more }));
}

/** sayProblem shows why something was not done. It stays until it is closed. isStart is that of outcomeOf. */
export function sayProblem(error: unknown, isStart = false): void {
  if (!(error instanceof Problem)) throw error;
  const detail = [error.detail, outcomeOf(error, isStart),
    error.requestId && text.problem.request(error.requestId)].filter(Boolean).join(" ");
  show({ message: error.message, details: [detail], mark: "failed" });
}

export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status" aria-live="polite">
      <For each={toasts()}>
        {(toast) => (
          <div class="toast">
            <Show when={toast.mark === "failed"}><Mark look="failed" label={text.phase.failed} /></Show>
            <Show when={toast.mark === "warning"}><Mark look="warning" label={text.shell.warning} /></Show>
            <div>
              <p>{toast.message}</p>
              <For each={toast.details}>{(detail) => <p class="faint"><Said text={detail} /></p>}</For>
            </div>
            <Show when={toast.action}>
              {(action) => (
                <button class="btn" type="button" onClick={() => { dismiss(toast.id); action().run(); }}>
                  {action().label}
                </button>
              )}
            </Show>
            <button class="btn quiet icon" type="button" aria-label={text.shell.close} onClick={() => dismiss(toast.id)}>
              <Icon name="close" />
            </button>
          </div>
        )}
      </For>
    </div>
  );
}

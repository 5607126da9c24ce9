import { createSignal, For, Show, type JSX } from "solid-js";
import { text } from "../text";
import { Problem } from "../api/problem";
import { Icon, Mark } from "./icons";
import { outcomeOf } from "./states";

interface Toast {
  id: number;
  message: string;
  detail?: string;
  isFailure: boolean;
  action?: { label: string; run: () => void };
}

const [toasts, setToasts] = createSignal<Toast[]>([]);
let next = 0;
const shownFor = 8000;

const dismiss = (id: number) => setToasts((all) => all.filter((toast) => toast.id !== id));

/** say shows what was done. It goes by itself; a failure stays until it is closed. */
export function say(message: string, action?: Toast["action"]): void {
  const id = next++;
  setToasts((all) => [...all.slice(-3), { id, message, isFailure: false, ...(action ? { action } : {}) }]);
  setTimeout(() => dismiss(id), shownFor);
}

/** sayProblem shows why something was not done. isStart is that of outcomeOf. */
export function sayProblem(error: unknown, isStart = false): void {
  if (!(error instanceof Problem)) throw error;
  const detail = [error.detail, outcomeOf(error, isStart),
    error.requestId && text.problem.request(error.requestId)].filter(Boolean).join(" ");
  setToasts((all) => [...all.slice(-3), { id: next++, message: error.message, detail, isFailure: true }]);
}

export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status" aria-live="polite">
      <For each={toasts()}>
        {(toast) => (
          <div class="toast">
            <Show when={toast.isFailure}><Mark look="failed" label={text.phase.failed} /></Show>
            <div><p>{toast.message}</p><Show when={toast.detail}><p class="faint">{toast.detail}</p></Show></div>
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

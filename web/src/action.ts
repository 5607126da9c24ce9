import { createSignal, type Accessor } from "solid-js";

/**
 * createAction returns an action that ignores calls while it runs, and whether it runs. A double click or a repeated
 * shortcut then sends one request, and a button can be disabled meanwhile.
 */
export function createAction<T extends unknown[]>(
  action: (...given: T) => Promise<void>,
): [run: (...given: T) => Promise<void>, isRunning: Accessor<boolean>] {
  const [isRunning, setRunning] = createSignal(false);
  const run = async (...given: T) => {
    if (isRunning()) return;
    setRunning(true);
    try {
      await action(...given);
    } finally {
      setRunning(false);
    }
  };
  return [run, isRunning];
}

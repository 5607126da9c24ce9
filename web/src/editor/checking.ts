import { createEffect, createMemo, createSignal, on, onCleanup, untrack, type Accessor } from "solid-js";
import { dags, dagTasks } from "../api/calls";
import { Problem, type Fault as ServerFault } from "../api/problem";
import type { Kind } from "./crd";
import { serverFaults, serverWarnings, syntaxFaults, type Fault } from "./faults";
import { read, type Source } from "./source";

/** calls write the objects of a kind. */
export const calls = { DAG: dags, DagTask: dagTasks };

/** After a pause of so many milliseconds the text is read, and after a longer one the server checks it. */
const pauseToRead = 150;
const pauseToCheck = 700;

/** Answer is what the server said of a text. */
interface Answer {
  faults: ServerFault[];
  warnings: string[];
}

export interface Checking {
  /** The text as it was read last. */
  source: Accessor<Source>;
  faults: Accessor<Fault[]>;
  /** What the server has said of this very text: nothing yet, or that it could not check it. */
  state: Accessor<"waiting" | "checking" | "checked" | Problem>;
  /** check reads the text and asks the server now. It reports whether there are no faults. */
  check: () => Promise<boolean>;
  /** refuse shows the faults of a save that the server refused. It reports whether there were any. */
  refuse: (problem: Problem) => boolean;
}

/** createChecking finds the faults of a text that somebody types: those of YAML here, all others on the server. */
export function createChecking(kind: Kind, namespace: Accessor<string>, text: Accessor<string>): Checking {
  const [source, setSource] = createSignal(read(untrack(text)));
  const [answer, setAnswer] = createSignal<Answer>();
  const [state, setState] = createSignal<"waiting" | "checking" | "checked" | Problem>("waiting");
  let current: AbortController | undefined;
  let reading: ReturnType<typeof setTimeout> | undefined, checking: ReturnType<typeof setTimeout> | undefined;
  const readNow = () => (source().text === text() ? source() : setSource(read(text())));

  const faults = createMemo((): Fault[] => {
    const of = source(),
      said = answer();
    if (of.faults.length) return syntaxFaults(of);
    // The answer may be of an earlier text. Its pointers still find their places until there is a new one.
    return said ? [...serverFaults(kind, of, said.faults), ...serverWarnings(of, said.warnings)] : [];
  });
  const settle = (said: Answer) => {
    setAnswer(said);
    setState("checked");
    return said.faults.length === 0;
  };
  const check = async (): Promise<boolean> => {
    const asked = readNow();
    clearTimeout(checking); // A check that is still due would abort this one.
    current?.abort();
    if (asked.faults.length) return false;
    const mine = (current = new AbortController());
    setState("checking");
    try {
      const { warnings } = await calls[kind].validate(namespace(), asked.text, mine.signal);
      return settle({ faults: [], warnings });
    } catch (error) {
      if (mine.signal.aborted) return false;
      if (!(error instanceof Problem)) throw error;
      if (!isAboutText(error)) setState(error);
      else settle({ faults: faultsOf(error), warnings: [] });
      return false;
    }
  };
  const refuse = (problem: Problem): boolean => {
    if (!isAboutText(problem)) return false;
    settle({ faults: faultsOf(problem), warnings: [] });
    return true;
  };

  createEffect(
    on([text, namespace], () => {
      clearTimeout(reading);
      clearTimeout(checking);
      current?.abort();
      setState("waiting");
      reading = setTimeout(readNow, pauseToRead);
      checking = setTimeout(() => namespace() && void check(), pauseToCheck);
    }),
  );
  onCleanup(() => {
    clearTimeout(reading);
    clearTimeout(checking);
    current?.abort();
  });
  return { source, faults, state, check, refuse };
}

/** isAboutText reports whether a problem is what is wrong with a text, and not with the request or the server. */
const isAboutText = (problem: Problem) =>
  problem.kind === "invalid" || problem.kind === "bad-request" || problem.kind === "too-large";

const faultsOf = (problem: Problem): ServerFault[] =>
  problem.faults.length ? problem.faults : [{ pointer: "", detail: problem.detail || problem.message }];

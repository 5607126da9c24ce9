import { createSignal, onMount, Show, type JSX } from "solid-js";
import { Problem } from "../api/problem";
import { ProblemNotice } from "../parts/states";
import { signIn, state } from "../session";
import { text } from "../text";

/** SignIn stands in place of the screen. The address does not change. */
export function SignIn(): JSX.Element {
  let user!: HTMLInputElement;
  let password!: HTMLInputElement;
  const [isWorking, setWorking] = createSignal(false);
  const [problem, setProblem] = createSignal<Problem>();
  onMount(() => {
    document.title = text.shell.title(text.signIn.title);
    user.focus();
  });
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setWorking(true);
    setProblem(undefined);
    try {
      await signIn(user.value, password.value);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      password.value = "";
      password.focus();
    } finally {
      setWorking(false);
    }
  };
  const why = () => {
    const now = state();
    return now.is === "signed-out" ? now.why : "never";
  };
  const simple = () => {
    const now = problem();
    if (now?.kind === "unauthenticated") return text.signIn.wrong;
    if (now?.kind === "too-many-requests") return text.signIn.slow(Math.ceil((now.retryAfter ?? 1000) / 1000));
    return "";
  };
  return (
    <main id="main" class="sign-in">
      <form class="panel" onSubmit={(event) => void submit(event)}>
        <div class="brand">
          <svg viewBox="0 0 20 20" aria-hidden="true">
            <path d="M4 2v16M4 10l11-6M4 10l11 6" /><circle cx="15.5" cy="3.7" r="2.3" /><circle cx="15.5" cy="16.3" r="2.3" />
          </svg>
          <h1>{text.product}</h1>
        </div>
        <Show when={why() !== "never"}>
          <p class="dim" role="status">{why() === "left" ? text.signIn.left : text.signIn.ended}</p>
        </Show>
        <label class="field">{text.signIn.user}
          <input ref={user} class="input" name="user" autocomplete="username" autocapitalize="none" spellcheck={false} required />
        </label>
        <label class="field">{text.signIn.password}
          <input ref={password} class="input" name="password" type="password" autocomplete="current-password" required
            aria-invalid={simple() ? "true" : undefined} />
        </label>
        <Show when={simple()}><p class="said" role="alert">{simple()}</p></Show>
        <Show when={problem() && !simple()}><ProblemNotice problem={problem() as Problem} /></Show>
        <button class="btn primary" type="submit" disabled={isWorking()}>
          {isWorking() ? text.signIn.working : text.signIn.submit}
        </button>
        <p class="faint">{text.signIn.first}</p>
      </form>
    </main>
  );
}

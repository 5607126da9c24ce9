import type { JSX } from "solid-js";
import type { Look } from "../phases";
import { text } from "../text";

/** The shapes. They are in the document once; everything else refers to them. */
export function Sprite(): JSX.Element {
  return (
    <svg class="sprite" width="0" height="0" aria-hidden="true">
      <symbol id="succeeded" viewBox="0 0 16 16"><circle cx="8" cy="8" r="5" fill="currentColor" /></symbol>
      <symbol id="running" viewBox="0 0 16 16">
        <circle cx="8" cy="8" r="5" fill="none" stroke="currentColor" stroke-width="2" />
        <path class="pulse" d="M8 3a5 5 0 0 1 0 10z" fill="currentColor" />
      </symbol>
      <symbol id="waiting" viewBox="0 0 16 16">
        <circle cx="8" cy="8" r="5" fill="none" stroke="currentColor" stroke-width="2" />
      </symbol>
      <symbol id="failed" viewBox="0 0 16 16">
        <path d="M4 4l8 8M12 4l-8 8" fill="none" stroke="currentColor" stroke-width="2.5" stroke-linecap="round" />
      </symbol>
      <symbol id="skipped" viewBox="0 0 16 16">
        <path d="M3 11c0-4 2-6 5-6s4 1.5 5 4M13.5 5.5V9.5H9.5" fill="none" stroke="currentColor" stroke-width="1.75"
          stroke-linecap="round" stroke-linejoin="round" />
      </symbol>
      <symbol id="cancelled" viewBox="0 0 16 16"><rect x="4" y="4" width="8" height="8" fill="currentColor" /></symbol>
      <symbol id="lost" viewBox="0 0 16 16">
        <path d="M13 8a5 5 0 1 1-1.7-3.75M13.2 1.8l-.6 3.7-3.7-.4" fill="none" stroke="currentColor" stroke-width="2"
          stroke-linecap="round" stroke-linejoin="round" />
      </symbol>
      <symbol id="missed" viewBox="0 0 16 16">
        <path d="M8 4.5V8l2 1.5M13.5 8A5.5 5.5 0 1 1 8 2.5" fill="none" stroke="currentColor"
          stroke-width="1.75" stroke-linecap="round" />
      </symbol>
      <symbol id="invalid" viewBox="0 0 16 16">
        <path d="M8 2.5l6 11H2zM8 7v2.5M8 11.5v.1" fill="none" stroke="currentColor" stroke-width="1.75"
          stroke-linecap="round" stroke-linejoin="round" />
      </symbol>
      <symbol id="i-search" viewBox="0 0 16 16"><circle cx="7" cy="7" r="4.5" /><path d="M10.5 10.5L14 14" /></symbol>
      <symbol id="i-down" viewBox="0 0 16 16"><path d="M5 6.5l3 3 3-3" /></symbol>
      <symbol id="i-up" viewBox="0 0 16 16"><path d="M5 9.5l3-3 3 3" /></symbol>
      <symbol id="i-home" viewBox="0 0 16 16"><path d="M2.5 7.5L8 3l5.5 4.5V13h-11z" /></symbol>
      <symbol id="i-dags" viewBox="0 0 16 16">
        <circle cx="3.5" cy="8" r="1.5" /><circle cx="12.5" cy="3.5" r="1.5" />
        <circle cx="12.5" cy="12.5" r="1.5" /><path d="M5 7.200l6-3M5 8.800l6 3" />
      </symbol>
      <symbol id="i-runs" viewBox="0 0 16 16"><path d="M2 4h7M5 8h9M3.5 12h5" /></symbol>
      <symbol id="i-tasks" viewBox="0 0 16 16">
        <rect x="2.5" y="2.5" width="8" height="8" rx="1" /><path d="M13.5 5.5v8h-8" />
      </symbol>
      <symbol id="i-users" viewBox="0 0 16 16">
        <circle cx="8" cy="5.5" r="2.5" /><path d="M3 13.5c.5-3 2.5-4 5-4s4.5 1 5 4" />
      </symbol>
      <symbol id="i-play" viewBox="0 0 16 16"><path d="M5 3.5v9l7-4.5z" /></symbol>
      <symbol id="i-pause" viewBox="0 0 16 16"><path d="M6 4v8M10 4v8" /></symbol>
      <symbol id="i-resume" viewBox="0 0 16 16"><path d="M4.5 4v8M8 4v8l5-4z" /></symbol>
      <symbol id="i-lock" viewBox="0 0 16 16">
        <rect x="3.5" y="7" width="9" height="6.5" rx="1" /><path d="M5.5 7V5a2.5 2.5 0 0 1 5 0v2" />
      </symbol>
      <symbol id="i-copy" viewBox="0 0 16 16">
        <rect x="5.5" y="5.5" width="8" height="8" rx="1" /><path d="M10.5 2.5h-8v8" />
      </symbol>
      <symbol id="i-fit" viewBox="0 0 16 16">
        <path d="M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10" />
      </symbol>
      <symbol id="i-plus" viewBox="0 0 16 16"><path d="M8 3.5v9M3.5 8h9" /></symbol>
      <symbol id="i-minus" viewBox="0 0 16 16"><path d="M3.5 8h9" /></symbol>
      <symbol id="i-close" viewBox="0 0 16 16"><path d="M4.5 4.5l7 7M11.5 4.5l-7 7" /></symbol>
      <symbol id="i-follow" viewBox="0 0 16 16"><path d="M8 2.5v7M5 7l3 3 3-3M3 13.5h10" /></symbol>
      <symbol id="i-wrap" viewBox="0 0 16 16">
        <path d="M2.5 4h11M2.5 8h8.5a2.200 2.200 0 0 1 0 4.5H8M9.5 11L8 12.5 9.5 14M2.5 12.5h3" />
      </symbol>
      <symbol id="i-theme" viewBox="0 0 16 16">
        <circle cx="8" cy="8" r="5.5" /><path d="M8 2.5a5.5 5.5 0 0 1 0 11z" fill="currentColor" />
      </symbol>
    </svg>
  );
}

export type IconName =
  | "search" | "down" | "up" | "home" | "dags" | "runs" | "tasks" | "users" | "play" | "pause" | "resume" | "lock"
  | "copy" | "fit" | "plus" | "minus" | "close" | "follow" | "wrap" | "theme";

/** Icon decorates a control. The control has the name. */
export function Icon(props: { name: IconName }): JSX.Element {
  return <svg class="i" aria-hidden="true"><use href={`#i-${props.name}`} /></svg>;
}

/** Mark is the shape of a phase. With a label it says the phase, else words beside it do. */
export function Mark(props: { look: Look | "missed" | "invalid" | "warning"; label?: string }): JSX.Element {
  const colours = { missed: "waiting", invalid: "failed", warning: "cancelled" } as const;
  const colour = () => (props.look in colours ? colours[props.look as keyof typeof colours] : props.look);
  return (
    <svg class="ph" data-phase={colour()} role={props.label ? "img" : undefined}
      aria-label={props.label} aria-hidden={props.label ? undefined : "true"}>
      <use href={`#${props.look === "warning" ? "invalid" : props.look}`} />
    </svg>
  );
}

/** PhaseWord is a phase as shape and word. */
export function PhaseWord(props: { look: Look; word?: string }): JSX.Element {
  return (
    <span class="phase" data-phase={props.look}>
      <Mark look={props.look} />{props.word ?? text.phase[props.look]}
    </span>
  );
}

/** Badge is the phase of what a page is about. */
export function Badge(props: { look: Look; word?: string }): JSX.Element {
  return (
    <span class="badge" data-phase={props.look}>
      <Mark look={props.look} />{props.word ?? text.phase[props.look]}
    </span>
  );
}

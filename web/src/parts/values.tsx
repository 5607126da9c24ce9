import { Show, type JSX } from "solid-js";
import { about, age, clock, duration, moment, now, span } from "../time";
import { text } from "../text";
import { visible } from "../visible";

/** Said is a text that somebody else wrote. It cannot hide or reorder what stands beside it. */
export function Said(props: { text: string | undefined }): JSX.Element {
  return <bdi>{visible(props.text ?? "")}</bdi>;
}

// What changes with the clock alone has aria-live="off": screen readers would read it out each second.

/** Ago is the age of a moment, with the moment on hover. */
export function Ago(props: { at: string; suffix?: boolean }): JSX.Element {
  const length = () => age(now() - Date.parse(props.at));
  return (
    <time aria-live="off" datetime={props.at} title={moment(props.at)}>
      {props.suffix ? text.dags.ago(length()) : length()}
    </time>
  );
}

/** In is the time until a moment. */
export function In(props: { at: string }): JSX.Element {
  const left = () => Date.parse(props.at) - now();
  return (
    <time aria-live="off" datetime={props.at} title={moment(props.at)}>
      {left() <= 0 ? text.home.dueNow : text.home.inTime(age(left()))}
    </time>
  );
}

/** At is a moment as a time of day. */
export function At(props: { at: string; isDue?: boolean }): JSX.Element {
  return <time datetime={props.at} title={moment(props.at)}>{clock(props.at, undefined, undefined, props.isDue)}</time>;
}

/** Took is a length of time, which grows while it has no end. */
export function Took(props: { from?: string | undefined; until?: string | undefined }): JSX.Element {
  const length = () => span(props.from, props.until);
  return (
    <Show when={length() !== undefined} fallback={<span class="faint">{text.none}</span>}>
      <span aria-live="off" title={props.from && `${moment(props.from)} ${text.none} ${props.until ? moment(props.until) : ""}`}>
        {duration(length() ?? 0)}
      </span>
    </Show>
  );
}

/** OfAbout is how long something usually takes. */
export function OfAbout(props: { seconds?: number | undefined }): JSX.Element {
  return <Show when={props.seconds}>{(seconds) => <span class="faint">{text.home.ofAbout(about(seconds()))}</span>}</Show>;
}

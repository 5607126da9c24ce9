import { createSignal } from "solid-js";

const stored = (key: string) => {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
};

/** The zone of the browser. */
export const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

const [zone, setZoneSignal] = createSignal(stored("zone") === "UTC" ? "UTC" : ownZone);
export { zone };

/** toggleZone changes between the zone of the viewer and UTC. */
export function toggleZone(): void {
  const next = zone() === "UTC" ? ownZone : "UTC";
  setZoneSignal(next);
  try {
    localStorage.setItem("zone", next === "UTC" ? "UTC" : "");
  } catch {
    // A browser that stores nothing still shows it.
  }
}

const [now, setNow] = createSignal(Date.now());
/** now is the present, to the second. It rests while the page is hidden. */
export { now };
setInterval(() => document.visibilityState === "visible" && setNow(Date.now()), 1000);
document.addEventListener("visibilitychange", () => setNow(Date.now()));

const formats = new Map<string, Intl.DateTimeFormat>();

function format(options: Intl.DateTimeFormatOptions, inZone: string, date: number): string {
  const key = JSON.stringify(options) + inZone;
  let found = formats.get(key);
  if (!found) formats.set(key, (found = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: inZone })));
  return found.format(date);
}

const ms = (time: string | number) => (typeof time === "number" ? time : Date.parse(time));

/** zoneName is the short name of a zone, such as CET. */
export function zoneName(inZone = zone(), at = Date.now()): string {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone: inZone, timeZoneName: "short" }).formatToParts(at);
  return parts.find((part) => part.type === "timeZoneName")?.value ?? inZone;
}

/** moment is a time in full: Wed 26 Nov 2025, 13:55:31 CET. */
export function moment(time: string | number, inZone = zone()): string {
  const text = format({
    weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit",
    second: "2-digit", timeZoneName: "short",
  }, inZone, ms(time));
  return text.replace(/^(\w+), /, "$1 ");
}

/** clock is a time of day. It names the day unless that is today. A due time may have seconds; then they are shown. */
export function clock(time: string | number, inZone = zone(), present = Date.now(), isDue = false): string {
  const day: Intl.DateTimeFormatOptions = { day: "numeric", month: "short" };
  const seconds: Intl.DateTimeFormatOptions = isDue && ms(time) % 60_000 ? { second: "2-digit" } : {};
  const at = format({ hour: "2-digit", minute: "2-digit", ...seconds }, inZone, ms(time));
  const date = format(day, inZone, ms(time));
  return date === format(day, inZone, present) ? at : `${date}, ${at}`;
}

/** clockSeconds is a time of day with seconds. */
export const clockSeconds = (time: string | number, inZone = zone()) =>
  format({ hour: "2-digit", minute: "2-digit", second: "2-digit" }, inZone, ms(time));

/** day is a date without a time, such as 12 Nov. The argument is YYYY-MM-DD. */
export const day = (date: string) => format({ day: "numeric", month: "short" }, "UTC", Date.parse(`${date}T00:00Z`));

/** instant makes a moment of the date and time in an input, which are in the zone that is shown. No moment is "". */
export function instant(value: string, isUTC = zone() === "UTC"): string {
  const hasZone = /(Z|[+-]\d\d:\d\d)$/.test(value);
  const at = Date.parse(isUTC && value.includes("T") && !hasZone ? `${value}Z` : value);
  return Number.isNaN(at) ? "" : new Date(at).toISOString();
}

const units: [number, string][] = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"], [1000, "s"]];

/** age is a length of time in one unit: "3 h". */
export function age(milliseconds: number): string {
  const length = Math.max(0, milliseconds);
  const [size, unit] = units.find(([size]) => length >= size) ?? [1000, "s"];
  return `${Math.floor(length / size)} ${unit}`;
}

/** duration is a length of time in two units: "7m 42s". */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds > 0 && seconds < 1) return `${Math.round(seconds * 1000)}ms`;
  const whole = Math.floor(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86_400)}d ${Math.floor((whole % 86_400) / 3600)}h`;
}

/** about is a typical duration in one or two units: "9m", "1h 20m". */
export function about(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))}s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)}m`;
  const minutes = Math.round(seconds / 60);
  return minutes % 60 ? `${Math.floor(minutes / 60)}h ${minutes % 60}m` : `${minutes / 60}h`;
}

/** span is the time from one moment to another. Without an end it is the time until now. */
export function span(from: string | undefined, until?: string): number | undefined {
  return from === undefined ? undefined : (until ? ms(until) : now()) - ms(from);
}

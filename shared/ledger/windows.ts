/**
 * Calendar windows of a budget: a day or a month in a time zone, whatever summer time does to its length. Pure: what a zone's clocks show comes from
 * the IANA data of the JavaScript runtime (`Intl`).
 */
export const WINDOW_KINDS = ["day", "month"] as const;
export type WindowKind = (typeof WINDOW_KINDS)[number];

export interface Window {
  readonly kind: WindowKind;
  /** `2026-11-28` or `2026-11`, by the clocks of the zone. */
  readonly id: string;
  /** Epoch milliseconds: from the first instant on, before the last one. */
  readonly startsAtMs: number;
  readonly endsAtMs: number;
}

/** Nearly all instants that are asked about lie in the same window as the one before; what a zone's clocks show costs some 60 µs to find out. */
const latest = new Map<string, Window>();
const MOST_REMEMBERED = 1_000;

/** The window that holds an instant (epoch milliseconds). Throws a `RangeError` for a zone that there is not. */
export function windowOf(kind: WindowKind, atMs: number, timeZone: string): Window {
  const key = `${kind} ${timeZone}`;
  const known = latest.get(key);
  if (known !== undefined && known.startsAtMs <= atMs && atMs < known.endsAtMs) return known;
  const found = findWindow(kind, atMs, timeZone);
  if (known !== undefined || latest.size < MOST_REMEMBERED) latest.set(key, found);
  return found;
}

function findWindow(kind: WindowKind, atMs: number, timeZone: string): Window {
  const { year, month, day } = clockAt(atMs, timeZone);
  const [first, next] = kind === "day" ? [Date.UTC(year, month, day), Date.UTC(year, month, day + 1)] : [Date.UTC(year, month), Date.UTC(year, month + 1)];
  const date = new Date(first).toISOString();
  return { kind, id: date.slice(0, kind === "day" ? 10 : 7), startsAtMs: instantOf(first, timeZone), endsAtMs: instantOf(next, timeZone) };
}

const formats = new Map<string, Intl.DateTimeFormat>();
const MOST_FORMATS = 1_000;
function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const fields = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" } as const;
  const made = new Intl.DateTimeFormat("en", { timeZone, ...fields, hourCycle: "h23", calendar: "gregory", numberingSystem: "latn" });
  if (formats.size < MOST_FORMATS) formats.set(timeZone, made); // making one costs a hundred times what using it does
  return made;
}

/** What the clocks of the zone show; `month` from 0, and `shownMs` as if they showed UTC. */
function clockAt(atMs: number, timeZone: string): { year: number; month: number; day: number; shownMs: number } {
  const parts = Object.fromEntries(formatOf(timeZone).formatToParts(atMs).map(({ type, value }) => [type, Number(value)]));
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return { year, month: month - 1, day, shownMs: Date.UTC(year, month - 1, day, hour, minute, second) };
}

const DAY_MS = 86_400_000;
/**
 * The first instant at which the clocks show `shownMs` or later. Where midnight is skipped that is the end of the gap, and where it comes twice the first
 * one: clocks change once within two days at most, so the instants by the offsets of a day before and a day after are the only candidates.
 */
function instantOf(shownMs: number, timeZone: string): number {
  const offsetAt = (atMs: number) => clockAt(atMs, timeZone).shownMs - atMs;
  const [before, after] = [offsetAt(shownMs - DAY_MS), offsetAt(shownMs + DAY_MS)].map((offset) => shownMs - offset) as [number, number];
  const early = Math.min(before, after), late = Math.max(before, after);
  if (clockAt(early, timeZone).shownMs === shownMs) return early;
  if (clockAt(late, timeZone).shownMs === shownMs) return late;
  return firstShowing(shownMs, timeZone, { early, late });
}

/** In a gap: by halves, to the second. */
function firstShowing(shownMs: number, timeZone: string, { early, late }: { early: number; late: number }): number {
  let [low, high] = [Math.floor(early / 1_000) - 1, Math.ceil(late / 1_000)];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (clockAt(middle * 1_000, timeZone).shownMs >= shownMs) high = middle;
    else low = middle;
  }
  return high * 1_000;
}

/** Times that views are of, and the hours they are made of. Pure. Epoch milliseconds. */
import { AppError } from "#shared/contracts/errors.ts";

export interface TimeSpan {
  readonly fromMs: number;
  /** Not in it any more. */
  readonly toMs: number;
}
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SHORTEST_MS = 60_000;
/** As long as the ledger is kept at most; beyond it there is nothing, and series would have too many steps. */
const LONGEST_MS = 4_000 * DAY_MS;

export function spanOf({ from, to }: { readonly from?: string | undefined; readonly to?: string | undefined }, nowMs: number): TimeSpan {
  const toMs = to === undefined ? nowMs : Date.parse(to);
  const fromMs = from === undefined ? toMs - DAY_MS : Date.parse(from);
  if (toMs - fromMs < SHORTEST_MS) throw new AppError("invalid_request", "to: must be a minute after from at least");
  if (toMs - fromMs > LONGEST_MS) throw new AppError("invalid_request", "from: must be within 4000 days before to");
  return { fromMs, toMs };
}

export interface Parts {
  /** Whole hours, whose sums are kept. */
  readonly hours: TimeSpan | null;
  /** What is left at both ends, to be summed from the rows themselves. */
  readonly rest: readonly TimeSpan[];
}
export function partsOf({ fromMs, toMs }: TimeSpan): Parts {
  const first = Math.ceil(fromMs / HOUR_MS) * HOUR_MS, last = Math.floor(toMs / HOUR_MS) * HOUR_MS;
  if (first >= last) return { hours: null, rest: [{ fromMs, toMs }] };
  return { hours: { fromMs: first, toMs: last }, rest: [{ fromMs, toMs: first }, { fromMs: last, toMs }].filter((one) => one.fromMs < one.toMs) };
}

const [MINUTE_S, HOUR_S, DAY_S] = [60, 3_600, 86_400];
/** From an hour on each is made of whole hours; shorter ones divide an hour. */
const STEPS_MS = [
  1, 2, 5, 10, 15, 30, ...[1, 2, 3, 5, 10, 15, 20, 30].map((n) => n * MINUTE_S), ...[1, 2, 3, 4, 6, 8, 12].map((n) => n * HOUR_S),
  ...[1, 2, 3, 5, 7, 10, 14, 20, 30].map((n) => n * DAY_S),
].map((seconds) => seconds * 1_000);
const LEAST_STEPS = 24;
/** Where that leaves steps of whole hours. */
const MANY_STEPS = 56;

export interface Steps {
  readonly stepMs: number;
  /** Start of the first, a multiple of the step; the first and the last have what the span has of them. */
  readonly firstMs: number;
  readonly count: number;
}
/** 24 to 200: from a day on by whole hours, whose sums are kept. */
export function stepsOf({ fromMs, toMs }: TimeSpan): Steps {
  const fitting = (steps: number): number | undefined => STEPS_MS.findLast((stepMs) => toMs - fromMs >= steps * stepMs);
  const many = fitting(MANY_STEPS) ?? 0;
  const stepMs = many >= HOUR_MS ? many : (fitting(LEAST_STEPS) ?? STEPS_MS[0] ?? HOUR_MS);
  return { stepMs, firstMs: Math.floor(fromMs / stepMs) * stepMs, count: Math.ceil(toMs / stepMs) - Math.floor(fromMs / stepMs) };
}

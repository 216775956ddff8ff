/** Streams of requests under a budget: when they come, what is asked, and what prices are then. Pure but for the random numbers that come in. */
import { HOUR_MS } from "#router/policy/demandForecast.ts";

const DAY_MS = 24 * HOUR_MS;

/** By hour of the day: quiet nights, two peaks. Mean 1. */
const DAY_CURVE = [0.25, 0.15, 0.1, 0.1, 0.15, 0.3, 0.6, 1, 1.5, 1.9, 2, 1.9, 1.5, 1.6, 1.9, 2, 1.8, 1.4, 1.1, 0.9, 0.7, 0.55, 0.4, 0.35].map((one, _i, all) => (one * 24) / all.reduce((a, b) => a + b, 0));
const WEEKEND = 0.35;
const BURSTS = { perDay: 2, hours: [0.25, 1], times: 10 } as const;
const SHOCK_DAYS = [11, 19] as const; // from the 12th day on, back on the 20th
const DAILY_GROWTH = 0.02;

export interface Shape {
  readonly name: string;
  /** How busy an hour is, in parts of the mean. `weekday`: 0 is Sunday. */
  readonly busy: (at: { readonly day: number; readonly hour: number; readonly weekday: number }) => number;
  readonly bursts?: boolean;
  /** Of the dearest tier's price, on a day from 0 on; or of all prices. */
  readonly priceFactor?: (day: number) => number;
  readonly movesAll?: boolean;
  /** Of the budget, in parts of what is given for all shapes; or in parts of what `λ = 0`, or the cheapest tier alone, is expected to cost. */
  readonly budget?: { readonly times: number; readonly of: "best" | "cheapest" };
  /** A budget for each day, in place of one for all of them. */
  readonly daily?: boolean;
}
const diurnal: Shape["busy"] = ({ hour, weekday }) => (DAY_CURVE[hour] ?? 0) * (weekday === 0 || weekday === 6 ? WEEKEND : 1);
const shockOf = (factor: number) => (day: number) => (day >= SHOCK_DAYS[0] && day < SHOCK_DAYS[1] ? factor : 1);

export const SHAPES: readonly Shape[] = [
  { name: "flat", busy: () => 1 },
  { name: "diurnal", busy: diurnal },
  { name: "bursty", busy: () => 1, bursts: true },
  { name: "dearest price x3", busy: diurnal, priceFactor: shockOf(3) },
  { name: "dearest price x1/3", busy: diurnal, priceFactor: shockOf(1 / 3) },
  { name: "all prices x3", busy: diurnal, priceFactor: shockOf(3), movesAll: true },
  { name: "growing", busy: (at) => diurnal(at) * (1 + DAILY_GROWTH) ** at.day },
  { name: "dead weekends", busy: ({ hour, weekday }) => (weekday === 0 || weekday === 6 ? 0 : (DAY_CURVE[hour] ?? 0)) },
  { name: "tripled from day 15", busy: (at) => diurnal(at) * (at.day >= 14 ? 3 : 1) },
  { name: "a budget a day", busy: ({ hour }) => DAY_CURVE[hour] ?? 0, daily: true },
  { name: "more than needed", busy: diurnal, budget: { times: 3, of: "best" } },
  { name: "half the cheapest", busy: diurnal, budget: { times: 0.5, of: "cheapest" } },
];

/** In order of time. */
export interface Trace {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly atMs: Float64Array;
  readonly row: Int32Array;
  readonly priceFactor: Float64Array;
}
export interface TraceOptions {
  /** Expected in all. */
  readonly requests: number;
  readonly days: number;
  /** Rows to draw from, with replacement. */
  readonly rows: number;
  readonly random: () => number;
}

/** A Thursday, the first day of 1970, and as many days later as are drawn. */
export function traceOf({ busy, bursts = false, priceFactor = () => 1 }: Shape, { requests, days, rows, random }: TraceOptions): Trace {
  const fromMs = Math.floor(random() * 7) * DAY_MS;
  const hours = Array.from({ length: days * 24 }, (_, i) => {
    const weekday = new Date(fromMs + i * HOUR_MS).getUTCDay();
    return busy({ day: Math.floor(i / 24), hour: i % 24, weekday });
  });
  const burstStarts = bursts ? Array.from({ length: poisson(days * BURSTS.perDay, random) }, () => ({ atH: random() * days * 24, forH: BURSTS.hours[0] + random() * (BURSTS.hours[1] - BURSTS.hours[0]) })) : [];
  const inBursts = (BURSTS.perDay * days * ((BURSTS.hours[0] + BURSTS.hours[1]) / 2) * (BURSTS.times - 1)) * (bursts ? 1 : 0);
  const unit = requests / (hours.reduce((sum, one) => sum + one, 0) + inBursts);
  const found: number[] = [];
  for (const [i, one] of hours.entries()) for (let n = poisson(one * unit, random); n > 0; n--) found.push((i + random()) * HOUR_MS);
  for (const { atH, forH } of burstStarts) for (let n = poisson((BURSTS.times - 1) * forH * unit, random); n > 0; n--) found.push((atH + random() * forH) * HOUR_MS);
  const atMs = Float64Array.from(found.filter((ms) => ms < days * DAY_MS), (ms) => fromMs + ms).sort();
  return { fromMs, untilMs: fromMs + days * DAY_MS, atMs, row: Int32Array.from(atMs, () => Math.floor(random() * rows)), priceFactor: atMs.map((ms) => priceFactor(Math.floor((ms - fromMs) / DAY_MS))) };
}

/** Knuth's for small means; above, the normal distribution, which differs by less than a percent from there on. */
function poisson(mean: number, random: () => number): number {
  if (mean > 50) return Math.max(0, Math.round(mean + Math.sqrt(mean) * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())));
  const least = Math.exp(-mean);
  let n = 0;
  for (let product = random(); product > least; product *= random()) n++;
  return n;
}

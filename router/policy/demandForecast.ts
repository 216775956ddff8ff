/**
 * How many requests are still to come: the rate of late, times how busy the hours to come are, as the hours of the day and the days of the week were before.
 * Pure. Each factor is drawn towards 1 by what little was seen of it, so that the first Saturday is taken for a day like others. Hours of the day that nobody has seen
 * yet are taken for busier than those that were: whoever begins at night must not believe that it stays so quiet.
 */

/** Of one tenant. Every hour counts from the first on, those without a request too. */
export interface SeenDemand {
  /** When the first hour began (epoch milliseconds), and when the last was looked at. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** By hour from `fromMs` on; the last one is not over yet. */
  readonly requests: readonly number[];
}
export interface Horizon {
  /** Epoch milliseconds: from when on, and before when. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** Of the clocks by which people work, from UTC. */
  readonly offsetMs: number;
}

export const HOUR_MS = 3_600_000;
/** Older hours count half in the pattern, and in the rate of late: long enough to hold every day of the week, so that bursts are in it with their share. */
const PATTERN_HALF_LIFE_H = 14 * 24;
const RATE_HALF_LIFE_H = 4 * 24;
/** Hours of an ordinary rate that each factor begins with. */
const PRIOR_H = { ofDay: 1, ofWeek: 8 };
/** Of hours of the day that were not seen yet. */
const UNSEEN = 1.5;
const ROUNDS = 3;

export interface Forecast {
  readonly requests: number;
  /** Standard deviation, had each hour nothing to do with the others: large where requests come in bursts. */
  readonly deviation: number;
}
/** Of the horizon; 0 where no request was ever seen. */
export function forecastDemand(seen: SeenDemand, { fromMs, untilMs, offsetMs }: Horizon): Forecast {
  const hours = columnsOf(seen, offsetMs);
  const pattern = patternOf(hours);
  const rate = rateOf(hours, pattern);
  let busy = 0;
  for (let atMs = fromMs; atMs < untilMs; ) {
    const endMs = Math.min(untilMs, (Math.floor(atMs / HOUR_MS) + 1) * HOUR_MS);
    busy += (busyness(pattern, dayHourOf(atMs + offsetMs), weekdayOf(atMs + offsetMs)) * (endMs - atMs)) / HOUR_MS;
    atMs = endMs;
  }
  const requests = rate * busy;
  return { requests, deviation: Math.sqrt(dispersionOf(hours, pattern, rate) * requests) };
}

/** By hour, since there are hundreds and this is asked often. */
interface Columns {
  readonly hours: number;
  /** Of the day, and day of the week. */
  readonly hour: Uint8Array;
  readonly day: Uint8Array;
  readonly requests: Float64Array;
  /** Of an hour, that was looked at. */
  readonly seen: Float64Array;
}
/** By hour of the day and by day of the week, each about 1 on average. */
interface Pattern {
  readonly ofDay: Float64Array;
  readonly ofWeek: Float64Array;
}
const dayHourOf = (shownMs: number): number => Math.floor(shownMs / HOUR_MS) % 24;
const weekdayOf = (shownMs: number): number => Math.floor(shownMs / (24 * HOUR_MS)) % 7;
const busyness = ({ ofDay, ofWeek }: Pattern, hour: number, day: number): number => (ofDay[hour] ?? 1) * (ofWeek[day] ?? 1);

function columnsOf({ fromMs, untilMs, requests }: SeenDemand, offsetMs: number): Columns {
  const n = requests.length;
  const columns = { hours: n, hour: new Uint8Array(n), day: new Uint8Array(n), requests: Float64Array.from(requests), seen: new Float64Array(n) };
  for (let i = 0; i < n; i++) {
    const startMs = fromMs + i * HOUR_MS;
    columns.hour[i] = dayHourOf(startMs + offsetMs);
    columns.day[i] = weekdayOf(startMs + offsetMs);
    columns.seen[i] = Math.min(1, Math.max(0, (untilMs - startMs) / HOUR_MS));
  }
  return columns;
}

/** The last hour has a weight of 1. */
function fading(hours: number, halfLifeH: number): Float64Array {
  const weights = new Float64Array(hours), kept = 2 ** (-1 / halfLifeH);
  for (let i = hours - 1, weight = 1; i >= 0; i--, weight *= kept) weights[i] = weight;
  return weights;
}

/** Both factors by turns: what one of them explains is not put down to the other. */
function patternOf(columns: Columns): Pattern {
  const pattern = { ofDay: new Float64Array(24).fill(1), ofWeek: new Float64Array(7).fill(1) };
  const weights = fading(columns.hours, PATTERN_HALF_LIFE_H);
  const mean = perHour(columns, weights, pattern);
  if (mean === 0) return pattern;
  for (let round = 0; round < ROUNDS; round++) {
    fitFactor(pattern.ofDay, columns.hour, { other: pattern.ofWeek, otherPlace: columns.day, prior: PRIOR_H.ofDay });
    fitFactor(pattern.ofWeek, columns.day, { other: pattern.ofDay, otherPlace: columns.hour, prior: PRIOR_H.ofWeek });
  }
  for (let hour = 0; hour < pattern.ofDay.length; hour++) if (!columns.hour.includes(hour)) pattern.ofDay[hour] = UNSEEN;
  return pattern;

  function fitFactor(factor: Float64Array, places: Uint8Array, { other, otherPlace, prior }: { readonly other: Float64Array; readonly otherPlace: Uint8Array; readonly prior: number }): void {
    const requests = new Float64Array(factor.length).fill(prior * mean), expected = new Float64Array(factor.length).fill(prior * mean);
    for (let i = 0; i < columns.hours; i++) {
      const place = places[i] ?? 0, weight = weights[i] ?? 0;
      requests[place] = (requests[place] ?? 0) + weight * (columns.requests[i] ?? 0);
      expected[place] = (expected[place] ?? 0) + weight * mean * (other[otherPlace[i] ?? 0] ?? 1) * (columns.seen[i] ?? 0);
    }
    for (let place = 0; place < factor.length; place++) factor[place] = (requests[place] ?? 0) / (expected[place] ?? 1);
  }
}

/** Requests per hour in an ordinary hour, of late. */
const rateOf = (columns: Columns, pattern: Pattern): number => perHour(columns, fading(columns.hours, RATE_HALF_LIFE_H), pattern);

function perHour({ hours, hour, day, requests, seen }: Columns, weights: Float64Array, pattern: Pattern): number {
  let [came, expected] = [0, 1e-9];
  for (let i = 0; i < hours; i++) {
    came += (weights[i] ?? 0) * (requests[i] ?? 0);
    expected += (weights[i] ?? 0) * busyness(pattern, hour[i] ?? 0, day[i] ?? 0) * (seen[i] ?? 0);
  }
  return came / expected;
}

/** Variance of an hour in parts of what was expected: 1 where requests have nothing to do with each other. */
function dispersionOf({ hours, hour, day, requests, seen }: Columns, pattern: Pattern, rate: number): number {
  const weights = fading(hours, PATTERN_HALF_LIFE_H);
  let [squares, expected] = [0, 1e-9];
  for (let i = 0; i < hours; i++) {
    const mean = rate * busyness(pattern, hour[i] ?? 0, day[i] ?? 0) * (seen[i] ?? 0);
    squares += (weights[i] ?? 0) * ((requests[i] ?? 0) - mean) ** 2;
    expected += (weights[i] ?? 0) * mean;
  }
  return Math.max(1, squares / expected);
}

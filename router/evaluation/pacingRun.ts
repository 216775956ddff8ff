/**
 * A stream of requests under a budget, by one of the ways to spend it: what is answered, how well, and how much of the budget is spent at the end of its window.
 * The ledger's hard cap is in it as it is in the router: the most that a step can cost is reserved until the answer is there, and what does not fit is decided again.
 * Pure.
 */
import { forecastDemand, HOUR_MS, type SeenDemand } from "#router/policy/demandForecast.ts";
import { type Lambdas, logLambda, pacedLambda, placeOfLambda, RECENT_REQUESTS } from "#router/policy/pacing.ts";

import type { Trace } from "./pacingDemand.ts";

/** What each row came to under one rule: a level of the policy, or a tier alone. */
export interface Course {
  readonly quality: Float64Array;
  /** At ordinary prices; and what of it moves with the price that may move: the dearest tier's, or all. */
  readonly costUsd: Float64Array;
  readonly dearUsd: Float64Array;
  /** The most that a step of it may cost: reserved until the answer is there. */
  readonly mostUsd: Float64Array;
}
export interface PacedWorld {
  readonly rows: number;
  /** By place of the policy's levels. */
  readonly lambdas: Lambdas;
  readonly levels: readonly Course[];
  /** Alone, cheapest first. */
  readonly tiers: readonly Course[];
  /** Levels as they are fitted at another price of the dearest tier, by its factor: for what could have been done, never for what is. */
  readonly repriced: ReadonlyMap<number, readonly Course[]>;
}
/** Cheapest first; `level`: place of one. */
type Choice = { readonly level: number } | { readonly tier: number };

export interface Seen {
  readonly nowMs: number;
  readonly window: { readonly fromMs: number; readonly untilMs: number };
  readonly limitUsd: number;
  readonly spentUsd: number;
  readonly reservedUsd: number;
  readonly demand: SeenDemand;
}
/** A way to spend a budget; made anew for each run. */
export interface Spending {
  readonly choose: (seen: Seen) => Choice;
  readonly served: (choice: Choice, costUsd: number, seen: Seen) => void;
}
export interface WindowOutcome {
  readonly requests: number;
  readonly spentShare: number;
  /** Of requests. */
  readonly blocked: number;
  /** Of the quarter hours with a request: those in which one was refused. */
  readonly blockedTime: number;
  /** Mean, of all requests; 0 for one that was refused. */
  readonly quality: number;
  /** The same of the best that could have been done, in hindsight. */
  readonly bestQuality: number;
  readonly meanLambda: number;
}

const LATENCY_MS = 4_000;
const SLOT_MS = 15 * 60_000;

export function runSpending(world: PacedWorld, trace: Trace, { limitUsd, windowMs }: { readonly limitUsd: number; readonly windowMs: number }, spending: Spending): WindowOutcome[] {
  const outcomes: WindowOutcome[] = [];
  const counts: number[] = [];
  let next = 0;
  for (let fromMs = trace.fromMs; fromMs < trace.untilMs; fromMs += windowMs) {
    const window = { fromMs, untilMs: fromMs + windowMs };
    const open: { untilMs: number; usd: number }[] = [];
    const slots = new Map<number, boolean>();
    let [spentUsd, reservedUsd, quality, blocked, lambda] = [0, 0, 0, 0, 0];
    const first = next;
    for (; next < trace.atMs.length && (trace.atMs[next] ?? Infinity) < window.untilMs; next++) {
      const nowMs = trace.atMs[next] ?? 0, row = trace.row[next] ?? 0, factor = trace.priceFactor[next] ?? 1;
      const hour = Math.floor((nowMs - trace.fromMs) / HOUR_MS);
      while (counts.length <= hour) counts.push(0);
      counts[hour] = (counts[hour] ?? 0) + 1;
      while (open[0] !== undefined && open[0].untilMs <= nowMs) reservedUsd -= open.shift()?.usd ?? 0;
      const seen: Seen = { nowMs, window, limitUsd, spentUsd, reservedUsd, demand: { fromMs: trace.fromMs, untilMs: nowMs, requests: counts } };
      const choice = affordable(world, spending.choose(seen), row, factor, limitUsd - spentUsd - reservedUsd);
      slots.set(Math.floor(nowMs / SLOT_MS), (slots.get(Math.floor(nowMs / SLOT_MS)) ?? false) || choice === null);
      if (choice === null) {
        blocked++;
        continue;
      }
      const course = courseOf(world, choice);
      const costUsd = costAt(course, row, factor), mostUsd = mostAt(course, row, factor);
      spentUsd += costUsd; // it counts as spent at once, and the rest of what was reserved until it ends
      reservedUsd += Math.max(0, mostUsd - costUsd);
      open.push({ untilMs: nowMs + LATENCY_MS, usd: Math.max(0, mostUsd - costUsd) });
      quality += course.quality[row] ?? 0;
      lambda += "level" in choice ? (world.lambdas[choice.level] ?? 0) : 0;
      spending.served(choice, costUsd, seen);
    }
    const requests = next - first;
    outcomes.push({
      requests, spentShare: spentUsd / limitUsd, blocked: blocked / requests, blockedTime: [...slots.values()].filter((is) => is).length / Math.max(1, slots.size),
      quality: quality / requests, bestQuality: bestInHindsight(world, trace, [first, next], limitUsd) / requests, meanLambda: lambda / requests,
    });
  }
  return outcomes;
}

/** What was chosen, or the dearest tier alone that is sure to cost no more than is left; `null`: there is none. */
function affordable(world: PacedWorld, choice: Choice, row: number, factor: number, leftUsd: number): Choice | null {
  if (mostAt(courseOf(world, choice), row, factor) <= leftUsd) return choice;
  const tier = world.tiers.findLastIndex((course) => mostAt(course, row, factor) <= leftUsd);
  return tier < 0 ? null : { tier };
}

function courseOf({ levels, tiers }: PacedWorld, choice: Choice): Course {
  const course = "level" in choice ? levels[choice.level] : tiers[choice.tier];
  if (course === undefined) throw new Error(`there is no ${JSON.stringify(choice)}`);
  return course;
}
const costAt = ({ costUsd, dearUsd }: Course, row: number, factor: number): number => (costUsd[row] ?? 0) + (factor - 1) * (dearUsd[row] ?? 0);
/** Of the dearest tier that it runs; where that is the one whose price moves, at its price now. */
const mostAt = ({ mostUsd, dearUsd }: Course, row: number, factor: number): number => (mostUsd[row] ?? 0) * ((dearUsd[row] ?? 0) > 0 ? factor : 1);

/**
 * The most quality in all that the budget could have bought of these requests: any level or tier alone for any share of those at each price, levels that were fitted at
 * that price among them, and none. Solved exactly, as the linear programme that it is: along the upper hulls, by quality per dollar.
 */
export function bestInHindsight(world: PacedWorld, trace: Trace, [from, to]: readonly [number, number], limitUsd: number): number {
  const byFactor = new Map<number, number[]>();
  for (let i = from; i < to; i++) {
    const factor = trace.priceFactor[i] ?? 1;
    const rows = byFactor.get(factor) ?? [];
    rows.push(trace.row[i] ?? 0);
    byFactor.set(factor, rows);
  }
  const steps = [...byFactor].flatMap(([factor, rows]) => {
    const courses = [...world.levels, ...world.tiers, ...(world.repriced.get(factor) ?? [])];
    return hullSteps(courses.map((course) => rows.reduce((sum, row) => ({ usd: sum.usd + costAt(course, row, factor), quality: sum.quality + (course.quality[row] ?? 0) }), { usd: 0, quality: 0 })));
  }).sort((a, b) => b.quality / b.usd - a.quality / a.usd);
  let [left, quality] = [limitUsd, 0];
  for (const step of steps) {
    const share = Math.min(1, left / step.usd);
    quality += share * step.quality;
    left -= share * step.usd;
    if (left <= 0) break;
  }
  return quality;
}
interface Bought {
  readonly usd: number;
  readonly quality: number;
}
/** From nothing upwards: each step buys less per dollar than the one before. */
function hullSteps(points: readonly Bought[]): Bought[] {
  const steps: Bought[] = [];
  for (let at: Bought = { usd: 0, quality: 0 }; ; ) {
    const better = points.filter(({ usd, quality }) => quality > at.quality && usd > at.usd);
    const [best] = better.toSorted((a, b) => (b.quality - at.quality) / (b.usd - at.usd) - (a.quality - at.quality) / (a.usd - at.usd) || b.usd - a.usd);
    if (best === undefined) return steps;
    steps.push({ usd: best.usd - at.usd, quality: best.quality - at.quality });
    at = best;
  }
}

/** The best that the policy knows, until the money is out. */
export const burning = (): Spending => ({ choose: () => ({ level: 0 }), served: () => undefined });

const STEPS_DOWN = [{ from: 0.95, place: 0 }, { from: 0.8, place: 1 }] as const;
/** The same, but the middle tier alone from 80 % of the budget on, and the cheapest from 95 % on. */
export const steppingDown = (world: PacedWorld): Spending => ({
  choose: ({ spentUsd, limitUsd }) => {
    const step = STEPS_DOWN.find(({ from }) => spentUsd >= from * limitUsd);
    return step === undefined ? { level: 0 } : { tier: Math.floor((step.place * (world.tiers.length - 1)) / 2) };
  },
  served: () => undefined,
});

const REFRESH_MS = 5 * 60_000;
/** As the router does it, though it looks more seldom. `startLambda`: before anything is known. */
export function pacing({ lambdas }: PacedWorld, startLambda: number): Spending {
  let [lambda, lookedAtMs] = [startLambda, -Infinity];
  const recent: { usd: number; lambda: number }[] = [];
  let place = placeOfLambda(startLambda, lambdas);
  return {
    choose({ nowMs, window, limitUsd, spentUsd, reservedUsd, demand }) {
      if (nowMs - lookedAtMs >= REFRESH_MS) {
        lookedAtMs = nowMs;
        lambda = pacedLambda({
          leftUsd: limitUsd - spentUsd - reservedUsd, forecast: forecastDemand(demand, { fromMs: nowMs, untilMs: window.untilMs, offsetMs: 0 }),
          recent: { requests: recent.length, meanCostUsd: recent.reduce((sum, { usd }) => sum + usd, 0) / Math.max(1, recent.length), lambdas: recent.map((one) => one.lambda) },
        }, lambdas) ?? lambda;
        place = placeOfLambda(lambda, lambdas);
      }
      return { level: place };
    },
    served(choice, usd) {
      recent.push({ usd, lambda: "level" in choice ? (lambdas[choice.level] ?? 0) : (lambdas.at(-1) ?? 0) });
      if (recent.length > RECENT_REQUESTS) recent.shift();
    },
  };
}

/** Of a hundredth and three thousandths this was the better. */
const STEP = 0.01;
/** Dual mirror descent with the entropic mirror map: after each request a step along what it cost beyond what is left for each that is expected. */
export function mirrorDescent({ lambdas }: PacedWorld, startLambda: number): Spending {
  let [log, lookedAtMs, perRequestUsd] = [logLambda(startLambda, lambdas), -Infinity, 0];
  return {
    choose({ nowMs, window, limitUsd, spentUsd, reservedUsd, demand }) {
      if (nowMs - lookedAtMs >= REFRESH_MS) {
        lookedAtMs = nowMs;
        perRequestUsd = (limitUsd - spentUsd - reservedUsd) / Math.max(1, forecastDemand(demand, { fromMs: nowMs, untilMs: window.untilMs, offsetMs: 0 }).requests);
      }
      return { level: placeOfLambda(Math.exp(log), lambdas) };
    },
    served(_choice, usd) {
      const most = logLambda(lambdas.at(-1) ?? 0, lambdas);
      log = Math.min(most, Math.max(logLambda(0, lambdas), log + STEP * Math.min(10, usd / Math.max(1e-15, perRequestUsd) - 1)));
    },
  };
}

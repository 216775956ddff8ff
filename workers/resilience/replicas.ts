/**
 * Which of a tier's replicas is called next. Pure; times and draws come in. Of two drawn at random the one with the lower
 * load: that spreads calls nearly as well as knowing the best, and no replica is swamped because it looks best to everybody.
 * A conversation stays with the replica that has read it before, for as long as leaving is worse than waiting.
 */
import { createHash } from "node:crypto";

/** The worst latency that a replica showed lately, in milliseconds; it counts half after each half-life. `null`: it has not answered yet. */
export type Peak = { readonly ms: number; readonly atMs: number } | null;

const HALF_LIFE_MS = 10_000;
const weightOf = ({ atMs }: NonNullable<Peak>, nowMs: number): number => 2 ** (-Math.max(0, nowMs - atMs) / HALF_LIFE_MS);

/** A slow answer counts at once, quick ones bit by bit. */
export function afterAnswer(peak: Peak, latencyMs: number, nowMs: number): NonNullable<Peak> {
  if (peak === null || latencyMs >= peak.ms) return { ms: latencyMs, atMs: nowMs };
  const weight = weightOf(peak, nowMs);
  return { ms: peak.ms * weight + latencyMs * (1 - weight), atMs: nowMs };
}

/** A failure may be quick and says nothing good: it counts only where it took longer than answers do, or are expected to (`priorMs`). */
export const afterFailure = (peak: Peak, latencyMs: number, nowMs: number, priorMs: number): Peak => (latencyMs > (peak?.ms ?? priorMs) ? { ms: latencyMs, atMs: nowMs } : peak);

export interface Load {
  readonly name: string;
  /** Calls that run now. */
  readonly outstanding: number;
  readonly peak: Peak;
}
/** What one more call costs there, in milliseconds of waiting. */
export type LoadCosts = ReadonlyMap<string, number>;

/** One that has not answered yet counts as the quickest that has, so that it is tried; where none has, as the prior says. */
export function loadCosts(loads: readonly Load[], nowMs: number, priorMs: number): LoadCosts {
  const latencies = loads.map(({ peak }) => (peak === null ? null : peak.ms * weightOf(peak, nowMs)));
  const known = latencies.filter((latency) => latency !== null);
  const freshMs = known.length === 0 ? priorMs : Math.min(...known);
  return new Map(loads.map(({ name, outstanding }, i) => [name, (outstanding + 1) * (latencies[i] ?? freshMs)]));
}

export interface Choice {
  /** Who may be called now, with what it costs. */
  readonly costs: LoadCosts;
  /** Already failed on this attempt: called again only when there is no other. */
  readonly avoid: ReadonlySet<string>;
  /** `null`: it is part of no conversation. Otherwise which, and how many times another's cost its own replica may cost. */
  readonly affinity: { readonly key: string; readonly maxCostRatio: (preferred: string) => number } | null;
  /** Two, in [0, 1). */
  readonly draws: readonly [number, number];
}
/** `null`: nobody may be called. */
export function chooseReplica({ costs, avoid, affinity, draws }: Choice): string | null {
  const untried = [...costs.keys()].filter((name) => !avoid.has(name));
  const names = untried.length > 0 ? untried : [...costs.keys()];
  const preferred = affinity === null ? null : rendezvous(affinity.key, names);
  const other = betterOfTwo(names.filter((name) => name !== preferred), costs, draws);
  if (preferred === null || affinity === null || other === null) return preferred ?? other;
  return costOf(costs, preferred) > affinity.maxCostRatio(preferred) * costOf(costs, other) ? other : preferred;
}

function betterOfTwo(names: readonly string[], costs: LoadCosts, [one, two]: Choice["draws"]): string | null {
  const i = Math.floor(one * names.length);
  const j = Math.floor(two * (names.length - 1));
  const first = names[i];
  const second = names[j < i ? j : j + 1];
  if (first === undefined || second === undefined) return first ?? null;
  return costOf(costs, second) < costOf(costs, first) ? second : first;
}

const costOf = (costs: LoadCosts, name: string): number => costs.get(name) ?? Infinity;

/** The same of the same names for a key, in whatever order they come; when one comes or goes, only its own keys move. */
export function rendezvous(key: string, names: readonly string[]): string | null {
  const scores = names.map((name) => ({ name, score: createHash("sha256").update(`${key}\n${name}`).digest("hex") }));
  return scores.reduce<(typeof scores)[number] | null>((best, one) => (best === null || one.score > best.score ? one : best), null)?.name ?? null;
}

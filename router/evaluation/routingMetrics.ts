/**
 * The published measures of routing, exactly. Definitions: RouteLLM (arXiv 2406.18665) for PGR, APGR and CPT; "rational
 * cascades" (arXiv 2501.09345) for the error-cost AUC. Pure.
 */

/** One question for two tiers. `score`: higher means "send to the strong one". */
export interface Routed {
  readonly score: number;
  readonly weak: number;
  readonly strong: number;
}
export interface CallMeasures {
  /** Average performance gap recovered; a random router has 0.5 in expectation, an oracle more than 1. */
  readonly apgr: number;
  /** Least share of calls to the strong tier, in percent, at which half (four fifths) of the gap is recovered. */
  readonly cpt50: number;
  readonly cpt80: number;
}

/**
 * Questions with equal scores are one group, between whose ends the curve is straight: the expectation over a random
 * order of the tied ones, so neither noise nor the order of a file changes a figure. `null` when strong is not better.
 */
export function callMeasures(questions: readonly Routed[]): CallMeasures | null {
  const n = questions.length;
  const gap = questions.reduce((sum, { weak, strong }) => sum + strong - weak, 0);
  if (gap <= 0) return null;
  const points = [{ x: 0, pgr: 0 }];
  const sorted = questions.toSorted((a, b) => b.score - a.score);
  let gained = 0;
  for (const [i, { score, weak, strong }] of sorted.entries()) {
    gained += strong - weak;
    if (sorted[i + 1]?.score !== score) points.push({ x: (i + 1) / n, pgr: gained / gap });
  }
  let apgr = 0;
  for (const [i, { x, pgr }] of points.entries()) {
    const before = points[i - 1];
    if (before !== undefined) apgr += ((x - before.x) * (pgr + before.pgr)) / 2;
  }
  return { apgr, cpt50: 100 * firstReaching(points, 0.5), cpt80: 100 * firstReaching(points, 0.8) };
}

function firstReaching(points: readonly { x: number; pgr: number }[], target: number): number {
  const at = points.findIndex(({ pgr }) => pgr >= target);
  const [before, point] = [points[at - 1], points[at]];
  if (before === undefined || point === undefined) return point?.x ?? 1;
  return before.x + ((point.x - before.x) * (target - before.pgr)) / (point.pgr - before.pgr);
}

/** A place on the curve of what a policy can do: cost in USD per request, quality in [0, 1]. */
export interface CostQuality {
  readonly cost_usd: number;
  readonly quality: number;
}

/** In order of cost; of equal costs the highest quality. No hull: every point counts. */
function curveOf(points: readonly CostQuality[]): CostQuality[] {
  const sorted = points.toSorted((a, b) => a.cost_usd - b.cost_usd || b.quality - a.quality);
  return sorted.filter(({ cost_usd }, i) => sorted[i - 1]?.cost_usd !== cost_usd);
}

/** Quality on the straight lines through the curve; beyond its ends, the end's. */
function qualityAt(curve: readonly CostQuality[], cost_usd: number): number {
  const at = curve.findIndex((point) => point.cost_usd >= cost_usd);
  const [before, point] = [curve[at - 1], curve[at]];
  if (point === undefined) return curve.at(-1)?.quality ?? 0;
  if (before === undefined) return point.quality;
  return before.quality + ((point.quality - before.quality) * (cost_usd - before.cost_usd)) / (point.cost_usd - before.cost_usd);
}

/** 1 − the mean quality over costs from `from` to `to`: lower is better. */
export function errorCostAuc(points: readonly CostQuality[], from: number, to: number): number {
  const curve = curveOf(points);
  const stops = [from, ...curve.map(({ cost_usd }) => cost_usd).filter((cost) => cost > from && cost < to), to];
  let area = 0;
  for (const [i, stop] of stops.entries()) {
    const before = stops[i - 1];
    if (before !== undefined) area += ((stop - before) * (qualityAt(curve, stop) + qualityAt(curve, before))) / 2;
  }
  return 1 - area / (to - from);
}

/** Least cost at which the curve reaches a quality; `null` when it does not. */
export function costAtQuality(points: readonly CostQuality[], quality: number): number | null {
  const curve = curveOf(points);
  const at = curve.findIndex((point) => point.quality >= quality);
  const [before, point] = [curve[at - 1], curve[at]];
  if (point === undefined) return null;
  if (before === undefined) return point.cost_usd;
  return before.cost_usd + ((point.cost_usd - before.cost_usd) * (quality - before.quality)) / (point.quality - before.quality);
}

export const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** `values` need not be sorted; `null` when there are none. */
export function quantileOf(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
}

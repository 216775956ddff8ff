/** Rates and quantiles from two looks at the counters of a process. Pure. */
import type { Sample, Samples } from "./prometheusText.ts";

export type Labels = Readonly<Record<string, string>>;

const keyOf = (labels: Labels): string => JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
const has = (labels: Labels, wanted: Labels): boolean => Object.entries(wanted).every(([name, value]) => labels[name] === value);

/** By how much each series of a counter grew. One that is less than it was began anew meanwhile, and one that was not there before began at 0. */
export function increases(before: Samples, after: Samples, name: string): Sample[] {
  const was = new Map((before.get(name) ?? []).map(({ labels, value }) => [keyOf(labels), value]));
  return (after.get(name) ?? []).map(({ labels, value }) => {
    const former = was.get(keyOf(labels)) ?? 0;
    return { labels, value: value < former ? value : value - former };
  });
}

/** Of series with these labels. */
export const sumOf = (samples: readonly Sample[], wanted: Labels = {}): number => samples.reduce((sum, { labels, value }) => (has(labels, wanted) ? sum + value : sum), 0);

/** `null`: none. */
export function maxOf(samples: readonly Sample[], wanted: Labels = {}): number | null {
  const values = samples.flatMap(({ labels, value }) => (has(labels, wanted) ? [value] : []));
  return values.length === 0 ? null : Math.max(...values);
}

/** As Prometheus's `histogram_quantile` has it, from samples of `<name>_bucket`: within a bucket values lie evenly. `null`: it counted nothing. */
export function quantileOf(buckets: readonly Sample[], q: number, wanted: Labels = {}): number | null {
  const counts = new Map<number, number>();
  for (const { labels, value } of buckets) {
    if (!has(labels, wanted)) continue;
    const bound = labels["le"] === "+Inf" ? Infinity : Number(labels["le"]);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  const rising = [...counts].sort(([a], [b]) => a - b);
  const total = rising.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const rank = q * total;
  const at = rising.findIndex(([, count]) => count >= rank);
  const [lower, below] = rising[at - 1] ?? [0, 0];
  const [upper = Infinity, count = total] = rising[at] ?? [];
  if (upper === Infinity) return lower; // beyond the highest bound: that is all that is known
  return lower + (upper - lower) * (count === below ? 1 : (rank - below) / (count - below));
}

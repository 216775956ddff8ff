import type { QueryFeatures } from "#shared/contracts/queryFeatures.ts";
import { type RoutingModel, WORD_PLACES } from "#shared/contracts/routingModel.ts";

/** More classes would each have too few rows; the rows of the others count as their nearest class. */
const MOST_CLASSES = 12;
/** Three digits are enough for a cosine, and keep the model's file small. */
const rounded = (value: number) => Math.round(value * 1_000) / 1_000;

/** The centre of each label's rows on the unit sphere, the most frequent labels first. Pure. */
export function fitTaskClasses(rows: readonly { readonly query: QueryFeatures; readonly label: string }[]): RoutingModel["classes"] {
  const counts = new Map<string, number>();
  for (const { label } of rows) counts.set(label, (counts.get(label) ?? 0) + 1);
  const names = [...counts.keys()].sort((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0) || (a < b ? -1 : 1)).slice(0, MOST_CLASSES);
  return { names, centroids: names.map((name) => centroidOf(rows.filter(({ label }) => label === name).map(({ query }) => query))) };
}

function centroidOf(queries: readonly QueryFeatures[]): number[] {
  const sum = new Array<number>(WORD_PLACES).fill(0);
  for (const { words } of queries) {
    const length = Math.sqrt(Math.max(1, words.length));
    for (const word of words) {
      const place = Math.abs(word) - 1;
      sum[place] = (sum[place] ?? 0) + Math.sign(word) / length;
    }
  }
  const norm = Math.max(1e-9, Math.hypot(...sum));
  return sum.map((value) => rounded(value / norm));
}

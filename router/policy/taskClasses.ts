/**
 * What kind of work a query is, by the words that it begins with: the nearest of a few centres that were learned from
 * labelled classes. A confidence means different things for different kinds, and so does a query's length. Pure.
 */
import type { QueryFeatures } from "#shared/contracts/queryFeatures.ts";
import type { RoutingModel } from "#shared/contracts/routingModel.ts";

type TaskClasses = RoutingModel["classes"];

/** Of the cosines: queries that share a prompt's template are told apart without doubt, others softly. */
const SHARPNESS = 20;

/** Probabilities that sum to 1, in the order of `names`. */
export function classProbabilities({ centroids }: TaskClasses, { words }: Pick<QueryFeatures, "words">): number[] {
  const norm = Math.sqrt(Math.max(1, words.length));
  const odds = centroids.map((centroid) => {
    let product = 0;
    for (const word of words) product += word > 0 ? (centroid[word - 1] ?? 0) : -(centroid[-word - 1] ?? 0);
    return Math.exp((SHARPNESS * product) / norm);
  });
  const sum = odds.reduce((total, one) => total + one, 0);
  return odds.map((one) => one / sum);
}

/** How often the guard lets one answer do for two questions, where it does and where it does not, by pairs that somebody labelled. Pure. */
import { createHash } from "node:crypto";

import { z } from "zod";

import { wellFormed } from "#shared/contracts/text.ts";
import { clopperPearson, type Interval } from "#shared/statistics/clopperPearson.ts";

import { GUARD_VERSION, isRewritten, questionForm } from "./questionForm.ts";
import { textSimilarity } from "./textSimilarity.ts";

/** Two questions, and whether an answer to one does for the other. `kind`: of the difference, for a table. */
export const LabelledPair = z.strictObject({ a: wellFormed(z.string().min(1)), b: wellFormed(z.string().min(1)), same: z.boolean(), kind: wellFormed(z.string().max(64)).optional() });
export type LabelledPair = z.infer<typeof LabelledPair>;

/** A share among `pairs`, with its interval of 95 %. */
export interface Counted extends Interval {
  readonly pairs: number;
  readonly hits: number;
}
export interface PairEvaluation {
  readonly guard_version: number;
  /** Of the set's content, in hex. */
  readonly set_sha256: string;
  /** Of pairs that are the same question. */
  readonly hit_rate: Counted;
  /** Of pairs that are not, and of which the guard reads both sides: where it leaves one as it is, nothing could be a hit. */
  readonly false_hit_rate: Counted;
  readonly false_hits: readonly LabelledPair[];
  /** What likeness would do without a guard, at the highest threshold with as many hits; `null` without hits. */
  readonly similarity_alone: { readonly threshold: number; readonly hit_rate: Counted; readonly false_hit_rate: Counted } | null;
}
/** How much of the set says nothing of the guard. */
interface Coverage {
  /** Pairs that are not the same question, and were not counted. */
  readonly unread_pairs: number;
}

export function evaluatePairs(pairs: readonly LabelledPair[]): PairEvaluation & Coverage {
  const [same, different] = [true, false].map((label) => pairs.filter(({ same: is }) => is === label)) as [LabelledPair[], LabelledPair[]];
  const passes = ({ a, b }: LabelledPair) => a === b || (questionForm(a) !== null && questionForm(a) === questionForm(b));
  const hit_rate = counted(same, passes);
  const read = different.filter((pair) => passes(pair) || [pair.a, pair.b].every((text) => isRewritten(questionForm(text) ?? "=")));
  const likeness = same.map(({ a, b }) => textSimilarity(a, b)).sort((one, other) => other - one);
  const threshold = likeness[hit_rate.hits - 1];
  const isLike = ({ a, b }: LabelledPair) => threshold !== undefined && textSimilarity(a, b) >= threshold;
  return {
    guard_version: GUARD_VERSION,
    set_sha256: createHash("sha256").update(JSON.stringify(pairs.map(({ a, b, same: is }) => [a, b, is]))).digest("hex"),
    hit_rate,
    false_hit_rate: counted(read, passes),
    unread_pairs: different.length - read.length,
    false_hits: read.filter(passes),
    similarity_alone: threshold === undefined ? null : { threshold, hit_rate: counted(same, isLike), false_hit_rate: counted(different, isLike) },
  };
}

/** Why an evaluation may not be stored; `null`: it may. A set without a hit would show no false one either, whatever the guard does. */
export const unfitToStore = ({ hit_rate }: Pick<PairEvaluation, "hit_rate">): string | null => (hit_rate.hits === 0 ? "none of its pairs that are the same question is a hit, so that there is no false one says nothing" : null);

function counted(pairs: readonly LabelledPair[], isHit: (pair: LabelledPair) => boolean): Counted {
  const hits = pairs.filter(isHit).length;
  return { pairs: pairs.length, hits, ...clopperPearson(hits, pairs.length) };
}

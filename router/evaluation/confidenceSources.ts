/**
 * Where confidences come from, so that evaluation can play the same rows with each: as a row has it (`recorded`), by a
 * method of the tier file (its names), or found from the recorded texts. A tier that lacks a source gets the prior, as a
 * worker gives where a method brings nothing, and is counted. Pure.
 */
import { agreement } from "#shared/statistics/agreement.ts";

import { CONFIDENCE_SOURCES, type ConfidenceSource } from "./confidenceNames.ts";
import { EvaluationError } from "./evaluationError.ts";
import type { OutcomeRow, TierOutcome } from "./outcomeLog.ts";
import { mean } from "./routingMetrics.ts";

/** How a worker judges texts: given by who composes, so that nothing is judged in two ways. */
export interface TextJudge {
  /** In [0, 1]. */
  readonly agreement: (output: string, earlier: string) => number;
  readonly isSound: (query: string, output: string) => boolean;
}

/** A confidence as a source has it. Costs and latency are of the calls that it needs beside the answer. */
interface Found extends Pick<TierOutcome, "verify_cost_usd" | "after"> {
  readonly confidence: number;
  /** `null`: there were calls, and nobody measured how long they took. */
  readonly verify_latency_ms: number | null;
}

/** Tiers with `source` as their confidence. `judge`: for rows with texts. Prior: `priors`, by place of the tier. */
export const withSource = (rows: readonly OutcomeRow[], source: ConfidenceSource, { priors, judge }: { readonly priors: readonly number[]; readonly judge: TextJudge | null }): OutcomeRow[] =>
  rows.map((row) => ({ ...row, tiers: row.tiers.map((outcome, place) => ({ ...outcome, ...(found(row, place, source, { prior: priors[place] ?? UNKNOWN, judge }) ?? lacking(priors[place] ?? UNKNOWN)) })) }));

/** Without a row that says how good a tier is. */
const UNKNOWN = 0.5;
const lacking = (prior: number) => ({ confidence: prior, verify_cost_usd: 0, verify_latency_ms: 0, lacks_confidence: true });

/** How good each tier's answers are on the mean, by place: what a tier file states as `prior.quality`. */
export const priorsFrom = (rows: readonly OutcomeRow[], places: number): number[] =>
  Array.from({ length: places }, (_, place) => (rows.length === 0 ? UNKNOWN : mean(rows.map(({ tiers }) => tiers[place]?.quality ?? 0))));

interface Known {
  readonly prior: number;
  readonly judge: TextJudge | null;
}
/** `null`: the row lacks it. */
function found(row: OutcomeRow, place: number, source: ConfidenceSource, known: Known): Found | null {
  const outcome = row.tiers[place];
  if (outcome === undefined) return null;
  switch (source) {
    case "recorded": {
      const { confidence, verify_cost_usd, verify_latency_ms = verify_cost_usd > 0 ? null : 0 } = outcome;
      return confidence === null ? null : { confidence, verify_cost_usd, verify_latency_ms };
    }
    case "soundness": return outcome.text === undefined || known.judge === null ? null : free(known.judge.isSound(row.query, outcome.text) ? 1 : 0);
    case "tier_agreement": return agreementWithEarlier(row, place, known) ?? given(outcome, source);
    case "token_logprobs":
    case "least_token_logprob":
    case "answer_margin":
    case "self_verification":
    case "sample_agreement":
    case "class_probability": return given(outcome, source);
  }
}

const free = (confidence: number): Found => ({ confidence, verify_cost_usd: 0, verify_latency_ms: 0 });

function given({ confidences = {} }: TierOutcome, source: ConfidenceSource): Found | null {
  const one = Object.hasOwn(confidences, source) ? confidences[source] : undefined;
  return one === undefined ? null : { confidence: one.value, verify_cost_usd: one.cost_usd, verify_latency_ms: one.latency_ms };
}

/**
 * Agreement with what a cheaper tier answered before, which costs nothing more where that one was run; where none was, it
 * is the prior. `null`: the first tier, or an answer is missing.
 */
function agreementWithEarlier({ tiers }: OutcomeRow, place: number, { prior, judge }: Known): Found | null {
  const after = tiers.slice(0, place).map((earlier) => agreementOf(tiers[place], earlier, judge));
  const before = after.at(-1) ?? null;
  return before === null ? null : { ...free(before), after: { none: prior, places: after.map((value) => value ?? prior) } };
}

function agreementOf(one: TierOutcome | undefined, earlier: TierOutcome, judge: TextJudge | null): number | null {
  if (judge !== null && one?.text !== undefined && earlier.text !== undefined) return judge.agreement(one.text, earlier.text);
  return one?.answer === undefined || earlier.answer === undefined ? null : agreement(earlier.answer, one.answer);
}

/** Of the tiers whose confidence somebody may read, all but the last: throws `EvaluationError` when none has it. */
export function requireSource(rows: readonly OutcomeRow[], source: ConfidenceSource, judge: TextJudge | null): void {
  const has = (one: ConfidenceSource) => rows.some((row) => row.tiers.slice(0, -1).some((_outcome, place) => found(row, place, one, { prior: UNKNOWN, judge }) !== null));
  if (has(source)) return;
  const others = CONFIDENCE_SOURCES.filter(has);
  throw new EvaluationError(`no row has a confidence ${source} of a tier below the last; there is ${others.length === 0 ? "none of any source" : others.join(", ")}${HINTS[source] ?? ""}`);
}
const HINTS: Readonly<Partial<Record<ConfidenceSource, string>>> = {
  tier_agreement: ". It needs answers or texts, and three tiers: the first has no other to agree with",
  soundness: ". It needs texts: --outputs",
};

/** Raw confidence as whoever decides gets it, when the tier at `latest` answered before; `undefined`: none did. */
export function confidenceAfter({ confidence, after }: Pick<TierOutcome, "confidence" | "after">, latest: number | undefined): number | null {
  if (after === undefined) return confidence;
  return latest === undefined ? after.none : (after.places[latest] ?? after.none);
}

/**
 * From shadow labels and feedback to rows that routing is trained on. Pure. A request is a row only when each tier has
 * an answer and a label: which tier is missing depends on how hard the request was, so rows with what happens to be there
 * would teach that the others never answer such requests.
 */
import type { QueryFeatures } from "#shared/contracts/queryFeatures.ts";
import type { ShadowTier } from "#shared/contracts/shadow.ts";

import { isPaidMethod, RECORDED_SOURCES } from "./confidenceNames.ts";
import type { OutcomeRow, TierOutcome } from "./outcomeLog.ts";

/** Who is believed first. Other sources are kept in the audit and teach nothing: nobody said what they mean. */
const TRUSTED_SOURCES = ["label", "judge", "user"] as const;

/** One sampled request. */
export interface LiveRecord {
  readonly id: string;
  /** When its shadow was recorded, as ISO 8601. */
  readonly at: string;
  readonly task: string | null;
  readonly query: QueryFeatures | null;
  readonly reference_tier: string;
  readonly tiers: readonly ShadowTier[];
  /** Scores in [0, 1] of the kept answer, by source. */
  readonly feedback: Readonly<Record<string, number>>;
}

/** What the most trusted source says about the kept answer; `null` when none of them has said anything. */
export function trustedScore(feedback: LiveRecord["feedback"]): number | null {
  const source = TRUSTED_SOURCES.find((name) => Object.hasOwn(feedback, name));
  return source === undefined ? null : (feedback[source] ?? null);
}

type Answer = Pick<ShadowTier, "error_code" | "is_sound" | "agreement_with_baseline" | "agreement_with_kept">;

/**
 * How good a tier's answer was, in [0, 1]; `null` when that is not known. `score`: feedback on the kept answer, if any.
 *
 * - Without feedback: its agreement with the baseline, whose own is 1. That is stricter than quality, since another answer
 *   may be as good or better, and it cannot see what the baseline gets wrong.
 * - The same answer as the kept one has the score that the kept one was given, whoever gave it: also the baseline's.
 * - The kept answer was good (score from 0.5 on): another answer is good as far as it says the same, so the baseline loses
 *   where it disagrees with what a person confirmed.
 * - The kept answer was bad: that says nothing about a different one, for which agreement with the baseline stands in.
 * - An answer that is not sound is never given to anybody, so it is worth 0.
 */
export function liveQuality({ error_code, is_sound, agreement_with_baseline, agreement_with_kept }: Answer, score: number | null): number | null {
  if (error_code !== null) return null;
  if (!is_sound) return 0;
  if (score === null) return agreement_with_baseline;
  if (agreement_with_kept === 1) return score;
  if (score < 0.5) return agreement_with_baseline;
  return agreement_with_kept === null ? null : agreement_with_kept * score;
}

export type LiveRow = { readonly row: OutcomeRow } | {
  /** Tiers without an answer that has a label, or what else is missing. */
  readonly lacks: readonly string[];
};

/** `tiers`: which a row must have, in this order. */
export function toLiveRow({ id, task, query, reference_tier, tiers: found, feedback }: LiveRecord, { tiers, baselineTier }: { readonly tiers: readonly string[]; readonly baselineTier: string }): LiveRow {
  if (reference_tier !== baselineTier) return { lacks: [`a comparison with ${baselineTier}`] };
  const isCompared = found.some(({ tier, is_sound }) => tier === baselineTier && is_sound);
  const score = trustedScore(feedback);
  const outcomes = tiers.map((name) => {
    const record = found.find(({ tier }) => tier === name);
    return record === undefined || (name === baselineTier && !isCompared) ? null : outcomeOf(record, score);
  });
  const lacks = [...(query === null ? ["the input"] : []), ...tiers.filter((_name, place) => outcomes[place] === null)];
  if (query === null || lacks.length > 0) return { lacks };
  return { row: { id, dataset: task ?? "live", query: "", features: query, tiers: outcomes.filter((outcome) => outcome !== null) } };
}

/**
 * An answer that is not sound is never kept, whatever its confidence: 0 says so to whoever decides by it. What a confidence
 * cost is set apart from the answer where it is known and brought one; else it stays in the answer's cost.
 */
function outcomeOf(record: ShadowTier, score: number | null): TierOutcome | null {
  const quality = liveQuality(record, score);
  if (quality === null) return null;
  const { confidence: said, confidence_source: source, is_sound, cost_nano_usd, latency_ms, checks } = record;
  const confidence = is_sound ? said : 0;
  const paid = checks === undefined || source === null || !isPaidMethod(source) ? { cost_nano_usd: 0, latency_ms: 0 } : checks;
  const [verify_cost_usd, verify_latency_ms] = [paid.cost_nano_usd / 1e9, paid.latency_ms];
  const isNamed = confidence !== null && RECORDED_SOURCES.some((name) => name === source);
  return {
    quality, cost_usd: (cost_nano_usd - paid.cost_nano_usd) / 1e9, verify_cost_usd, verify_latency_ms, confidence, latency_ms: Math.max(0, latency_ms - verify_latency_ms), agreement: is_sound ? record.agreement_with_baseline : 0,
    ...(isNamed && source !== null ? { confidences: { [source]: { value: confidence, cost_usd: verify_cost_usd, latency_ms: verify_latency_ms } } } : {}),
  };
}

/** Rows, and what became of the other requests. */
export interface LiveRows {
  readonly rows: readonly OutcomeRow[];
  /** Sampled requests that were read. */
  readonly read: number;
  /** Of the rows, how many have feedback that counts. */
  readonly withFeedback: number;
  /** Requests that lack a tier, or something else, by what it is. */
  readonly lacking: ReadonlyMap<string, number>;
  /** By tier, how its answers call the model, where that is not always the same. */
  readonly mixedModels: ReadonlyMap<string, readonly string[]>;
  /** When the first and the last of the rows were recorded; `null` when there are none. */
  readonly span: { readonly from: string; readonly to: string } | null;
}

/** In whatever order the records come. Keeps of them what training needs. */
export async function gatherLiveRows(records: AsyncIterable<LiveRecord>, wanted: { readonly tiers: readonly string[]; readonly baselineTier: string }): Promise<LiveRows> {
  const rows: OutcomeRow[] = [], times: string[] = [];
  const lacking = new Map<string, number>();
  const models = new Map(wanted.tiers.map((tier) => [tier, new Set<string>()]));
  let read = 0, withFeedback = 0;
  for await (const record of records) {
    read++;
    const made = toLiveRow(record, wanted);
    if ("lacks" in made) {
      for (const what of made.lacks) lacking.set(what, (lacking.get(what) ?? 0) + 1);
      continue;
    }
    rows.push(made.row);
    times.push(record.at);
    if (trustedScore(record.feedback) !== null) withFeedback++;
    for (const { tier, model } of record.tiers) models.get(tier)?.add(model);
  }
  const [from, to] = [times.reduce((least, at) => (at < least ? at : least), times[0] ?? ""), times.reduce((most, at) => (at > most ? at : most), "")];
  const mixedModels = new Map([...models].filter(([, names]) => names.size > 1).map(([tier, names]) => [tier, [...names].sort()]));
  return { rows, read, withFeedback, lacking, mixedModels, span: rows.length === 0 ? null : { from, to } };
}

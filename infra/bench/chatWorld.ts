/** Recorded rows as tiers of a system: prices that give the recorded costs, and what the policy code makes of each row. */
import { writeFileSync } from "node:fs";

import { z } from "zod";

import { type OutcomeRow, readOutcomeLog, readRows } from "#router/evaluation/outcomeLog.ts";
import { type Played, playRow, type TierPrior } from "#router/evaluation/playRow.ts";
import { tierAgreement } from "#workers/confidence/tierAgreement.ts";

/** Where a text of a multiple-choice answer says its letter. */
const ANSWER_PATTERN = "answer is \\(?([A-J])\\)?";
/** The first tier has nothing to agree with, and is never kept; the second where it agrees with the first; the last always. */
const PRIOR_QUALITY = 0.5;
const acceptFrom = (place: number, tiers: number): number => (place === 0 ? 1 : place === tiers - 1 ? 0 : 0.9);

export interface RecordedChat {
  readonly id: string;
  readonly query: string;
  /** By place. */
  readonly texts: readonly string[];
  readonly row: OutcomeRow;
}
const Tokens = z.object({ prompt_tokens: z.int(), completion_tokens: z.int(), cost_usd: z.number() });
const Line = z.object({ id: z.string(), query: z.string(), tiers: z.record(z.string(), z.unknown()) });
const Texts = z.object({ id: z.string(), outputs: z.record(z.string(), z.string()) });

export interface Price {
  readonly input: number;
  readonly output: number;
}

/** Rows of which every model has a text, each query once, in the order of the file. */
export async function readChats(rowsFile: string, outputsFile: string, models: readonly string[]): Promise<{ chats: RecordedChat[]; prices: Price[] }> {
  const rows = await readOutcomeLog(rowsFile, models);
  const tokens = new Map((await readRows(rowsFile, (content) => Line.parse(JSON.parse(content)))).map(({ id, tiers }) => [id, models.map((model) => Tokens.parse(tiers[model]))]));
  const texts = new Map((await readRows(outputsFile, (content) => Texts.parse(JSON.parse(content)))).map(({ id, outputs }) => [id, models.map((model) => outputs[model])]));
  const seen = new Set<string>();
  const chats = rows.flatMap((row): RecordedChat[] => {
    const own = texts.get(row.id)?.filter((text) => text !== undefined) ?? [];
    const query = row.query.trim();
    if (own.length < models.length || seen.has(query)) return [];
    seen.add(query);
    return [{ id: row.id, query, texts: own, row: judged(row, own) }];
  });
  return { chats, prices: models.map((_model, place) => priceOf([...tokens.values()].flatMap((of) => of[place] ?? []))) };
}

/** With the agreement of texts as confidence: what workers find, by the same function. */
function judged(row: OutcomeRow, texts: readonly string[]): OutcomeRow {
  const pattern = new RegExp(ANSWER_PATTERN, "giu");
  const tiers = row.tiers.map((outcome, place) => ({ ...outcome, verify_cost_usd: 0, latency_ms: null, confidence: place === 0 ? PRIOR_QUALITY : tierAgreement(texts[place] ?? "", texts[place - 1] ?? null, pattern) }));
  return { ...row, tiers };
}

/** USD per million tokens: what two calls of different proportions cost, solved; then every call is checked. */
function priceOf(calls: readonly z.infer<typeof Tokens>[]): Price {
  const [first] = calls;
  const other = calls.find((one) => first !== undefined && one.prompt_tokens * first.completion_tokens !== first.prompt_tokens * one.completion_tokens);
  if (first === undefined || other === undefined) throw new Error("too few calls to tell a price");
  const determinant = first.prompt_tokens * other.completion_tokens - other.prompt_tokens * first.completion_tokens;
  const per = (value: number) => Number(((1e6 * value) / determinant).toFixed(6));
  const price = {
    input: per(first.cost_usd * other.completion_tokens - other.cost_usd * first.completion_tokens),
    output: per(first.prompt_tokens * other.cost_usd - other.prompt_tokens * first.cost_usd),
  };
  const off = calls.find(({ prompt_tokens, completion_tokens, cost_usd }) => Math.abs(prompt_tokens * price.input + completion_tokens * price.output - 1e6 * cost_usd) > 1e-3);
  if (off !== undefined) throw new Error(`a recorded cost is not its tokens at one price: ${JSON.stringify(off)}`);
  return price;
}

export const tierNames = (models: readonly string[]): string[] => models.map((_model, place) => `tier-${place + 1}`);

export function writeTiers(file: string, baseUrl: string, models: readonly string[], prices: readonly Price[]): string {
  const names = tierNames(models);
  const last = names.at(-1);
  writeFileSync(file, JSON.stringify({
    version: 1, baseline_tier: last, default_policy: "cascade", static_routes: { default: last },
    tiers: names.map((name, place) => ({
      name, slots: 64, max_tries: 1, timeout_ms: 60_000,
      backend: { kind: "openai-compatible", model: models[place], base_url: baseUrl, max_output_tokens: 32_768, logprobs: false, idle_timeout_ms: 2_000 },
      price: { usd_per_million_input_tokens: prices[place]?.input, usd_per_million_output_tokens: prices[place]?.output, source: "recorded costs", valid_from: "2026-11-01" },
      accept_confidence: acceptFrom(place, models.length),
      confidence: { default: { kind: "tier_agreement", answer_pattern: ANSWER_PATTERN } },
      prior: { quality: PRIOR_QUALITY, latency_p50_ms: 200, latency_p95_ms: 400 },
      breaker: { failures_in_a_row: 1_000, open_for_ms: 100 },
    })),
  }, null, 2));
  return file;
}

/** What `inferctl evaluate` makes of a row: the same function, on the tier file's thresholds. */
export function played({ row }: RecordedChat, models: readonly string[]): Played {
  const tiers = tierNames(models).map((name, place): TierPrior => ({ name, quality: PRIOR_QUALITY, cost_usd: row.tiers[place]?.cost_usd ?? 0, latency: null, accept_confidence: acceptFrom(place, models.length) }));
  return playRow(row, { policy: "cascade", tiers, latencySloMs: null, paysVerification: true });
}

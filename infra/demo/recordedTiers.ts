/** An outcome log as tiers: which of its models, which half of its rows is learnt from and which is asked, and a tier file. Pure. */
import { wholeTokensOf } from "#infra/recorded/completion.ts";
import { wordsOf } from "#infra/recorded/pieces.ts";
import type { RecordedAnswer } from "#infra/recorded/recordedAnswers.ts";
import type { OutcomeRow } from "#router/evaluation/outcomeLog.ts";
import { mean, quantileOf } from "#router/evaluation/routingMetrics.ts";
import { TierName } from "#shared/contracts/tiers.ts";
import { hashText } from "#workers/backends/local/hash.ts";

import { fitPrice } from "./fitPrice.ts";
import type { DemoItem } from "./planDemo.ts";

const MOST_CHOSEN = 3;

/** Cheapest first: of the models that are better than each cheaper one, at most three, the cheapest and the best among them. `rows`: with all models. */
export function chooseModels(rows: readonly OutcomeRow[], models: readonly string[]): string[] {
  const known = models.map((model, place) => ({ model, cost: mean(rows.map(({ tiers }) => tiers[place]?.cost_usd ?? 0)), quality: mean(rows.map(({ tiers }) => tiers[place]?.quality ?? 0)) }));
  const rising = known.toSorted((a, b) => a.cost - b.cost || b.quality - a.quality).filter(({ quality }, i, all) => all.slice(0, i).every((cheaper) => cheaper.quality < quality));
  const wanted = Math.min(MOST_CHOSEN, rising.length);
  return Array.from({ length: wanted }, (_, i) => rising[Math.round((i * (rising.length - 1)) / Math.max(1, wanted - 1))]?.model ?? "");
}

/** By the text of the query, each query once: what is asked was never learnt from. */
export function halves(rows: readonly OutcomeRow[], seed: number): { readonly learnt: OutcomeRow[]; readonly asked: OutcomeRow[] } {
  const once = [...new Map(rows.toReversed().map((row) => [row.query.trim(), row])).values()].reverse();
  const isAsked = ({ query }: OutcomeRow): boolean => hashText(`half ${seed} ${query.trim()}`) % 2 === 1;
  return { learnt: once.filter((row) => !isAsked(row)), asked: once.filter(isAsked) };
}

/** Names that a tier may have, by model. */
export function tierNamesOf(models: readonly string[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const [i, model] of models.entries()) {
    const plain = model.toLowerCase().replaceAll(/[^a-z0-9-]+/g, "-").replaceAll(/^[^a-z]+|-+$/g, "").slice(0, 31);
    names.set(model, TierName.safeParse(plain).success && ![...names.values()].includes(plain) ? plain : `tier-${i + 1}`);
  }
  return names;
}

/** What users want to know, and what the log says of each answer. `names`: of the tiers, by model; `models`: in the rows' order. */
export const recordedItems = (rows: readonly OutcomeRow[], models: readonly string[], names: ReadonlyMap<string, string>): DemoItem[] =>
  rows.map(({ id, dataset, query, tiers }) => {
    const scores = new Map(models.map((model, place) => [names.get(model) ?? model, tiers[place]?.quality ?? 0]));
    return { id, group_id: id, input: query, task: dataset.toLowerCase().replaceAll(/[^a-z0-9_-]+/g, "-").slice(0, 64) || "other", scoreOf: ({ tier }) => scores.get(tier ?? "") ?? 0 };
  });

export interface RecordedTiers {
  /** Cheapest first. */
  readonly models: readonly string[];
  readonly names: ReadonlyMap<string, string>;
  /** What the tiers' priors are from, in the order of `models`. */
  readonly learnt: readonly OutcomeRow[];
  /** All that may be served, by model. */
  readonly answers: ReadonlyMap<string, readonly RecordedAnswer[]>;
  readonly confidence: "token_logprobs" | "tier_agreement";
  /** Of the log's latencies. */
  readonly timeScale: number;
  readonly baseUrl: string;
  /** Of the log. */
  readonly source: string;
  /** Day of the prices. */
  readonly today: string;
}

const SLOTS = 32;
/** Until a model decides, and for the policy `cascade` without one. */
const ACCEPT_CONFIDENCE = 0.9;
const TIMEOUT_MS = 120_000;
/** Of models whose latency was not recorded, in milliseconds. */
export const DEFAULT_LATENCY_MS = 500;

/** JSON, which is YAML: fits `TierFile`. And how far its prices are from the log's costs, at most. */
export function recordedTierFile({ models, names, learnt, answers, confidence, timeScale, baseUrl, source, today }: RecordedTiers): { readonly file: object; readonly priceError: number } {
  const prices = models.map((model) => fitPrice((answers.get(model) ?? []).map((answer) => ({ ...tokensOf(answer), costUsd: answer.costUsd }))));
  const most = mostOutput(answers);
  const baseline = names.get(models.at(-1) ?? "") ?? "";
  const file = {
    version: 1, baseline_tier: baseline, default_policy: "cascade-routing", static_routes: { default: baseline },
    tiers: models.map((model, place) => {
      const latencies = learnt.map(({ tiers }) => Math.max(1, timeScale * (tiers[place]?.latency_ms ?? DEFAULT_LATENCY_MS)));
      return {
        name: names.get(model), slots: SLOTS, max_tries: 2, timeout_ms: TIMEOUT_MS, accept_confidence: place === models.length - 1 ? 0 : ACCEPT_CONFIDENCE,
        backend: { kind: "openai-compatible", model, base_url: baseUrl, max_output_tokens: most, ...(confidence === "token_logprobs" ? {} : { logprobs: false }) },
        confidence: { default: { kind: confidence } },
        price: { usd_per_million_input_tokens: prices[place]?.inputUsd, usd_per_million_output_tokens: prices[place]?.outputUsd, source: `fitted to the costs of ${source}`, valid_from: today, unusual: "fitted to an outcome log" },
        prior: { quality: mean(learnt.map(({ tiers }) => tiers[place]?.quality ?? 0)), latency_p50_ms: quantileOf(latencies, 0.5), latency_p95_ms: quantileOf(latencies, 0.95) },
      };
    }),
  };
  return { file, priceError: Math.max(...prices.map(({ error }) => error)) };
}

/** Room for the longest answer of any of them, in tokens or in words: none is cut, and no model seems dearer for having said more once. */
const mostOutput = (answers: RecordedTiers["answers"]): number =>
  [...answers.values()].flat().reduce((most, answer) => Math.max(most, tokensOf(answer).completionTokens, wordsOf(answer.text ?? "").length), 1);

function tokensOf(answer: RecordedAnswer): { readonly promptTokens: number; readonly completionTokens: number } {
  const { promptTokens, wholeTokens } = wholeTokensOf(answer, { text: answer.text ?? "", calls: [] });
  return { promptTokens, completionTokens: wholeTokens };
}

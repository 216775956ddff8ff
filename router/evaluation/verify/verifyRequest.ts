/**
 * Decides a recorded request again, from what its audit event holds and the tier files and routing models that it names, by the router's own
 * code, and compares each decision value for value (docs/replay.md, ADR 0037). What was live then (queues, latencies, breakers, the clock, what was
 * left of budgets) is recorded as the facts of a decision; prices, thresholds, costs and values are worked out again. Pure.
 */
import { type Asked, decideFrom, type Given, readsModel } from "#router/decide.ts";
import { fixedQuote } from "#router/policy/quoteTiers.ts";
import { seenAs } from "#router/policy/routingValues.ts";
import type { Decision, Facts, LearnedFacts } from "#shared/contracts/decision.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import type { Terms } from "#shared/contracts/terms.ts";
import { fileOfEmbedder, type TierFile } from "#shared/contracts/tiers.ts";
import { baselineOf } from "#shared/saga/closings.ts";
import type { SagaContext } from "#shared/saga/inferenceMachine.ts";

import { type Difference, firstDifference, under } from "./firstDifference.ts";
import { playSaga } from "./playSaga.ts";

/** Why there is nothing to compare. The words are keys of the report: keep them stable. */
export const UNVERIFIABLE = ["cache_hit", "nothing_decided", "older_event", "tier_file_not_kept", "model_not_kept"] as const;
export type Unverifiable = (typeof UNVERIFIABLE)[number];
export type Verdict =
  | { readonly kind: "same"; readonly decisions: number }
  /** The first difference of the request. */
  | { readonly kind: "differs"; readonly decisions: number; readonly difference: Difference }
  /** `version`: which one is not kept. */
  | { readonly kind: "unverifiable"; readonly why: Unverifiable; readonly version?: string };

/** By version, what was decided by. `null`, or none: it is not kept any more. */
export interface KeptVersions {
  readonly tierFiles: ReadonlyMap<string, TierFile | null>;
  readonly models: ReadonlyMap<string, RoutingModelFile | null>;
}

/** The request as decisions see it, from its audit event; `null`: the event is older than this, or its request could not be read. */
function recordedRequest(completion: Completion): RecordedRequest | null {
  const { tenant_id, request_id, policy, task, budget_nano_usd, input_bytes, latency_slo_ms = null, terms } = completion;
  if (terms === undefined || policy === null || budget_nano_usd === null || input_bytes === null) return null;
  const { deadline_at_ms, min_quality = null, min_tier = null, max_tier = null, allowed_tiers, asked } = terms;
  return {
    asked: { tenant_id, request_id, policy, task, budget_nano_usd, latency_slo_ms, deadline_at_ms, min_quality, min_tier, max_tier, ...(allowed_tiers === undefined ? {} : { allowed_tiers }) },
    inputBytes: input_bytes, shape: asked,
  };
}
interface RecordedRequest {
  readonly asked: Asked;
  readonly inputBytes: number;
  readonly shape: Terms["asked"];
}

export function verifyRequest(completion: Completion, versions: KeptVersions): Verdict {
  const { decisions } = completion;
  if (completion.cache !== undefined) return { kind: "unverifiable", why: "cache_hit" };
  const [first] = decisions;
  if (first === undefined) return { kind: "unverifiable", why: "nothing_decided" };
  const request = recordedRequest(completion);
  if (request === null || first.tier_file === undefined) return { kind: "unverifiable", why: "older_event" };
  const missing = missingVersion(decisions, versions);
  if (missing !== null) return missing;

  const fileOf = ({ tier_file = "" }: Decision): TierFile => {
    const whole = versions.tierFiles.get(tier_file) ?? null;
    if (whole === null) throw new Error(`tier file ${tier_file} was looked for`);
    return request.shape?.kind === "embed" ? fileOfEmbedder(whole, request.asked.policy) : whole;
  };
  const check = (decision: Decision, saga: SagaContext) => checkDecision(decision, { request, saga, file: fileOf(decision), models: versions.models });
  const isOfMessages = request.shape !== undefined;
  const baseline = baselineOf(fileOf(first));
  let difference = playSaga(completion, { baseline, hasMessages: isOfMessages, check });
  // Some backends answer a conversation by text alone, which is not recorded of answers that were not kept.
  if (difference !== null && isOfMessages) difference = playSaga(completion, { baseline, hasMessages: false, check });
  return difference === null ? { kind: "same", decisions: decisions.length } : { kind: "differs", decisions: decisions.length, difference };
}

/** Which versions an event needs to be verified. */
export function versionsNeeded({ decisions }: Pick<Completion, "decisions">, need: { readonly tierFile: (version: string) => void; readonly model: (version: string) => void }): void {
  for (const { tier_file, learned } of decisions) {
    if (tier_file !== undefined) need.tierFile(tier_file);
    if (learned !== undefined) need.model(learned.model_version);
  }
}

function missingVersion(decisions: readonly Decision[], { tierFiles, models }: KeptVersions): Extract<Verdict, { kind: "unverifiable" }> | null {
  for (const { tier_file, learned } of decisions) {
    if (tier_file === undefined) return { kind: "unverifiable", why: "older_event" };
    if ((tierFiles.get(tier_file) ?? null) === null) return { kind: "unverifiable", why: "tier_file_not_kept", version: tier_file };
    if (learned !== undefined && (models.get(learned.model_version) ?? null) === null) return { kind: "unverifiable", why: "model_not_kept", version: learned.model_version };
  }
  return null;
}

interface Situation {
  readonly request: RecordedRequest;
  readonly saga: SagaContext;
  readonly file: TierFile;
  readonly models: KeptVersions["models"];
}
function checkDecision(recorded: Decision, { request, saga, file, models }: Situation): Difference | null {
  const { quotes } = recorded.facts;
  if (quotes.length !== file.tiers.length || quotes.some(({ tier }, i) => tier !== file.tiers[i]?.name)) {
    const names = firstDifference(quotes.map(({ tier }) => tier), file.tiers.map(({ name }) => name));
    if (names !== null) return under("facts.quotes", names);
  }
  const { exploration, learned, tier_file: tierFileVersion = "" } = recorded;
  return firstDifference(recorded, decideFrom(request.asked, saga, {
    file, tierFileVersion, facts: factsAgain(recorded.facts, file, request), routing: learned === undefined || !readsModel(request.asked.policy) ? null : routingAgain(learned, models),
    exploration: exploration === undefined ? NOT_EXPLORED : { share: exploration.share, maxExtraCostNanoUsd: exploration.max_extra_cost_nano_usd },
  }));
}
const NOT_EXPLORED = { share: 0, maxExtraCostNanoUsd: nanoUsd(0) };

/** What was live as it is recorded; what the tier file and the request say, from them. */
function factsAgain({ at_ms, min_on_time, quotes, pacing, budget_left }: Facts, file: TierFile, { asked: { task }, inputBytes: bytes, shape }: RecordedRequest): Facts {
  return {
    at_ms, min_on_time,
    quotes: quotes.map((quote, i) => {
      const tier = file.tiers[i];
      if (tier === undefined) throw new Error("quotes and tiers have been compared");
      const { quality, accept_confidence, input_tokens, tokens_source, expected_cost_nano_usd, max_cost_nano_usd } = fixedQuote(tier, { task, bytes, shape, counted: quote.tokens_source === "counted" ? quote.input_tokens : undefined });
      // Field by field: a spread costs as much as all the rest.
      return {
        tier: tier.name, quality, accept_confidence, input_tokens, tokens_source, expected_cost_nano_usd, max_cost_nano_usd,
        on_time: quote.on_time, within_slo: quote.within_slo, expected_latency_ms: quote.expected_latency_ms, breaker: quote.breaker, workers: quote.workers, queue_depth: quote.queue_depth,
      };
    }),
    ...(pacing === undefined ? {} : { pacing }),
    ...(budget_left === undefined ? {} : { budget_left }),
  };
}

function routingAgain({ model_version, floor_steps, features: { classes, ...shape } }: LearnedFacts, models: KeptVersions["models"]): Given["routing"] {
  const model = models.get(model_version) ?? null;
  if (model === null) throw new Error(`model ${model_version} was looked for`);
  return { model, floorSteps: floor_steps, query: { shape, seen: seenAs(shape, model.classes.names.map((name) => (Object.hasOwn(classes, name) ? (classes[name] ?? 0) : 0))) } };
}

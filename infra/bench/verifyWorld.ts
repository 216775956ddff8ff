/** Audit events as the service writes them, of requests that were really decided and moved on, without servers: for replay's checks and their throughput. */
import { decide, type Known } from "#router/decide.ts";
import { type Attempt, Completion } from "#shared/contracts/events.ts";
import { featuresKnown } from "#shared/contracts/modelShape.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { type InferenceRequest, InferenceRequest as Request } from "#shared/contracts/request.ts";
import { costOf } from "#shared/contracts/rates.ts";
import { type RoutingLevel, type RoutingModelFile, WORD_PLACES } from "#shared/contracts/routingModel.ts";
import { fileFor, TierFile } from "#shared/contracts/tiers.ts";
import { modelVersion } from "#shared/runtime/readModel.ts";
import { tierFileVersion } from "#shared/runtime/tierFileVersion.ts";
import { baselineOf } from "#shared/saga/closings.ts";
import { type MachineEvent, newSaga, type Saga } from "#shared/saga/inferenceMachine.ts";
import { messagesAfter, readSaga } from "#shared/saga/messagesAfter.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

const START_MS = 1_795_000_000_000;
const USD_PER_MILLION = { small: [0.1, 0.4], medium: [0.5, 2], large: [2.5, 10] } as const;
const NAMES = ["small", "medium", "large"] as const;
const price = (name: (typeof NAMES)[number]) => ({ usd_per_million_input_tokens: USD_PER_MILLION[name][0], usd_per_million_output_tokens: USD_PER_MILLION[name][1], source: "made up", valid_from: "2026-01-01" });
const tierFileAt = (baseUrl: string) => ({
  version: 1, baseline_tier: "large", default_policy: "cascade-routing", static_routes: { default: "medium", tasks: { mail: "small" } },
  tiers: NAMES.map((name, place) => ({
    name, slots: 8, price: price(name), timeout_ms: 30_000, accept_confidence: 0.9 - 0.2 * place,
    backend: { kind: "openai-compatible", model: `${name}-2026`, base_url: baseUrl, max_output_tokens: 512, system: "Be brief." },
    confidence: { default: name === "medium" ? { kind: "self_verification" } : { kind: "token_logprobs" }, tasks: { sums: { kind: "sample_agreement", samples: 2 } } },
    prior: { quality: 0.7 + 0.12 * place, latency_p50_ms: 200 * (1 + place), latency_p95_ms: 900 * (1 + place) },
  })),
  embedders: [{
    name: "vectors", slots: 4, dimensions: 8, timeout_ms: 5_000, backend: { kind: "openai-embeddings", model: "embed-3", base_url: baseUrl },
    price: { usd_per_million_input_tokens: 0.02, source: "made up", valid_from: "2026-01-01" }, prior: { latency_p50_ms: 50, latency_p95_ms: 200 },
  }],
});
const CLASSES = ["mail", "sums", "code", "law", "trivia", "chat", "books", "logic"];
const LAMBDAS = [0, 200, 800, 3_000];
const WORDS = "which of these is not the capital 1990 of France sort spam from mail 42 and say why the second law holds when x is even".split(" ");

export interface WorldOptions {
  readonly seed: number;
  /** `typical`: texts under `cascade-routing` alone, without other wishes. `mixed`: all policies, wishes, budgets, pacing, failures and ends. */
  readonly traffic: "typical" | "mixed";
  /** Of every backend. Default: where nobody listens. */
  readonly backendUrl?: string;
}
export interface World {
  readonly file: TierFile;
  /** The same as a person writes it. */
  readonly source: object;
  readonly model: RoutingModelFile;
  readonly versions: { readonly tierFiles: ReadonlyMap<string, TierFile>; readonly models: ReadonlyMap<string, RoutingModelFile> };
  readonly next: () => Completion;
}

export function makeVerifyWorld({ seed, traffic, backendUrl = "http://127.0.0.1:9/v1" }: WorldOptions): World {
  const random = seededRandom(seed);
  const isMixed = traffic === "mixed";
  const chance = (probability: number): boolean => random() < probability;
  const mixed = (probability: number): boolean => isMixed && chance(probability);
  const oneOf = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
  const source = tierFileAt(backendUrl);
  const file = TierFile.parse(source);
  const model = modelOf(random);
  let n = 0;

  function request(): InferenceRequest {
    const accepted_at_ms = START_MS + 50 * n;
    const text = Array.from({ length: 3 + Math.floor(60 * random()) }, () => oneOf(WORDS)).join(" ");
    const kind = mixed(0.05) ? "embed" : mixed(0.2) ? "chat" : "text";
    const min_tier = mixed(0.1) ? oneOf(NAMES) : null;
    const input = kind === "embed" ? { texts: [text] } : kind === "text" ? text
      : { messages: [{ role: "user", content: text }], ...(chance(0.5) ? { max_output_tokens: 100 } : {}), ...(chance(0.3) ? { tools: [{ type: "function" }] } : {}) };
    return Request.parse({
      tenant_id: "tenant-1", request_id: `r-${n}`, origin: "gateway-0badcafe", user_id: "u-1", input,
      budget_nano_usd: mixed(0.1) ? Math.floor(3_000_000 * random()) : 50_000_000, accepted_at_ms, deadline_at_ms: accepted_at_ms + (mixed(0.2) ? 200 + Math.floor(3_000 * random()) : 30_000),
      latency_slo_ms: mixed(0.15) ? 300 + Math.floor(4_000 * random()) : null, min_quality: mixed(0.1) ? random() : null,
      min_tier, max_tier: min_tier === null && mixed(0.1) ? oneOf(NAMES) : null, ...(mixed(0.1) ? { allowed_tiers: ["small", "large"] } : {}), ...(mixed(0.1) ? { priority: "batch" } : {}),
      policy: kind === "embed" ? "always-vectors" : isMixed ? oneOf(["cascade-routing", "cascade-routing", "cascade-routing", "predictive", "cascade", "cheapest", "static", "always-medium"]) : "cascade-routing",
      task: oneOf([null, "mail", "sums"]), metadata: null, fingerprint: "BvRqRSrSV-l4IG-2e1ETJrj5OcDGtuVC4uztKsHAC5g", input_sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    });
  }

  function known(nowMs: number): Known {
    const live = new Map(["vectors", ...NAMES].map((name, place) => [name, {
      latency: chance(0.3) ? null : { p50: 100 * (1 + place) * (1 + random()), p95: 700 * (1 + place) * (1 + random()) }, queueDepth: Math.floor(mixed(0.2) ? 40 * random() : 4 * random()),
      slots: 8, workers: mixed(0.05) ? 0 : 2, breaker: mixed(0.05) ? ("open" as const) : ("closed" as const), batch: { queueDepth: 3, slots: 2 },
    }]));
    return {
      file, live, model: mixed(0.15) ? null : model, floorSteps: mixed(0.2) ? oneOf([1, 2, "all"] as const) : 0, exploration: { share: isMixed ? 0.2 : 0.01, maxExtraCostNanoUsd: nanoUsd(10_000_000) }, nowMs,
      ...(chance(0.5) ? { counted: new Map([["medium", 20 + Math.floor(100 * random())], ["large", 20 + Math.floor(100 * random())]]) } : {}),
      ...(mixed(0.2) ? { pacing: { lambda_per_usd: 4_000 * random(), window: "month", may_go_below_floor: chance(0.5) } } : {}),
      ...(mixed(0.1) ? { budgetLeft: { nano_usd: nanoUsd(Math.floor(2_000_000 * random())), refusal: "the budget of the day is spent", ends_at_ms: nowMs + 1_000 } } : {}),
    };
  }

  function attempt(number: number, tier: string, startedAtMs: number): Attempt {
    const { price: rates } = file.tiers.find(({ name }) => name === tier) ?? file.embedders[0] ?? never();
    const usage = { input_tokens: 60, output_tokens: Math.floor(200 * random()), source: "reported" as const };
    const base = { attempt: number, tier, model: `${tier}-2026`, started_at_ms: startedAtMs, latency_ms: Math.round(1e6 * random()) / 1e3, tries: 1, usage, cost_nano_usd: costOf(rates, usage), cost_is_partial: false };
    if (mixed(0.15)) return { ...base, usage: null, cost_nano_usd: nanoUsd(0), outcome: { kind: "failed", code: "backend_unavailable", message: "no answer" } };
    return { ...base, rates: { input_nano_usd_per_million: rates.input_nano_usd_per_million, output_nano_usd_per_million: rates.output_nano_usd_per_million, request_nano_usd: rates.request_nano_usd }, outcome: { kind: "answered", is_sound: !mixed(0.1), confidence: random() ** 0.3, confidence_source: "token_logprobs" } };
  }

  function next(): Completion {
    n++;
    const asked = request();
    const isText = typeof asked.input === "string";
    let saga: Saga = newSaga(baselineOf(fileFor(file, asked)));
    let nowMs = asked.accepted_at_ms + 2;
    const move = (event: MachineEvent): Completion | null => {
      for (const message of messagesAfter(asked, saga, event, { nowMs, traceId: "4bf92f3577b34da6a3ce929d0e0e4736" })) {
        if (message.type === "completion.v1") return Completion.parse(JSON.parse(JSON.stringify(message)));
        saga = readSaga(JSON.parse(JSON.stringify(message.saga)) as Record<string, unknown>);
      }
      return null;
    };
    for (;;) {
      const state = known(nowMs);
      const { counted, ...later } = state;
      const decided = move({ type: "DECIDED", decision: decide(asked, saga.context, saga.context.attempt === 0 && counted !== undefined ? state : later) });
      if (decided !== null) return decided;
      if (mixed(0.03)) return move({ type: "CLOSED", error: { code: chance(0.5) ? "deadline_exceeded" : "internal", message: "given up" } }) ?? never();
      const result = attempt(saga.context.attempt, saga.context.tier, nowMs);
      nowMs += Math.ceil(result.latency_ms);
      const hasAnswer = result.outcome.kind === "answered";
      const ended = move({ type: "RESULT", result, output: hasAnswer ? "an answer of a few words" : null, ...(hasAnswer && !isText ? { message: { finish_reason: "stop", refusal: null } } : {}), ...(mixed(0.05) ? { isFinal: true } : {}) });
      if (ended !== null) return ended;
    }
  }
  return { file, source, model, versions: { tierFiles: new Map([[tierFileVersion(file), file]]), models: new Map([[model.version, model]]) }, next };
}

const never = (): never => { throw new Error("the world has no such thing"); };

/** Values of every state that differ by query, so that tiers are ranked differently. */
function modelOf(random: () => number): RoutingModelFile {
  const weights = (answers: number) => Array.from({ length: featuresKnown(CLASSES.length, answers) }, (_, i) => (i === 0 ? 0.2 : 1) * (random() - 0.5));
  const curve = () => ({ intercept: random() - 0.3, slope: 3 + random(), class_intercepts: CLASSES.map(() => random() - 0.5), class_slopes: CLASSES.map(() => random() - 0.5) });
  const steps = (after: number, most: number, answers: number) => NAMES.map((_name, place) => (place > after && place <= most ? weights(answers) : null));
  const state = (after: number, answers: number) => ({ stop: answers === 0 ? null : weights(answers), blind: steps(after, 2, answers), read: steps(after, 1, answers) });
  const level = (lambda_per_usd: number): RoutingLevel => ({ lambda_per_usd, states: { "": state(-1, 0), "0": state(0, 1), "1": state(1, 1), "0,1": state(1, 2) } });
  const model: RoutingModelFile = {
    type: "routing_model.v1", version: "unnamed", created_at: "2026-11-24T00:00:00Z", tiers: [...NAMES], baseline_tier: "large", target: 0.97, risk: 0.05, latency_slo_ms: 2_000,
    classes: { names: CLASSES, centroids: CLASSES.map(() => Array.from({ length: WORD_PLACES }, () => (random() - 0.5) / 8)) },
    calibration: [curve(), curve(), null], levels: LAMBDAS.map(level),
    operating: { cascade_routing_level: 2, predictive_level: 3, cascade_keep_from: 0.8 },
    data: { fingerprint: "f", rows: 1, sources: [] }, metrics: { cascade_routing: null, predictive: null, cascade: null },
  };
  return { ...model, version: modelVersion(model) };
}

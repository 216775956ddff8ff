/**
 * The tier file: which models exist, what they cost, when their answer is good enough. One validated YAML file
 * (`infra/config/tiers.yaml`), read by every role. Tiers are listed cheapest first; code ranks them by position and
 * never names one.
 */
import { z } from "zod";

import { type Input, isEmbed } from "./chat.ts";
import { Probability } from "./probability.ts";
import { nanoUsd, UsdAmount } from "./money.ts";
import { hasNestedRepetition } from "./nestedRepetition.ts";
import { isRising, MOST_USD_PER_MILLION } from "./prices.ts";
import { Rates } from "./rates.ts";
import { Tokenizer } from "./tokenizer.ts";

/** Also a subject token and part of a durable name, hence the narrow alphabet. */
export const TierName = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, "lower-case letters, digits and dashes, at most 31");
export type TierName = z.infer<typeof TierName>;

const perMillion = UsdAmount.refine((price) => price <= MOST_USD_PER_MILLION * 1e9, "above 10,000 USD per million tokens: is this a price per 1,000 tokens?");
/** `unusual` says why a figure is outside the usual range, for `inferctl prices check`. `valid_until`: the last day. */
const provenance = { source: z.string().min(1), valid_from: z.iso.date(), valid_until: z.iso.date().optional(), unusual: z.string().min(1).optional() };
/**
 * As price pages state it: USD per million tokens. `source` and `valid_from` are required because a price without them
 * cannot be checked later. There is no default: an unknown price is an error, never 0. What a file leaves out or takes from the
 * price book has been filled in before this schema reads it (`shared/prices/withBookPrices.ts`).
 */
const perToken = {
  usd_per_million_input_tokens: perMillion,
  usd_per_million_output_tokens: perMillion,
  usd_per_million_cached_input_tokens: perMillion.optional(),
  usd_per_million_cache_write_tokens: perMillion.optional(),
  usd_per_million_reasoning_output_tokens: perMillion.optional(),
};
const Price = z
  .strictObject({
    ...perToken,
    usd_per_request: UsdAmount.default(nanoUsd(0)),
    /** For prompts of more tokens than this, the whole call at these prices. */
    above: z.array(z.strictObject({ input_tokens: z.int().positive(), ...perToken })).min(1).max(8).refine(isRising, "its input_tokens must rise").optional(),
    ...provenance,
  })
  .superRefine(({ above = [], ...base }, context) => {
    for (const [i, { usd_per_million_input_tokens: input, usd_per_million_cached_input_tokens: cached = input }] of [base, ...above].entries()) {
      if (cached > input) context.addIssue({ code: "custom", path: [...(i === 0 ? [] : ["above", i - 1]), "usd_per_million_cached_input_tokens"], message: "above the price of input tokens: a budget counts on no more than that" });
    }
  })
  .transform(({ usd_per_request, above, source, valid_from, valid_until, ...price }) => ({
    ...inNanoUsd(price),
    request_nano_usd: usd_per_request,
    ...(above === undefined ? {} : { above: above.map(({ input_tokens, ...rates }) => ({ input_tokens, ...inNanoUsd(rates) })) }),
    source,
    valid_from,
    ...(valid_until === undefined ? {} : { valid_until }),
  }));

type PerToken = z.infer<z.ZodObject<typeof perToken>>;
function inNanoUsd({ usd_per_million_input_tokens, usd_per_million_output_tokens, usd_per_million_cached_input_tokens: cached, usd_per_million_cache_write_tokens: written, usd_per_million_reasoning_output_tokens: reasoning }: PerToken) {
  return {
    input_nano_usd_per_million: usd_per_million_input_tokens,
    output_nano_usd_per_million: usd_per_million_output_tokens,
    ...(cached === undefined ? {} : { cached_input_nano_usd_per_million: cached }),
    ...(written === undefined ? {} : { cache_write_nano_usd_per_million: written }),
    ...(reasoning === undefined ? {} : { reasoning_output_nano_usd_per_million: reasoning }),
  };
}

/** Where a secret is kept: never in the tier file itself. */
const SecretReference = z.union([z.strictObject({ env: z.string().min(1) }), z.strictObject({ file: z.string().min(1) })]);

/** Which addresses it may resolve to, workers say (`workers/backends/reach.ts`). */
const BaseUrl = z.url({ protocol: /^https?$/, abort: true })
  .refine((url) => new URL(url).username === "" && new URL(url).password === "", "must not hold a user or password: use api_key")
  .refine((url) => !new URL(url).hostname.endsWith("."), "must not end its host name in a dot");

/**
 * A call whose reply has not begun for so long has failed, and another replica is asked: a stream by its first byte, any other by its
 * headers, which most servers send with the whole answer. Absent: as long as the tier's `timeout_ms`.
 */
const first_byte_timeout_ms = z.int().min(10).max(600_000).optional();

/** How its model cuts text into tokens, so that prompts can be counted before a call. Absent: the price book's word for it, where the price is from there, or an estimate. */
const tokenizer = Tokenizer.optional();

/** What the native adapters have in common. */
const provider = {
  model: z.string().min(1),
  api_key: SecretReference,
  max_output_tokens: z.int().positive().max(1_000_000),
  /** Sent before the system messages of a conversation. */
  system: z.string().min(1).optional(),
  /** A stream that says nothing for this long has failed. */
  idle_timeout_ms: z.int().min(10).max(600_000).default(60_000),
  first_byte_timeout_ms,
};

/** Any server that speaks `POST {base_url}/embeddings`. */
const EmbeddingsBackend = z.strictObject({
  kind: z.literal("openai-embeddings"),
  model: z.string().min(1),
  base_url: BaseUrl,
  api_key: SecretReference.optional(),
  tokenizer,
  first_byte_timeout_ms,
});

export const BackendConfig = z.discriminatedUnion("kind", [
  /** A classifier in the worker's own process, trained ahead of time (`inferctl local-models`). */
  z.strictObject({ kind: z.literal("local"), model: z.string().min(1) }),
  /** A text classifier in the worker's own process, as an ONNX file; needs the package onnxruntime-node. Relative paths start from the tier file's folder. */
  z.strictObject({
    kind: z.literal("onnx"),
    model: z.string().min(1),
    model_file: z.string().min(1),
    /** In Hugging Face's format: `tokenizer.json`. */
    tokenizer_file: z.string().min(1),
    /** What it answers: a text for each of the model's outputs, in their order. */
    labels: z.array(z.string().min(1).max(1_000)).min(2).max(10_000),
    /** Most tokens that the model reads, special ones included; the rest of a text is not looked at. */
    max_tokens: z.int().min(1).max(131_072).default(512),
    /** Of one call. Calls of one worker process run one after the other. */
    threads: z.int().min(1).max(256).default(1),
  }),
  /** Any server that speaks `POST {base_url}/chat/completions`. */
  z.strictObject({
    kind: z.literal("openai-compatible"),
    model: z.string().min(1),
    base_url: BaseUrl,
    api_key: SecretReference.optional(),
    tokenizer,
    max_output_tokens: z.int().positive().max(1_000_000),
    /** How the server calls its limit of output tokens; newer OpenAI models know only the second name. */
    output_limit_field: z.enum(["max_tokens", "max_completion_tokens"]).default("max_tokens"),
    /** Ask for log probabilities, the source of confidence. Off for models that refuse them: then the prior stands in. */
    logprobs: z.boolean().default(true),
    /** Ask for so many alternatives of each token, which the confidence `answer_margin` needs. */
    top_logprobs: z.int().min(0).max(20).default(0),
    /** Ask a stream for its usage at its end. Off for servers that refuse `stream_options`: then tokens are estimated. */
    stream_usage: z.boolean().default(true),
    /** Longest silence within a stream. The tier's `timeout_ms` and the request's deadline end it as well. */
    idle_timeout_ms: z.int().min(10).max(600_000).default(30_000),
    first_byte_timeout_ms,
    /** Sent as the system message, when there is one. */
    system: z.string().min(1).optional(),
  }),
  /** Anthropic's Messages API: `POST {base_url}/v1/messages`. */
  z.strictObject({
    kind: z.literal("anthropic"),
    base_url: BaseUrl.default("https://api.anthropic.com"),
    ...provider,
    /** Hand on `temperature` and `top_p`. Off for models that refuse them. */
    sampling: z.boolean().default(true),
  }),
  /** Google's Gemini API: `POST {base_url}/v1beta/models/{model}:generateContent`. */
  z.strictObject({
    kind: z.literal("gemini"),
    base_url: BaseUrl.default("https://generativelanguage.googleapis.com"),
    ...provider,
    /** Ask for log probabilities, the source of confidence. Most models refuse them. */
    logprobs: z.boolean().default(false),
  }),
  EmbeddingsBackend,
]);
export type BackendConfig = z.infer<typeof BackendConfig>;

/** One of several servers or providers of a tier. Its name is also a label of metrics. */
const Replica = z.strictObject({
  name: TierName,
  backend: BackendConfig,
  /** Default: the tier's. */
  price: Price.optional(),
});

/** A regular expression: where in a longer text the answer proper stands, in its first group. */
const AnswerPattern = z.string().min(1).max(500).refine((source) => {
  try {
    return new RegExp(source, "giu").source !== "";
  } catch {
    return false;
  }
}, { error: "is no regular expression (JavaScript, flags giu)", abort: true }).refine((source) => !hasNestedRepetition(source), "repeats without bound what itself does, as (a+)+: some answers would take hours to read");

/** Where the confidence of a generated text comes from: raw, calibrated by a routing model. Names are what `confidence_source` says. */
export const ConfidenceMethod = z.discriminatedUnion("kind", [
  /** Geometric mean, or least, of the tokens' probabilities. */
  z.strictObject({ kind: z.literal("token_logprobs") }),
  z.strictObject({ kind: z.literal("least_token_logprob") }),
  /** By how much the answer's first word was likelier than any other: for answers of one token. */
  z.strictObject({ kind: z.literal("answer_margin") }),
  /** How far the answer is what the tier before it gave, for nothing; of the tier that is asked first the prior. */
  z.strictObject({ kind: z.literal("tier_agreement"), answer_pattern: AnswerPattern.optional() }),
  /** A second short call asks the model whether its answer is right. It is paid for and in the audit. */
  z.strictObject({ kind: z.literal("self_verification") }),
  /** So many more answers are drawn, at this temperature, and paid for; how far the answer agrees with them. */
  z.strictObject({ kind: z.literal("sample_agreement"), samples: z.int().min(1).max(8), temperature: z.number().min(0).max(2).default(1) }),
]);
export type ConfidenceMethod = z.infer<typeof ConfidenceMethod>;

const tierFields = z.strictObject({
  name: TierName,
  /** Jobs that one worker process runs at once. */
  slots: z.int().min(1).max(1_024),
  /** Batch jobs that it runs beside them, while not all `slots` are in use. Absent: a quarter of `slots`. */
  batch_slots: z.int().min(1).max(1_024).optional(),
  /** Either one backend, or some replicas of one. */
  backend: BackendConfig.optional(),
  replicas: z.array(Replica).min(1).max(32).optional(),
  /** A conversation leaves the replica that knows it when that one's load costs more than this many times another's. */
  affinity_max_cost_ratio: z.number().min(1).max(1_000).default(2),
  /** With `replicas`: what those charge that state no price of their own, and what savings are measured by. */
  price: Price,
  /** Longest time of one attempt, retries included; the request's deadline caps it further. */
  timeout_ms: z.int().min(10).max(600_000),
  /** Calls of the backend per attempt, the first included. */
  max_tries: z.int().min(1).max(10).default(3),
  /** Of generated text; by the request's task, or else the default. What a method needs and a server does not send is replaced by the prior. */
  confidence: z.strictObject({ default: ConfidenceMethod, tasks: z.record(z.string(), ConfidenceMethod).default({}) }).default({ default: { kind: "token_logprobs" }, tasks: {} }),
  /** A watched answer that is so far sure enough to be kept is shown from so many tokens on, and kept whatever follows. Absent: only whole. */
  commit_after_tokens: z.int().min(1).max(10_000).optional(),
  /** An answer in another writing system than the question counts as not sound. */
  same_script: z.boolean().default(false),
  /** `cascade` keeps an answer from this confidence on; the last tier's answer is kept when nothing more can be tried. */
  accept_confidence: Probability,
  /** What is assumed until there are measurements: share of acceptable answers, and latency in milliseconds. */
  prior: z.strictObject({ quality: Probability, latency_p50_ms: z.number().positive(), latency_p95_ms: z.number().positive() }),
  breaker: z
    .strictObject({ failures_in_a_row: z.int().min(1).max(1_000), open_for_ms: z.int().min(100).max(600_000) })
    .default({ failures_in_a_row: 5, open_for_ms: 5_000 }),
});

export const Tier = tierFields.superRefine(({ backend, replicas = [] }, context) => {
  if ((backend === undefined) === (replicas.length === 0)) context.addIssue({ code: "custom", path: ["backend"], message: "a tier has either a backend or replicas" });
  const names = replicas.map(({ name }) => name);
  const duplicate = names.find((name, i) => names.indexOf(name) !== i);
  if (duplicate !== undefined) context.addIssue({ code: "custom", path: ["replicas"], message: `two replicas are named ${duplicate}` });
  if ([backend, ...replicas.map((replica) => replica.backend)].some((one) => one?.kind === "openai-embeddings")) context.addIssue({ code: "custom", path: ["backend", "kind"], message: "makes vectors and no answers: list it under embedders" });
});
export type Tier = z.infer<typeof Tier>;

const { name, slots, batch_slots, timeout_ms, max_tries, breaker } = tierFields.shape;
/**
 * A model that turns texts into vectors. It runs as a tier does, with a queue, workers and a breaker of its own; it is
 * no tier, since the vectors of two models cannot be compared: nothing escalates to or from it.
 */
const Embedder = z
  .strictObject({
    name, slots, batch_slots, backend: EmbeddingsBackend, timeout_ms, max_tries, breaker,
    price: z.strictObject({ usd_per_million_input_tokens: perMillion, usd_per_request: UsdAmount.default(nanoUsd(0)), ...provenance }),
    /** Of its vectors, the longest. It says how many texts fit into one request. */
    dimensions: z.int().min(1).max(16_384),
    /** Assumed until there are measurements, in milliseconds. */
    prior: z.strictObject({ latency_p50_ms: z.number().positive(), latency_p95_ms: z.number().positive() }),
  })
  .transform(({ price: { usd_per_million_input_tokens, usd_per_request, source, valid_from, valid_until }, prior, dimensions, ...fields }): Tier & { dimensions: number } => ({
    ...fields, dimensions,
    price: { input_nano_usd_per_million: usd_per_million_input_tokens, output_nano_usd_per_million: nanoUsd(0), request_nano_usd: usd_per_request, source, valid_from, ...(valid_until === undefined ? {} : { valid_until }) },
    prior: { quality: 1, ...prior },
    affinity_max_cost_ratio: 1, confidence: { default: { kind: "token_logprobs" }, tasks: {} }, same_script: false, accept_confidence: 0,
  }));
export type Embedder = z.infer<typeof Embedder>;

/** Of one worker process. */
export const batchSlotsOf = ({ slots, batch_slots }: { readonly slots: number; readonly batch_slots?: number | undefined }): number => batch_slots ?? Math.max(1, Math.floor(slots / 4));

/** A server of a tier, with the price that it charges. */
export interface TierReplica {
  readonly name: string;
  readonly backend: BackendConfig;
  readonly price: Tier["price"];
}

/** Of one call. A classifier says one word, vectors are none. */
export function mostOutputTokens(backend: BackendConfig): number {
  switch (backend.kind) {
    case "local":
    case "onnx": return 1;
    case "openai-embeddings": return 0;
    case "openai-compatible":
    case "anthropic":
    case "gemini": return backend.max_output_tokens;
  }
}

/** Who answers for a tier, one at least. The one of a tier with a single backend has the tier's name. */
export function replicasOf({ name, backend, replicas = [], price }: Pick<Tier, "name" | "backend" | "replicas" | "price">): readonly [TierReplica, ...TierReplica[]] {
  const [first, ...rest] = backend === undefined ? replicas.map((replica) => ({ ...replica, price: replica.price ?? price })) : [{ name, backend, price }];
  if (first === undefined) throw new Error(`tier ${name} has no backend`); // its schema made sure
  return [first, ...rest];
}

export const TierFile = z
  .strictObject({
    version: z.literal(1),
    /** Cheapest first. */
    tiers: z.array(Tier).min(1).max(16),
    /** Models for `POST /v1/embeddings`. */
    embedders: z.array(Embedder).max(16).default([]),
    /** Savings are measured against this tier: what every request would have cost there. */
    baseline_tier: TierName,
    default_policy: z.string().min(1),
    /** For the policy `static`: a tier for each task, and one for the rest. */
    static_routes: z.strictObject({ default: TierName, tasks: z.record(z.string(), TierName).default({}) }),
  })
  .superRefine((file, context) => {
    const names = file.tiers.map((tier) => tier.name);
    const all = servedBy(file).map((one) => one.name);
    const duplicate = all.find((one, i) => all.indexOf(one) !== i);
    if (duplicate !== undefined) context.addIssue({ code: "custom", path: [names.includes(duplicate) ? "tiers" : "embedders"], message: `two are named ${duplicate}` });
    const used: [string, TierName][] = [["baseline_tier", file.baseline_tier], ["static_routes.default", file.static_routes.default]];
    for (const [task, tier] of Object.entries(file.static_routes.tasks)) used.push([`static_routes.tasks.${task}`, tier]);
    for (const [path, name] of used) {
      if (!names.includes(name)) context.addIssue({ code: "custom", path: path.split("."), message: `there is no tier ${name}; there are ${names.join(", ")}` });
    }
    if (!policyNames(file.tiers).includes(file.default_policy)) {
      context.addIssue({ code: "custom", path: ["default_policy"], message: `there is no policy ${file.default_policy}; there are ${policyNames(file.tiers).join(", ")}` });
    }
  });
export type TierFile = z.infer<typeof TierFile>;

/** Prices in nano-dollars. */
const HeldPrice = Rates.extend({ source: z.string(), valid_from: z.string(), valid_until: z.string().optional() });
const HeldTier = tierFields.extend({ price: HeldPrice, replicas: z.array(Replica.extend({ price: HeldPrice.optional() })).min(1).optional() });
/** A tier file as `TierFile` reads it, to be read again: prices are in nano-dollars and defaults are filled in. */
export const HeldTierFile = z.object({
  ...TierFile.shape, tiers: z.array(HeldTier).min(1), embedders: z.array(HeldTier.extend({ dimensions: z.int() })),
}) as unknown as z.ZodType<TierFile>; // optional fields alone are typed otherwise: absent, or undefined
/** All that has workers: tiers, then embedders. */
export const servedBy = ({ tiers, embedders }: Pick<TierFile, "tiers" | "embedders">): Tier[] => [...tiers, ...embedders];

/** The tiers of which one may be chosen: texts to embed have the one embedder that is named, measured against itself. `policy`: of the request. */
export function fileFor(file: TierFile, { input, policy }: { readonly input: Input; readonly policy: string }): TierFile {
  return isEmbed(input) ? fileOfEmbedder(file, policy) : file;
}

/** The same of texts to embed. */
export function fileOfEmbedder(file: TierFile, policy: string): TierFile {
  const named = file.embedders.filter((embedder) => policy === `always-${embedder.name}`);
  const [one] = named;
  return one === undefined ? file : { ...file, tiers: named, baseline_tier: one.name };
}

/** How the answers of a tier are judged for a task. */
export const methodFor = ({ confidence }: Pick<Tier, "confidence">, task: string | null): ConfidenceMethod =>
  (task !== null && Object.hasOwn(confidence.tasks, task) ? confidence.tasks[task] : undefined) ?? confidence.default;

/** Every policy that a request may name, with these tiers. */
export const policyNames = (tiers: readonly { readonly name: string }[]): string[] => ["static", "cheapest", "cascade", "predictive", "cascade-routing", "random", ...tiers.map(({ name }) => `always-${name}`)];

/** How sure an answer is, by the method that its tier has for the task. Some methods ask the model again, and that is paid for. */
import type { Prompt } from "#shared/contracts/chat.ts";
import type { Check, EventError } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { costOf, isPriceKnown } from "#shared/contracts/rates.ts";
import type { ConfidenceMethod } from "#shared/contracts/tiers.ts";

import type { BackendAnswer } from "./backends/backend.ts";
import { BackendError } from "./backends/backendError.ts";
import { answerMargin, confidenceFromLogprobs, leastProbability } from "./confidence/fromLogprobs.ts";
import { sampleAgreement } from "./confidence/sampleAgreement.ts";
import { tierAgreement } from "./confidence/tierAgreement.ts";
import { confidenceOfVerdict, verificationOf } from "./confidence/verification.ts";
import type { Replica } from "./resilience/balanced.ts";

export interface Assessed {
  readonly confidence: number;
  readonly confidence_source: string;
  /** In the order in which they were made. */
  readonly checks: readonly Check[];
  /** One of them may have been charged for beyond what is told here: it failed, or had tokens without a price. */
  readonly mayHaveCost: boolean;
}
export interface AssessOptions {
  readonly input: Prompt;
  readonly answer: BackendAnswer;
  readonly method: ConfidenceMethod;
  /** What a cheaper tier answered before; `null`: nothing that was sound. */
  readonly earlier: string | null;
  /** Whether the rule of acceptance reads the confidence; if not, nothing is paid for it. */
  readonly isRead: boolean;
}
/** Who gave the answer. */
interface Asked extends Pick<Replica, "price" | "backend"> {
  /** Calls it again. Throws `BackendError`, also where nothing was sent. */
  readonly ask: (about: Prompt) => Promise<BackendAnswer>;
}

/** A method that brings nothing is replaced by what the backend says. Of a check that fails its error is kept; what it throws beyond that is a bug. */
export async function assess(replica: Asked, options: AssessOptions): Promise<Assessed> {
  const { answer, method, isRead } = options;
  const { confidence, confidence_source, is_sound } = answer;
  const own = { confidence, confidence_source, ...UNCHECKED };
  if (confidence_source === "class_probability") return own;
  const known = confidenceOf(method, options);
  if (known !== null) return { confidence: known, confidence_source: method.kind, ...UNCHECKED };
  if (!isRead || !is_sound) return own;
  const { value, made } = await asked(replica, options);
  const checked = { checks: made.map(({ check }) => check), mayHaveCost: made.some((one) => one.mayHaveCost) };
  return value === null ? { ...own, ...checked } : { confidence: value, confidence_source: method.kind, ...checked };
}
/** Nothing was asked again. */
export const UNCHECKED = { checks: [], mayHaveCost: false } as const;

/** Without another call. `null`: the method needs one, or there is nothing to go by. */
function confidenceOf(method: ConfidenceMethod, { answer: { output, tokens = [] }, earlier }: Pick<AssessOptions, "answer" | "earlier">): number | null {
  const logprobs = () => tokens.map(({ logprob }) => logprob);
  switch (method.kind) {
    case "tier_agreement": return tierAgreement(output, earlier, method.answer_pattern === undefined ? null : new RegExp(method.answer_pattern, "giu"));
    case "token_logprobs": return confidenceFromLogprobs(logprobs());
    case "least_token_logprob": return leastProbability(logprobs());
    case "answer_margin": return answerMargin(tokens);
    case "self_verification":
    case "sample_agreement": return null;
  }
}

async function asked(replica: Asked, { input, answer, method }: AssessOptions): Promise<{ value: number | null; made: readonly Made[] }> {
  const call = (kind: Check["kind"], about: Prompt) => makeCheck(replica, kind, about);
  switch (method.kind) {
    case "self_verification": {
      const verdict = await call(method.kind, verificationOf(input, answer.output, { withLogprobs: givesLogprobs(replica) }));
      return { value: verdict.answer === null ? null : confidenceOfVerdict(verdict.answer), made: [verdict] };
    }
    case "sample_agreement": {
      const { samples, temperature } = method;
      const chat = typeof input === "string" ? { messages: [{ role: "user" as const, content: input }] } : input;
      const drawn = await Promise.all(Array.from({ length: samples }, () => call("sample_agreement", { ...chat, temperature })));
      return { value: sampleAgreement(answer.output, drawn.flatMap((one) => one.answer?.output ?? [])), made: drawn };
    }
    case "tier_agreement":
    case "token_logprobs":
    case "least_token_logprob":
    case "answer_margin": return { value: null, made: [] };
  }
}

/** Others refuse to be asked for them. */
const givesLogprobs = ({ backend }: Asked): boolean => "logprobs" in backend && backend.logprobs;

interface Made {
  /** `null`: it failed. */
  readonly answer: BackendAnswer | null;
  readonly check: Check;
  readonly mayHaveCost: boolean;
}
async function makeCheck({ ask, price }: Asked, kind: Check["kind"], about: Prompt): Promise<Made> {
  const startedAtMs = performance.now();
  const record = (usage: Check["usage"], error_code: EventError["code"] | null): Check =>
    ({ kind, usage, cost_nano_usd: usage === null ? nanoUsd(0) : costOf(price, usage), latency_ms: Math.round(performance.now() - startedAtMs), error_code });
  try {
    const answer = await ask(about);
    return { answer, check: record(answer.usage, null), mayHaveCost: !isPriceKnown(price, answer.usage) };
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return { answer: null, check: record(error.usage, error.code), mayHaveCost: error.mayHaveCost };
  }
}

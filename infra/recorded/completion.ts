/** A recorded answer in the shapes in which OpenAI sends one, whole and in chunks. Pure. */
import type { ChatRequest } from "./chatRequest.ts";
import { cutText, piecesOf } from "./pieces.ts";
import type { RecordedAnswer } from "./recordedAnswers.ts";

const CHARACTERS_PER_TOKEN = 4;
/** OpenAI's own least value; e to this is 0. */
const LEAST_LOGPROB = -9_999;
const FINGERPRINT = "fp_recorded";

/** What is sent of an answer, and how much of the whole that is. */
export interface Completion {
  readonly id: string;
  /** Epoch seconds. */
  readonly created: number;
  readonly model: string;
  readonly pieces: readonly string[];
  readonly finishReason: "stop" | "length";
  readonly promptTokens: number;
  readonly wholePieces: number;
  readonly wholeTokens: number;
  readonly mostPieces: number | null;
  /** Of each piece; `null` when the caller wants none or none was recorded. */
  readonly logprob: number | null;
  readonly hasAlternative: boolean;
}

/**
 * `text` is the answer's. Tokens are the recorded ones, else a quarter of the characters, rounded up.
 *
 * A logprob is the logarithm of the one confidence that the log has for the whole answer, the same for each piece, so that
 * their mean and their least value are that confidence again. It is *not* the probability of that piece: pieces are words,
 * and the confidence may have come from a second call that asked the model whether it was right, which is not billed here.
 * The one alternative of `top_logprobs` is the piece itself: no other was recorded.
 */
export function toCompletion(answer: RecordedAnswer, text: string, request: ChatRequest, { id, created }: Pick<Completion, "id" | "created">): Completion {
  const { query, promptTokens, completionTokens, confidence } = answer;
  return {
    id, created, model: request.model,
    ...cutText(text, request.stops, request.mostPieces),
    promptTokens: promptTokens ?? estimated(query),
    wholePieces: piecesOf(text).length,
    wholeTokens: completionTokens ?? estimated(text),
    mostPieces: request.mostPieces,
    logprob: request.wantsLogprobs && confidence !== null ? Math.max(LEAST_LOGPROB, Math.log(confidence)) : null,
    hasAlternative: request.wantsAlternative,
  };
}

const estimated = (text: string): number => Math.ceil(text.length / CHARACTERS_PER_TOKEN);

/** A reply without text, which costs the prompt. */
export const emptied = (completion: Completion): Completion => ({ ...completion, pieces: [], finishReason: "stop", wholePieces: 0, wholeTokens: 0 });

/** Tokens of the first `produced` pieces: all for all, else in proportion, and not more than the caller allowed. */
export function tokensOf({ wholePieces, wholeTokens, mostPieces }: Completion, produced: number): number {
  if (produced >= wholePieces) return wholeTokens;
  return Math.min(mostPieces ?? Infinity, Math.round((wholeTokens * produced) / wholePieces));
}

function usageOf(completion: Completion, produced: number) {
  const completionTokens = tokensOf(completion, produced);
  return {
    prompt_tokens: completion.promptTokens,
    completion_tokens: completionTokens,
    total_tokens: completion.promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}

function logprobsOf({ logprob, hasAlternative }: Completion, pieces: readonly string[]) {
  if (logprob === null) return null;
  const content = pieces.map((token) => {
    const entry = { token, logprob, bytes: [...Buffer.from(token)] };
    return { ...entry, top_logprobs: hasAlternative ? [entry] : [] };
  });
  return { content, refusal: null };
}

const head = ({ id, created, model }: Completion, object: string) => ({ id, object, created, model, system_fingerprint: FINGERPRINT });

/** With all pieces; or with the first `kept` and no reason why it ends there. */
export function wholeReply(completion: Completion, kept: number | null = null) {
  const pieces = kept === null ? completion.pieces : completion.pieces.slice(0, kept);
  const message = { role: "assistant", content: pieces.join(""), refusal: null };
  return {
    ...head(completion, "chat.completion"),
    choices: [{ index: 0, message, logprobs: logprobsOf(completion, pieces), finish_reason: kept === null ? completion.finishReason : null }],
    usage: usageOf(completion, pieces.length),
  };
}

/** The chunks of a stream. With `includesUsage` all but the usage chunk say `usage: null`. */
export function chunksOf(completion: Completion, includesUsage: boolean) {
  const common = head(completion, "chat.completion.chunk");
  const chunk = (delta: object, finishReason: string | null, logprobs: object | null = null) => ({
    ...common, choices: [{ index: 0, delta, logprobs, finish_reason: finishReason }], ...(includesUsage ? { usage: null } : {}),
  });
  return {
    role: () => chunk({ role: "assistant", content: "", refusal: null }, null),
    piece: (piece: string) => chunk({ content: piece }, null, logprobsOf(completion, [piece])),
    finish: () => chunk({}, completion.finishReason),
    usage: () => ({ ...common, choices: [], usage: usageOf(completion, completion.pieces.length) }),
  };
}

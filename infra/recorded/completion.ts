/** A recorded answer in the shapes in which OpenAI sends one, whole and in chunks. Pure. */
import type { ChatRequest } from "./chatRequest.ts";
import { cutAnswer, type CutAnswer, joined, type Piece, piecesOf, type SaidAnswer } from "./pieces.ts";
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
  readonly pieces: readonly Piece[];
  readonly finishReason: CutAnswer["finishReason"];
  readonly promptTokens: number;
  readonly wholePieces: number;
  readonly wholeTokens: number;
  readonly mostPieces: number | null;
  /** Of each piece of text; `null` when the caller wants none or none was recorded. */
  readonly logprob: number | null;
  readonly hasAlternative: boolean;
}

/**
 * `said` is what of the answer the request allows. Tokens are the recorded ones, else a quarter of the characters of text
 * and arguments, rounded up. A call of the one function that was asked for ends with `stop`, as OpenAI's do (what OpenAI
 * sent for each `tool_choice`: vllm-project/vllm#25054).
 *
 * A logprob is the logarithm of the one confidence that the log has for the whole answer, the same for each piece, so that
 * their mean and their least value are that confidence again. Calls have none. It is *not* the probability of that piece: pieces are words,
 * and the confidence may have come from a second call that asked the model whether it was right, which is not billed here.
 * The one alternative of `top_logprobs` is the piece itself: no other was recorded.
 */
export function toCompletion(answer: RecordedAnswer, said: SaidAnswer, request: ChatRequest, { id, created }: Pick<Completion, "id" | "created">): Completion {
  const { confidence } = answer;
  const { pieces, finishReason } = cutAnswer(said, request.stops, request.mostPieces);
  return {
    id, created, model: request.model, pieces,
    finishReason: finishReason === "tool_calls" && typeof request.toolChoice === "object" ? "stop" : finishReason,
    ...wholeTokensOf(answer, said),
    wholePieces: piecesOf(said).length,
    mostPieces: request.mostPieces,
    logprob: request.wantsLogprobs && confidence !== null ? Math.max(LEAST_LOGPROB, Math.log(confidence)) : null,
    hasAlternative: request.wantsAlternative,
  };
}

/** What the server says of a whole answer. */
export const wholeTokensOf = ({ query, promptTokens, completionTokens }: RecordedAnswer, said: SaidAnswer): Pick<Completion, "promptTokens" | "wholeTokens"> => ({
  promptTokens: promptTokens ?? estimated(query),
  wholeTokens: completionTokens ?? estimated(said.text + said.calls.map((call) => call.arguments).join("")),
});

const estimated = (text: string): number => Math.ceil(text.length / CHARACTERS_PER_TOKEN);

/** A reply without text or calls, which costs the prompt. */
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

function logprobsOf({ logprob, hasAlternative }: Completion, pieces: readonly Piece[]) {
  if (logprob === null || (pieces.length > 0 && pieces.every(({ kind }) => kind !== "text"))) return null;
  const content = pieces.flatMap((piece) => (piece.kind === "text" ? [piece.text] : [])).map((token) => {
    const entry = { token, logprob, bytes: [...Buffer.from(token)] };
    return { ...entry, top_logprobs: hasAlternative ? [entry] : [] };
  });
  return { content, refusal: null };
}

const head = ({ id, created, model }: Completion, object: string) => ({ id, object, created, model, system_fingerprint: FINGERPRINT });

const toolCallOf = ({ id, name, arguments: text }: SaidAnswer["calls"][number]) => ({ id, type: "function", function: { name, arguments: text } });

function deltaOf(piece: Piece) {
  switch (piece.kind) {
    case "text": return { content: piece.text };
    case "call": return { tool_calls: [{ index: piece.index, ...toolCallOf({ ...piece.call, arguments: "" }) }] };
    case "arguments": return { tool_calls: [{ index: piece.index, function: { arguments: piece.text } }] };
  }
}

/** With all pieces; or with the first `kept` and no reason why it ends there. */
export function wholeReply(completion: Completion, kept: number | null = null) {
  const pieces = kept === null ? completion.pieces : completion.pieces.slice(0, kept);
  const { text, calls } = joined(pieces);
  const message = {
    role: "assistant", content: text === "" && calls.length > 0 ? null : text, refusal: null,
    ...(calls.length === 0 ? {} : { tool_calls: calls.map(toolCallOf) }),
  };
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
    role: () => chunk({ role: "assistant", content: completion.pieces[0]?.kind === "call" ? null : "", refusal: null }, null),
    piece: (piece: Piece) => chunk(deltaOf(piece), null, logprobsOf(completion, [piece])),
    finish: () => chunk({}, completion.finishReason),
    usage: () => ({ ...common, choices: [], usage: usageOf(completion, completion.pieces.length) }),
  };
}

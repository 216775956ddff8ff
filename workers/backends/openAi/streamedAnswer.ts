/** An answer that comes in pieces. Holds what came, and no more of it than an answer may have. No I/O. */
import { z } from "zod";

import type { AnswerDelta, AnswerToken } from "#shared/contracts/chat.ts";
import type { ErrorCode } from "#shared/contracts/errors.ts";
import type { Usage } from "#shared/contracts/events.ts";
import { storable, storableJson } from "#shared/contracts/text.ts";

import { type BackendAnswer, MAX_ANSWER_BYTES } from "../backend.ts";
import { BackendError } from "../backendError.ts";
import { type Asked, estimatedUsage, jsonBytes, Logprobs, MaybeUsage, readJson, reported, type ReportedUsage, type SaidCall, SaidReason, toAnswer, toToken, wantsLogprobs } from "./chatReply.ts";

const CallPiece = z.looseObject({
  index: z.int().nonnegative().max(1_023).optional(),
  id: z.string().max(256).nullish(),
  type: z.string().max(64).nullish(),
  function: z.looseObject({ name: z.string().max(256).nullish(), arguments: z.string().nullish() }).nullish(),
});
type CallPiece = z.infer<typeof CallPiece>;

const Delta = z.object({
  content: z.string().nullish(),
  refusal: z.string().nullish(),
  tool_calls: z.array(CallPiece).nullish(),
  /** Thoughts, as servers call them that show any. They are paid for; nothing else is made of them. */
  reasoning_content: z.string().nullish(),
  reasoning: z.string().nullish(),
});
const Chunk = z.object({
  object: z.string().nullish(),
  error: z.unknown().optional(),
  model: z.string().nullish(),
  /** Some servers leave them out of the last one, which has the usage. */
  choices: z.array(z.object({ index: z.int().nullish(), delta: Delta.nullish(), finish_reason: SaidReason, logprobs: Logprobs.nullish() })).nullish(),
  usage: MaybeUsage,
});
type Choice = NonNullable<z.infer<typeof Chunk>["choices"]>[number];

type StreamErrorCode = Extract<ErrorCode, "backend_unavailable" | "backend_bad_response">;
export interface StreamedAnswer {
  /** The data of one event; the piece that it brings, if any. Throws `failure`. */
  take(data: string): AnswerDelta | null;
  /** Those that came since this was asked last, where the server sends probabilities. */
  newTokens(): AnswerToken[];
  /** It was said how the answer ended. */
  isComplete(): boolean;
  /** Nothing else comes. */
  isOver(): boolean;
  /** What was read and made so far: as reported once the answer is complete, else estimated from what came. */
  usage(): Usage;
  /** That it ended early, billed for what came. */
  failure(code: StreamErrorCode, message: string, cause?: unknown): BackendError;
  /** Of a complete one. Throws `backend_bad_response`. */
  answer(): BackendAnswer;
}

export function makeStreamedAnswer(asked: Asked): StreamedAnswer {
  const text = makeJoiner(), refusal = makeJoiner(), calls = makeCalls();
  const logprobs = makeLogprobs(wantsLogprobs(asked.input));
  let finishReason: string | null = null, isOver = false, thoughtBytes = 0;
  let model: string | null = null, lastUsage: ReportedUsage | null = null;

  const usage = (): Usage => {
    if (lastUsage !== null && finishReason !== null) return reported(lastUsage);
    const estimate = estimatedUsage(asked, text.bytes() + refusal.bytes() + calls.bytes() + thoughtBytes);
    if (lastUsage === null) return estimate;
    const known = reported(lastUsage);
    return { ...known, output_tokens: known.output_tokens > estimate.output_tokens ? known.output_tokens : estimate.output_tokens, source: "estimated" };
  };
  const failure = (code: StreamErrorCode, message: string, cause?: unknown): BackendError => {
    const used = usage();
    return new BackendError(code, message, { isTransient: code === "backend_unavailable", mayHaveCost: used.source === "estimated", usage: used, cause });
  };
  const takeChoice = ({ delta, finish_reason, logprobs: given }: Choice): AnswerDelta | null => {
    finishReason = finish_reason ?? finishReason;
    thoughtBytes += Buffer.byteLength(delta?.reasoning_content ?? delta?.reasoning ?? "");
    const isLast = finish_reason !== null;
    const pieces = {
      text: text.add(delta?.content ?? "", isLast),
      refusal: refusal.add(delta?.refusal ?? "", isLast),
      tool_calls: calls.add(delta?.tool_calls ?? []),
      logprobs: logprobs.add(given ?? null),
    };
    if (text.bytes() + refusal.bytes() + calls.bytes() > MAX_ANSWER_BYTES) throw failure("backend_bad_response", `the answer is larger than ${MAX_ANSWER_BYTES} bytes`);
    return deltaOf(pieces);
  };
  return {
    take(data) {
      if (data.trim() === "[DONE]") {
        isOver = true;
        return null;
      }
      const { success, data: chunk } = Chunk.safeParse(readJson(Buffer.from(data)));
      if (!success) throw failure("backend_bad_response", "the stream has something that is no piece of a chat completion");
      if (chunk.error != null || chunk.object === "error") throw failure("backend_unavailable", "the model's server reported an error within the stream");
      if (chunk.choices == null && chunk.usage == null) throw failure("backend_bad_response", "the stream has something that is no piece of a chat completion");
      model ??= chunk.model ?? null;
      lastUsage = chunk.usage ?? lastUsage;
      const choice = chunk.choices?.find(({ index }) => (index ?? 0) === 0);
      return choice === undefined ? null : takeChoice(choice);
    },
    newTokens: logprobs.fresh,
    isComplete: () => finishReason !== null,
    isOver: () => isOver,
    usage,
    failure,
    answer: () => toAnswer({ text: text.whole(), refusal: refusal.whole(), toolCalls: calls.whole(), finishReason, ...logprobs.whole(), model, usage: usage() }, asked),
  };
}

interface Pieces { readonly text: string; readonly refusal: string; readonly tool_calls: readonly (CallPiece & { index: number })[]; readonly logprobs: unknown }
/** `null`: nothing that anybody could show. */
function deltaOf({ text, refusal, tool_calls, logprobs }: Pieces): AnswerDelta | null {
  if (text === "" && refusal === "" && tool_calls.length === 0 && logprobs === undefined) return null;
  return {
    ...(text === "" ? {} : { text }),
    ...(refusal === "" ? {} : { refusal }),
    ...(tool_calls.length === 0 ? {} : { tool_calls: [...tool_calls] }),
    ...(logprobs === undefined ? {} : { logprobs }),
  };
}

const HALF_AT_THE_END = /[\uD800-\uDBFF]$/;
/** Joins texts that were cut anywhere, also within a surrogate pair. The pieces that it gives back, in order, are the whole. */
function makeJoiner() {
  let whole = "", half = "", bytes = 0;
  return {
    add(piece: string, isLast: boolean): string {
      const text = half + piece;
      half = isLast ? "" : (HALF_AT_THE_END.exec(text)?.[0] ?? "");
      const given = storable(half === "" ? text : text.slice(0, -1));
      whole += given;
      bytes += Buffer.byteLength(given);
      return given;
    },
    whole: () => whole,
    bytes: () => bytes,
  };
}

/** Calls of tools by their index: the first piece has id and name, later ones more of the arguments. */
function makeCalls() {
  const calls = new Map<number, SaidCall>();
  let bytes = 0;
  const indexOf = ({ index, id }: CallPiece) => index ?? (id == null ? Math.max(0, calls.size - 1) : calls.size);
  return {
    add: (pieces: readonly CallPiece[]) => pieces.map((piece) => {
      const index = indexOf(piece);
      calls.set(index, joined(calls.get(index), piece));
      bytes += jsonBytes(piece);
      return storableJson({ ...piece, index }) as CallPiece & { index: number }; // the same shape, other characters
    }),
    whole: () => [...calls].sort(([a], [b]) => a - b).map(([, call]) => call),
    bytes: () => bytes,
  };
}

function joined(call: SaidCall | undefined, { index: _index, function: more, ...rest }: CallPiece): SaidCall {
  const known = Object.fromEntries(Object.entries(rest).filter(([, value]) => value != null));
  if (more == null) return { ...call, ...known };
  const { name, arguments: text, ...others } = more;
  const { name: before = "", arguments: textBefore = "" } = call?.function ?? {};
  return { ...call, ...known, function: { ...call?.function, ...others, name: name == null || name === "" ? before : name, arguments: textBefore + (text ?? "") } };
}

/** The tokens are for the confidence; all that came with them is kept for a caller that asked, unless it is more than can be handed on. */
function makeLogprobs(isWanted: boolean) {
  const tokens: AnswerToken[] = [];
  const content: Logprobs["content"] = [], refusal: Logprobs["refusal"] = [];
  let bytes = 0, told = 0;
  const fits = () => bytes <= MAX_ANSWER_BYTES;
  return {
    /** As it came, for a caller that asked. */
    add(given: Logprobs | null): unknown {
      const ofText = given?.content ?? [], ofRefusal = given?.refusal ?? [];
      if (ofText.length === 0 && ofRefusal.length === 0) return undefined;
      tokens.push(...ofText.map(toToken));
      if (!isWanted) return undefined;
      bytes += jsonBytes(given);
      if (fits()) {
        content.push(...ofText);
        refusal.push(...ofRefusal);
      }
      return storableJson(given);
    },
    fresh: () => tokens.slice(told, (told = tokens.length)),
    whole: () => ({ tokens, sentLogprobs: tokens.length > 0 && fits() ? { content, refusal: refusal.length === 0 ? null : refusal } : null }),
  };
}

/** What Anthropic's Messages API answers, whole or event by event. Pure. */
import { z } from "zod";

import type { AnswerDelta, FinishReason } from "#shared/contracts/chat.ts";
import type { Usage } from "#shared/contracts/events.ts";

import { BackendError } from "./backendError.ts";
import type { GrowingAnswer } from "./callStreaming.ts";
import { errorOfStatus } from "./errorOfStatus.ts";
import { badResponse, cutAnswer, type Finished, ToldCount, unpriced } from "./providerAnswer.ts";

const PricedApart = z.object({ ephemeral_1h_input_tokens: ToldCount }).nullish().catch(null);
const Tokens = z.object({
  input_tokens: ToldCount,
  output_tokens: ToldCount,
  cache_read_input_tokens: ToldCount,
  cache_creation_input_tokens: ToldCount,
  /** Kept for an hour, which has a price of its own. */
  cache_creation: PricedApart,
  output_tokens_details: z.object({ thinking_tokens: ToldCount }).nullish().catch(null),
});
type Tokens = z.infer<typeof Tokens>;
const MaybeTokens = Tokens.nullish().catch(null);

const Ending = { stop_reason: z.string().nullish(), stop_details: z.object({ explanation: z.string().nullish() }).nullish() };
/** Other blocks, of thoughts and of tools that run there, are no part of the answer. */
const Block = z.object({ type: z.string(), text: z.string().optional(), id: z.string().optional(), name: z.string().optional(), input: z.unknown().optional() });
const Whole = z.object({ type: z.literal("message"), model: z.string().nullish(), content: z.array(Block), usage: MaybeTokens, ...Ending });

const index = z.int().nonnegative();
const Event = z.discriminatedUnion("type", [
  z.object({ type: z.literal("message_start"), message: z.object({ model: z.string().nullish(), usage: MaybeTokens }) }),
  z.object({ type: z.literal("content_block_start"), index, content_block: Block }),
  z.object({ type: z.literal("content_block_delta"), index, delta: z.object({ type: z.string(), text: z.string().optional(), partial_json: z.string().optional() }) }),
  z.object({ type: z.literal("message_delta"), delta: z.object(Ending), usage: MaybeTokens }),
  z.object({ type: z.literal("message_stop") }),
  z.object({ type: z.literal("error"), error: z.object({ type: z.string() }) }),
]);
const KNOWN: ReadonlySet<string> = new Set(Event.options.map(({ shape }) => shape.type.value));

// Maps: a server may say `constructor`, which every object has.
const FINISHES: ReadonlyMap<string, FinishReason> = new Map(Object.entries({
  end_turn: "stop", stop_sequence: "stop", max_tokens: "length", model_context_window_exceeded: "length", tool_use: "tool_calls", refusal: "content_filter",
}));
const STATUS_OF_ERROR: ReadonlyMap<string, number> = new Map(Object.entries({
  invalid_request_error: 400, authentication_error: 401, billing_error: 402, permission_error: 403, not_found_error: 404, request_too_large: 413, rate_limit_error: 429, timeout_error: 504, overloaded_error: 529,
}));

/** Throws `backend_bad_response`, with what was spent where the reply says it. */
export function readWhole(reply: unknown): Finished {
  const { data } = Whole.safeParse(reply);
  if (data === undefined) throw badResponse("the reply is not a message of Anthropic's API");
  const text = data.content.flatMap((block) => (block.type === "text" ? [block.text ?? ""] : [])).join("");
  const toolCalls = data.content.filter(isToolUse).map(({ id, name, input }) => toolCall(id, name, JSON.stringify(input ?? {})));
  return finished({ text, toolCalls, model: data.model ?? null, tokens: data.usage ?? null, stop_reason: data.stop_reason, stop_details: data.stop_details });
}

type Block = z.infer<typeof Block>;
const isToolUse = (block: Block): block is Block & { id: string; name: string } => block.type === "tool_use" && block.id !== undefined && block.name !== undefined;
const toolCall = (id: string, name: string, args: string) => ({ id, type: "function", function: { name, arguments: args } });

interface State extends Pick<Finished, "text" | "toolCalls" | "model"> {
  readonly tokens: Tokens | null;
  readonly stop_reason?: string | null | undefined;
  readonly stop_details?: { explanation?: string | null | undefined } | null | undefined;
}

function finished({ tokens, stop_reason, stop_details, ...rest }: State): Finished {
  const finish = FINISHES.get(stop_reason ?? "");
  const usage = tokens === null ? null : usageOf(tokens);
  if (finish === undefined) {
    const error = badResponse("the answer ended for a reason that is not known here");
    throw usage === null ? error : error.spending(usage);
  }
  return { ...rest, finish, refusal: finish === "content_filter" ? (stop_details?.explanation ?? "The model refused to answer.") : null, usage, confidence: null };
}

function usageOf({ input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens, cache_creation, output_tokens_details }: Tokens): Usage {
  const cached = cache_read_input_tokens ?? 0, written = cache_creation_input_tokens ?? 0;
  const thought = output_tokens_details?.thinking_tokens;
  return {
    input_tokens: (input_tokens ?? 0) + cached + written,
    output_tokens: output_tokens ?? 0,
    cached_input_tokens: cached,
    cache_write_input_tokens: written,
    ...(thought == null ? {} : { reasoning_output_tokens: thought }),
    ...unpriced(cache_creation?.ephemeral_1h_input_tokens),
    source: "reported",
  };
}

export function makeAnthropicStream(): GrowingAnswer {
  const text: string[] = [];
  /** By index of their block. */
  const calls = new Map<number, { id: string; name: string; args: string[]; place: number }>();
  let state: Pick<State, "model" | "tokens" | "stop_reason" | "stop_details"> & { isEnded: boolean } = { model: null, tokens: null, isEnded: false };

  const start = (at: number, block: Block): AnswerDelta | null => {
    if (block.type === "text" && block.text) return say(block.text);
    if (!isToolUse(block)) return null;
    const place = calls.size;
    calls.set(at, { id: block.id, name: block.name, args: [], place });
    return { tool_calls: [{ index: place, ...toolCall(block.id, block.name, "") }] };
  };
  const say = (piece: string): AnswerDelta => {
    text.push(piece);
    return { text: piece };
  };
  const call = (at: number, piece: string): AnswerDelta | null => {
    const found = calls.get(at);
    if (found === undefined || piece === "") return null;
    found.args.push(piece);
    return { tool_calls: [{ index: found.place, function: { arguments: piece } }] };
  };
  const spend = (tokens: Tokens | null | undefined): void => {
    const told = Object.fromEntries(Object.entries(tokens ?? {}).filter(([, count]) => count !== null));
    if (Object.keys(told).length > 0) state = { ...state, tokens: { ...state.tokens, ...told } };
  };
  const argumentsIn = ({ args }: { args: readonly string[] }): string => args.join("") || "{}";

  return {
    read(data) {
      const type = z.object({ type: z.string() }).safeParse(data).data?.type;
      if (type !== undefined && !KNOWN.has(type)) return null; // `ping`, and those that are yet to come
      const event = Event.safeParse(data).data;
      if (event === undefined || state.isEnded) throw badResponse("the stream is not one of Anthropic's API");
      switch (event.type) {
        case "message_start":
          state = { ...state, model: event.message.model ?? null };
          spend(event.message.usage);
          return null;
        case "content_block_start": return start(event.index, event.content_block);
        case "content_block_delta":
          if (event.delta.type === "text_delta" && event.delta.text) return say(event.delta.text);
          return event.delta.type === "input_json_delta" ? call(event.index, event.delta.partial_json ?? "") : null;
        case "message_delta":
          state = { ...state, ...event.delta };
          spend(event.usage);
          return null;
        case "message_stop":
          state = { ...state, isEnded: true };
          return null;
        case "error": throw errorOf(event.error.type);
      }
    },
    end() {
      if (!state.isEnded) throw cutAnswer();
      const { isEnded: _, ...rest } = state;
      return finished({ ...rest, text: text.join(""), toolCalls: [...calls.values()].map((made) => toolCall(made.id, made.name, argumentsIn(made))) });
    },
    usage: () => (state.tokens === null ? null : usageOf(state.tokens)),
    said: () => [...text, ...[...calls.values()].flatMap(({ args }) => args)].join(""),
  };
}

function errorOf(type: string): BackendError {
  const { code, message, isTransient, isBackendsFault } = errorOfStatus(STATUS_OF_ERROR.get(type) ?? 500, undefined, 0);
  return new BackendError(code, message, { isTransient, isBackendsFault, mayHaveCost: true });
}

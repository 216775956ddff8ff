/** Three client libraries behind one interface, each used as its own documentation shows. None repeats a call by itself here. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import type { AIMessage, AIMessageChunk, BaseMessageLike, ToolMessage } from "@langchain/core/messages";
import { tool as langChainTool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { APICallError, generateText, Output, stepCountIs, streamText, tool as aiTool, type ToolSet } from "ai";
import OpenAI, { APIError, OpenAIError } from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

export interface Ask {
  /** With `/v1`. */
  readonly baseUrl: string;
  readonly model: string;
  readonly messages: readonly { readonly role: "system" | "user" | "assistant"; readonly content: string }[];
  readonly maxTokens?: number;
  readonly stop?: string;
  readonly wantsJson?: boolean;
  readonly wantsLogprobs?: boolean;
  /** With the tools `look` and `taste`, and which of them must be called. */
  readonly toolChoice?: "auto" | "required" | "look";
  /** Fields of the body as the client lets anyone add them. */
  readonly extra?: Readonly<Record<string, unknown>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** What sends the request; the platform's own by default. */
  readonly send?: typeof fetch;
}
/** Its arguments as the client reads them. */
export interface Call {
  readonly id: string;
  readonly name: string;
  readonly input: unknown;
}
/** `null`: the client does not say. */
export interface Answer {
  readonly text: string;
  readonly calls: readonly Call[];
  readonly finishReason: string | null;
  readonly totalTokens: number | null;
  /** Of each token. */
  readonly logprobs: readonly number[] | null;
}
/** What the client throws. */
export interface Failure {
  /** Its class, or the name that the client gave it. */
  readonly kind: string;
  readonly status: number | null;
  readonly code: string | null;
  readonly retryAfter: string | null;
}
export interface Client {
  readonly name: ClientName;
  readonly whole: (ask: Ask) => Promise<Answer>;
  /** Tells of each piece of text as it comes. Rejects when the stream fails. */
  readonly streamed: (ask: Ask, onPiece: (piece: string) => void) => Promise<Answer>;
  /** Runs calls of `look` and sends back what they say, until there is an answer without calls. */
  readonly lookedUp: (ask: Ask, way: Way, look: (at: string) => string) => Promise<Answer>;
  /** An answer under the schema `Colour`, as the client hands it on. Rejects where it is none. */
  readonly structured: (ask: Ask, way: Way) => Promise<unknown>;
  readonly failureOf: (error: unknown) => Failure;
}
export const WAYS = ["whole", "streamed"] as const;
export type Way = (typeof WAYS)[number];
export const CLIENT_NAMES = ["openai", "AI SDK", "LangChain.js"] as const;
export type ClientName = (typeof CLIENT_NAMES)[number];

const Colour = z.object({ colour: z.enum(["red", "green", "blue"]) });
const Where = z.object({ at: z.string() });
const DESCRIPTIONS = { look: "Looks.", taste: "Tastes." };
const TOOL_NAMES = ["look", "taste"] as const;
const DEFAULT_TIMEOUT_MS = 20_000;

/** Half of them are none. */
function readArguments(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const named = (error: unknown): Failure => ({ kind: error instanceof Error ? error.name : "no error", status: null, code: null, retryAfter: null });
function ofOpenAi(error: unknown): Failure {
  if (error instanceof APIError) return { kind: error.constructor.name, status: (error.status as number | undefined) ?? null, code: error.code ?? null, retryAfter: (error.headers as Headers | undefined)?.get("retry-after") ?? null };
  return error instanceof OpenAIError ? { ...named(error), kind: error.constructor.name } : named(error);
}

async function collected<T>(pieces: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const piece of pieces) all.push(piece);
  return all;
}

function openAi(): Client {
  const client = ({ baseUrl, send }: Ask) => new OpenAI({ baseURL: baseUrl, apiKey: "any", maxRetries: 0, ...(send === undefined ? {} : { fetch: send }) });
  const options = ({ timeoutMs = DEFAULT_TIMEOUT_MS, signal }: Ask) => ({ timeout: timeoutMs, ...(signal === undefined ? {} : { signal }) });
  const tools = TOOL_NAMES.map((name) => zodFunction({ name, description: DESCRIPTIONS[name], parameters: Where }));
  const toolChoice = (choice: NonNullable<Ask["toolChoice"]>) => (choice === "look" ? { type: "function" as const, function: { name: choice } } : choice);
  const callOf = (id: string, called: { readonly name: string; readonly arguments: string }): Call => ({ id, name: called.name, input: readArguments(called.arguments) });
  const answerOf = ({ choices: [choice], usage }: OpenAI.ChatCompletion): Answer => ({
    text: choice?.message.content ?? "",
    calls: (choice?.message.tool_calls ?? []).flatMap((call) => (call.type === "function" ? [callOf(call.id, call.function)] : [])),
    finishReason: choice?.finish_reason ?? null, totalTokens: usage?.total_tokens ?? null, logprobs: choice?.logprobs?.content?.map(({ logprob }) => logprob) ?? null,
  });
  const body = (ask: Ask) => ({
    model: ask.model, messages: [...ask.messages],
    ...(ask.maxTokens === undefined ? {} : { max_completion_tokens: ask.maxTokens }),
    ...(ask.stop === undefined ? {} : { stop: ask.stop }),
    ...(ask.wantsJson === true ? { response_format: { type: "json_object" as const } } : {}),
    ...(ask.wantsLogprobs === true ? { logprobs: true } : {}),
    ...(ask.toolChoice === undefined ? {} : { tools, tool_choice: toolChoice(ask.toolChoice) }),
    ...ask.extra,
  });
  return {
    name: "openai",
    whole: async (ask) => answerOf(await client(ask).chat.completions.create(body(ask), options(ask))),
    streamed: async (ask, onPiece) => {
      const pieces: string[] = [];
      const logprobs: number[] = [];
      const calls: { id: string; name: string; arguments: string }[] = [];
      let finishReason: string | null = null, totalTokens: number | null = null;
      for await (const { choices: [choice], usage } of await client(ask).chat.completions.create({ ...body(ask), stream: true, stream_options: { include_usage: true } }, options(ask))) {
        const piece = choice?.delta.content ?? "";
        if (piece !== "") { pieces.push(piece); onPiece(piece); }
        for (const { index, id, function: called } of choice?.delta.tool_calls ?? []) {
          const call = (calls[index] ??= { id: id ?? "", name: called?.name ?? "", arguments: "" });
          call.arguments += called?.arguments ?? "";
        }
        logprobs.push(...(choice?.logprobs?.content?.map(({ logprob }) => logprob) ?? []));
        finishReason = choice?.finish_reason ?? finishReason;
        totalTokens = usage?.total_tokens ?? totalTokens;
      }
      return { text: pieces.join(""), calls: calls.map((call) => callOf(call.id, call)), finishReason, totalTokens, logprobs };
    },
    lookedUp: async (ask, way, look) => {
      const running = TOOL_NAMES.map((name) => zodFunction({ name, description: DESCRIPTIONS[name], parameters: Where, function: ({ at }) => look(at) }));
      const { chat: { completions } } = client(ask), asked = { ...body(ask), tools: running };
      return answerOf(await (way === "whole" ? completions.runTools(asked, options(ask)) : completions.runTools({ ...asked, stream: true }, options(ask))).finalChatCompletion());
    },
    structured: async (ask, way) => {
      const { chat: { completions } } = client(ask), asked = { ...body(ask), response_format: zodResponseFormat(Colour, "colour") };
      const { choices: [choice] } = await (way === "whole" ? completions.parse(asked, options(ask)) : completions.stream(asked, options(ask)).finalChatCompletion());
      return choice?.message.parsed;
    },
    failureOf: ofOpenAi,
  };
}

function aiSdk(): Client {
  const tools: ToolSet = Object.fromEntries(TOOL_NAMES.map((name) => [name, aiTool({ description: DESCRIPTIONS[name], inputSchema: Where })]));
  const callOf = ({ toolCallId, toolName, input }: { readonly toolCallId: string; readonly toolName: string; readonly input: unknown }): Call => ({ id: toolCallId, name: toolName, input });
  const toolChoice = (choice: NonNullable<Ask["toolChoice"]>) => (choice === "look" ? { type: "tool" as const, toolName: choice } : choice);
  const settings = (ask: Ask) => ({
    model: createOpenAICompatible({ name: "tested", baseURL: ask.baseUrl, apiKey: "any", includeUsage: true, supportsStructuredOutputs: true, ...(ask.send === undefined ? {} : { fetch: ask.send }) }).chatModel(ask.model),
    messages: [...ask.messages], maxRetries: 0, timeout: ask.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    ...(ask.maxTokens === undefined ? {} : { maxOutputTokens: ask.maxTokens }),
    ...(ask.stop === undefined ? {} : { stopSequences: [ask.stop] }),
    ...(ask.wantsJson === true ? { output: Output.json() } : {}),
    ...(ask.toolChoice === undefined ? {} : { tools, toolChoice: toolChoice(ask.toolChoice) }),
    ...(ask.extra === undefined ? {} : { providerOptions: { tested: ask.extra as Record<string, string> } }),
    ...(ask.signal === undefined ? {} : { abortSignal: ask.signal }),
  });
  return {
    name: "AI SDK",
    whole: async (ask) => {
      const { text, toolCalls, finishReason, usage } = await generateText(settings(ask));
      return { text, calls: toolCalls.map(callOf), finishReason, totalTokens: usage.totalTokens ?? null, logprobs: null };
    },
    streamed: async (ask, onPiece) => {
      const pieces: string[] = [], calls: Call[] = [], failures: unknown[] = [];
      let finishReason: string | null = null, totalTokens: number | null = null;
      for await (const part of streamText({ ...settings(ask), onError: () => undefined }).fullStream) {
        if (part.type === "text-delta") { pieces.push(part.text); onPiece(part.text); }
        if (part.type === "tool-call" && part.invalid !== true) calls.push(callOf(part));
        if (part.type === "finish") [finishReason, totalTokens] = [part.finishReason, part.totalUsage.totalTokens ?? null];
        if (part.type === "error") failures.push(part.error);
        if (part.type === "abort") throw new DOMException("aborted", "AbortError");
      }
      // A broken stream goes on to its end, where the client hands on the calls that it takes for whole.
      if (failures.length > 0) throw calls.length === 0 ? failures[0] : new Error("a call was handed on from a stream that failed");
      return { text: pieces.join(""), calls, finishReason, totalTokens, logprobs: null };
    },
    lookedUp: async (ask, way, look) => {
      const running = { ...settings(ask), stopWhen: stepCountIs(3), tools: { ...tools, look: aiTool({ description: DESCRIPTIONS.look, inputSchema: Where, execute: ({ at }) => look(at) }) } };
      const result = way === "whole" ? await generateText(running) : streamText({ ...running, onError: () => undefined });
      const [text, toolCalls, finishReason, { totalTokens = null }] = await Promise.all([result.text, result.toolCalls, result.finishReason, result.totalUsage]);
      return { text, calls: toolCalls.map(callOf), finishReason, totalTokens, logprobs: null };
    },
    structured: async (ask, way) => {
      const asked = { ...settings(ask), output: Output.object({ schema: Colour }) };
      return way === "whole" ? (await generateText(asked)).output : streamText({ ...asked, onError: () => undefined }).output;
    },
    failureOf: (error) => {
      if (APICallError.isInstance(error)) {
        const { error: said } = (error.data ?? {}) as { error?: { code?: string | null } };
        return { kind: "APICallError", status: error.statusCode ?? null, code: said?.code ?? null, retryAfter: error.responseHeaders?.["retry-after"] ?? null };
      }
      // Of an error within a stream the client hands on what the server sent, as it is.
      if (typeof error === "object" && error !== null && !(error instanceof Error) && "code" in error) return { kind: "error part", status: null, code: String(error.code), retryAfter: null };
      return named(error);
    },
  };
}

function langChain(): Client {
  const model = (ask: Ask) => new ChatOpenAI({
    model: ask.model, apiKey: "any", maxRetries: 0, timeout: ask.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    configuration: { baseURL: ask.baseUrl, ...(ask.send === undefined ? {} : { fetch: ask.send }) },
    ...(ask.maxTokens === undefined ? {} : { maxTokens: ask.maxTokens }),
    ...(ask.wantsLogprobs === true ? { logprobs: true } : {}),
    modelKwargs: { ...(ask.wantsJson === true ? { response_format: { type: "json_object" } } : {}), ...ask.extra },
  });
  const toolsFor = (look: (at: string) => string) => TOOL_NAMES.map((name) => langChainTool(({ at }) => look(at), { name, description: DESCRIPTIONS[name], schema: Where }));
  const bound = (ask: Ask, tools = toolsFor(() => "")) => (ask.toolChoice === undefined ? model(ask) : model(ask).bindTools(tools, { tool_choice: ask.toolChoice }));
  const options = ({ stop, signal }: Ask) => ({ ...(stop === undefined ? {} : { stop: [stop] }), ...(signal === undefined ? {} : { signal }) });
  // The library's types know only half of what it fills in.
  const tokensOf = ({ usage_metadata }: { readonly usage_metadata?: unknown }) => (usage_metadata as { total_tokens?: number } | undefined)?.total_tokens ?? null;
  type Metadata = { finish_reason?: string; logprobs?: { content?: { logprob: number }[] } };
  const callsOf = ({ tool_calls = [] }: AIMessage | AIMessageChunk): Call[] => tool_calls.map(({ id = "", name, args }) => ({ id, name, input: args }));
  const answerOf = (message: AIMessage | AIMessageChunk): Answer => {
    const { finish_reason: finishReason = null, logprobs } = message.response_metadata as Metadata;
    return { text: message.text, calls: callsOf(message), finishReason, totalTokens: tokensOf(message), logprobs: logprobs?.content?.map(({ logprob }) => logprob) ?? null };
  };
  const whole = (chunks: readonly AIMessageChunk[]): AIMessageChunk => chunks.reduce((before, chunk) => before.concat(chunk));
  return {
    name: "LangChain.js",
    whole: async (ask) => answerOf(await bound(ask).invoke([...ask.messages], options(ask))),
    streamed: async (ask, onPiece) => {
      const chunks: AIMessageChunk[] = [];
      for await (const chunk of await bound(ask).stream([...ask.messages], options(ask))) {
        chunks.push(chunk);
        if (chunk.text !== "") onPiece(chunk.text);
      }
      const metadata = chunks.map(({ response_metadata }) => response_metadata as Metadata);
      return {
        text: chunks.map(({ text }) => text).join(""),
        calls: callsOf(whole(chunks)),
        finishReason: metadata.findLast(({ finish_reason }) => finish_reason !== undefined)?.finish_reason ?? null,
        totalTokens: chunks.map(tokensOf).findLast((tokens) => tokens !== null) ?? null,
        logprobs: metadata.flatMap(({ logprobs }) => logprobs?.content?.map(({ logprob }) => logprob) ?? []),
      };
    },
    lookedUp: async (ask, way, look) => {
      const tools = toolsFor(look), chat = bound(ask, tools);
      const say = async (messages: BaseMessageLike[]) => (way === "whole" ? chat.invoke(messages, options(ask)) : whole(await collected(await chat.stream(messages, options(ask)))));
      const first = await say([...ask.messages]);
      const results: BaseMessageLike[] = [];
      for (const call of first.tool_calls ?? []) results.push((await tools.find(({ name }) => name === call.name)?.invoke(call)) as ToolMessage);
      return answerOf(await say([...ask.messages, first, ...results]));
    },
    structured: async (ask, way) => {
      const chat = model(ask).withStructuredOutput(Colour);
      return way === "whole" ? chat.invoke([...ask.messages], options(ask)) : (await collected(await chat.stream([...ask.messages], options(ask)))).at(-1);
    },
    failureOf: ofOpenAi,
  };
}

export const CLIENTS: readonly Client[] = [openAi(), aiSdk(), langChain()];

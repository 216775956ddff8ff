/** Three client libraries behind one interface, each used as its own documentation shows. None repeats a call by itself here. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import type { AIMessageChunk } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import { APICallError, generateText, jsonSchema, Output, streamText, type ToolSet } from "ai";
import OpenAI, { APIError } from "openai";

export interface Ask {
  /** With `/v1`. */
  readonly baseUrl: string;
  readonly model: string;
  readonly messages: readonly { readonly role: "system" | "user" | "assistant"; readonly content: string }[];
  readonly maxTokens?: number;
  readonly stop?: string;
  readonly wantsJson?: boolean;
  readonly wantsLogprobs?: boolean;
  readonly hasTools?: boolean;
  /** Fields of the body as the client lets anyone add them. */
  readonly extra?: Readonly<Record<string, unknown>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** What sends the request; the platform's own by default. */
  readonly send?: typeof fetch;
}
/** `null`: the client does not say. */
export interface Answer {
  readonly text: string;
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
  readonly failureOf: (error: unknown) => Failure;
}
export const CLIENT_NAMES = ["openai", "AI SDK", "LangChain.js"] as const;
export type ClientName = (typeof CLIENT_NAMES)[number];

const PARAMETERS = { type: "object" as const, properties: { at: { type: "string" as const } }, required: ["at"] };
const TOOL = { type: "function" as const, function: { name: "look", description: "Looks.", parameters: PARAMETERS } };
const DEFAULT_TIMEOUT_MS = 20_000;

const named = (error: unknown): Failure => ({ kind: error instanceof Error ? error.name : "no error", status: null, code: null, retryAfter: null });
const ofOpenAi = (error: unknown): Failure =>
  error instanceof APIError
    ? { kind: error.constructor.name, status: (error.status as number | undefined) ?? null, code: error.code ?? null, retryAfter: (error.headers as Headers | undefined)?.get("retry-after") ?? null }
    : named(error);

function openAi(): Client {
  const client = ({ baseUrl, send }: Ask) => new OpenAI({ baseURL: baseUrl, apiKey: "any", maxRetries: 0, ...(send === undefined ? {} : { fetch: send }) });
  const options = ({ timeoutMs = DEFAULT_TIMEOUT_MS, signal }: Ask) => ({ timeout: timeoutMs, ...(signal === undefined ? {} : { signal }) });
  const body = (ask: Ask) => ({
    model: ask.model, messages: [...ask.messages],
    ...(ask.maxTokens === undefined ? {} : { max_completion_tokens: ask.maxTokens }),
    ...(ask.stop === undefined ? {} : { stop: ask.stop }),
    ...(ask.wantsJson === true ? { response_format: { type: "json_object" as const } } : {}),
    ...(ask.wantsLogprobs === true ? { logprobs: true } : {}),
    ...(ask.hasTools === true ? { tools: [TOOL] } : {}),
    ...ask.extra,
  });
  return {
    name: "openai",
    whole: async (ask) => {
      const { choices: [choice], usage } = await client(ask).chat.completions.create(body(ask), options(ask));
      return { text: choice?.message.content ?? "", finishReason: choice?.finish_reason ?? null, totalTokens: usage?.total_tokens ?? null, logprobs: choice?.logprobs?.content?.map(({ logprob }) => logprob) ?? null };
    },
    streamed: async (ask, onPiece) => {
      const pieces: string[] = [];
      const logprobs: number[] = [];
      let finishReason: string | null = null, totalTokens: number | null = null;
      for await (const { choices: [choice], usage } of await client(ask).chat.completions.create({ ...body(ask), stream: true, stream_options: { include_usage: true } }, options(ask))) {
        const piece = choice?.delta.content ?? "";
        if (piece !== "") { pieces.push(piece); onPiece(piece); }
        logprobs.push(...(choice?.logprobs?.content?.map(({ logprob }) => logprob) ?? []));
        finishReason = choice?.finish_reason ?? finishReason;
        totalTokens = usage?.total_tokens ?? totalTokens;
      }
      return { text: pieces.join(""), finishReason, totalTokens, logprobs };
    },
    failureOf: ofOpenAi,
  };
}

function aiSdk(): Client {
  const tools: ToolSet = { look: { description: TOOL.function.description, inputSchema: jsonSchema(PARAMETERS) } };
  const settings = (ask: Ask) => ({
    model: createOpenAICompatible({ name: "tested", baseURL: ask.baseUrl, apiKey: "any", includeUsage: true, ...(ask.send === undefined ? {} : { fetch: ask.send }) }).chatModel(ask.model),
    messages: [...ask.messages], maxRetries: 0, timeout: ask.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    ...(ask.maxTokens === undefined ? {} : { maxOutputTokens: ask.maxTokens }),
    ...(ask.stop === undefined ? {} : { stopSequences: [ask.stop] }),
    ...(ask.wantsJson === true ? { output: Output.json() } : {}),
    ...(ask.hasTools === true ? { tools } : {}),
    ...(ask.extra === undefined ? {} : { providerOptions: { tested: ask.extra as Record<string, string> } }),
    ...(ask.signal === undefined ? {} : { abortSignal: ask.signal }),
  });
  return {
    name: "AI SDK",
    whole: async (ask) => {
      const { text, finishReason, usage } = await generateText(settings(ask));
      return { text, finishReason, totalTokens: usage.totalTokens ?? null, logprobs: null };
    },
    streamed: async (ask, onPiece) => {
      const pieces: string[] = [];
      let finishReason: string | null = null, totalTokens: number | null = null;
      for await (const part of streamText({ ...settings(ask), onError: () => undefined }).fullStream) {
        if (part.type === "text-delta") { pieces.push(part.text); onPiece(part.text); }
        if (part.type === "finish") [finishReason, totalTokens] = [part.finishReason, part.totalUsage.totalTokens ?? null];
        if (part.type === "error") throw part.error;
        if (part.type === "abort") throw new DOMException("aborted", "AbortError");
      }
      return { text: pieces.join(""), finishReason, totalTokens, logprobs: null };
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
  const options = ({ stop, hasTools, signal }: Ask) => ({ ...(stop === undefined ? {} : { stop: [stop] }), ...(hasTools === true ? { tools: [TOOL] } : {}), ...(signal === undefined ? {} : { signal }) });
  // The library's types know only half of what it fills in.
  const tokensOf = ({ usage_metadata }: { readonly usage_metadata?: unknown }) => (usage_metadata as { total_tokens?: number } | undefined)?.total_tokens ?? null;
  type Metadata = { finish_reason?: string; logprobs?: { content?: { logprob: number }[] } };
  return {
    name: "LangChain.js",
    whole: async (ask) => {
      const message = await model(ask).invoke([...ask.messages], options(ask));
      const { finish_reason: finishReason = null, logprobs } = message.response_metadata as Metadata;
      return { text: message.text, finishReason, totalTokens: tokensOf(message), logprobs: logprobs?.content?.map(({ logprob }) => logprob) ?? null };
    },
    streamed: async (ask, onPiece) => {
      const chunks: AIMessageChunk[] = [];
      for await (const chunk of await model(ask).stream([...ask.messages], options(ask))) {
        chunks.push(chunk);
        if (chunk.text !== "") onPiece(chunk.text);
      }
      const metadata = chunks.map(({ response_metadata }) => response_metadata as Metadata);
      return {
        text: chunks.map(({ text }) => text).join(""),
        finishReason: metadata.findLast(({ finish_reason }) => finish_reason !== undefined)?.finish_reason ?? null,
        totalTokens: chunks.map(tokensOf).findLast((tokens) => tokens !== null) ?? null,
        logprobs: metadata.flatMap(({ logprobs }) => logprobs?.content?.map(({ logprob }) => logprob) ?? []),
      };
    },
    failureOf: ofOpenAi,
  };
}

export const CLIENTS: readonly Client[] = [openAi(), aiSdk(), langChain()];

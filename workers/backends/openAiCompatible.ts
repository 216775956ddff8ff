/** Any server that speaks OpenAI's `POST /chat/completions`: OpenAI, vLLM, Ollama, llama.cpp and others. */
import { Agent, type Dispatcher, request as httpRequest } from "undici";

import type { Prompt } from "#shared/contracts/chat.ts";

import type { Backend, BackendAnswer, CallOptions } from "./backend.ts";
import { BackendError, CutOff } from "./backendError.ts";
import { errorOfStatus } from "./errorOfStatus.ts";
import { type EventParser, makeEventParser } from "./eventParser.ts";
import { chatBody, type OpenAiConfig } from "./openAi/chatBody.ts";
import { type Asked, readReply } from "./openAi/chatReply.ts";
import { makeStreamedAnswer, type StreamedAnswer } from "./openAi/streamedAnswer.ts";

/** Of a reply in one piece, which is all in memory. */
const MAX_REPLY_BYTES = 8 * 1024 ** 2;
/** Of a stream, which is not: around each token are hundreds of bytes, and thousands with alternatives. */
const MAX_STREAM_BYTES = 64 * 1024 ** 2;
const MAX_EVENT_UNITS = 1024 ** 2;
/** What may still come of a reply whose end is not waited for, so that its connection can be used again. */
const MAX_REST_BYTES = 64 * 1024;
const LONGEST_REST_MS = 1_000;

export interface OpenAiCompatibleOptions {
  readonly config: OpenAiConfig;
  readonly apiKey: string | null;
  readonly priorQuality: Asked["priorQuality"];
}

export function makeOpenAiCompatible({ config, apiKey, priorQuality }: OpenAiCompatibleOptions): Backend<Prompt> {
  const agent = new Agent({ connect: { timeout: 5_000 }, keepAliveTimeout: 30_000 });
  const url = `${config.base_url.replace(/\/$/, "")}/chat/completions`;
  return {
    async call(input, { signal, traceparent, onDelta }) {
      const asked = { input, config, priorQuality };
      const headers = { "content-type": "application/json", traceparent, ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }) };
      const body = JSON.stringify(chatBody(input, config, onDelta !== undefined));
      const response = await reaching(signal, () => httpRequest(url, { method: "POST", dispatcher: agent, headers, body, signal, headersTimeout: 0, bodyTimeout: onDelta === undefined ? 0 : config.idle_timeout_ms }));
      if (response.statusCode !== 200) {
        letGo(response.body);
        throw errorOfStatus(response.statusCode, response.headers["retry-after"], Date.now());
      }
      if (onDelta === undefined || isJson(response.headers["content-type"])) return readReply(await reaching(signal, () => readCapped(response.body)), asked);
      return readStream(response.body, makeStreamedAnswer(asked), onDelta, signal);
    },
    close: () => agent.close(),
  };
}

/** A server that does not stream. What else it says it sends is read as a stream: some name no type. */
const isJson = (contentType: string | string[] | undefined): boolean => /^application\/json\b/i.test(String(contentType));

const NEVER_SENT: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);
const codeOf = (error: unknown): string => String((error as NodeJS.ErrnoException).code);

async function reaching<T>(signal: AbortSignal, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof BackendError) throw error;
    if (signal.aborted) throw new CutOff(null, { cause: error });
    throw new BackendError("backend_unavailable", "the model's server cannot be reached", { isTransient: true, mayHaveCost: !NEVER_SENT.has(codeOf(error)), cause: error });
  }
}

type Body = Dispatcher.ResponseData["body"];

async function readCapped(body: Body): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_REPLY_BYTES) throw new BackendError("backend_bad_response", `the reply is larger than ${MAX_REPLY_BYTES} bytes`, { mayHaveCost: true });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Reads no faster than its pieces are taken. An end before the server said how the answer ended is an error, whatever it looks like. */
async function readStream(body: Body, streamed: StreamedAnswer, onDelta: NonNullable<CallOptions["onDelta"]>, signal: AbortSignal): Promise<BackendAnswer> {
  const parser = makeEventParser(MAX_EVENT_UNITS);
  const take = (events: readonly string[]) => {
    for (const data of events) {
      const delta = streamed.take(data);
      if (delta !== null) onDelta(delta, streamed.newTokens());
    }
  };
  const chunks = body.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array, undefined>;
  let size = 0;
  try {
    while (!streamed.isOver()) {
      const next = await chunks.next().catch((error: unknown) => endedBy(error, streamed, signal));
      if (next.done === true) break;
      size += next.value.length;
      if (size > MAX_STREAM_BYTES) throw streamed.failure("backend_bad_response", `the stream is larger than ${MAX_STREAM_BYTES} bytes`);
      take(eventsOf(streamed, () => parser.push(next.value)));
    }
    if (!streamed.isOver() && !streamed.isComplete()) take(eventsOf(streamed, () => parser.end()));
    if (!streamed.isComplete()) throw streamed.failure("backend_bad_response", "the stream ended before the answer was complete");
    return streamed.answer();
  } finally {
    await chunks.return?.();
    if (streamed.isOver()) letGo(body);
    else body.on("error", () => undefined).destroy();
  }
}

const ENDED = { done: true, value: undefined } as const;
/** What breaks off a complete answer costs its usage at most: not every server says `[DONE]`, or ends. */
function endedBy(error: unknown, streamed: StreamedAnswer, signal: AbortSignal): typeof ENDED {
  if (signal.aborted) throw new CutOff(streamed.usage(), { cause: error });
  if (streamed.isComplete()) return ENDED;
  throw streamed.failure("backend_unavailable", codeOf(error) === "UND_ERR_BODY_TIMEOUT" ? "the stream stalled" : "the stream broke off", error);
}

function eventsOf(streamed: StreamedAnswer, parse: () => ReturnType<EventParser["push"]>): string[] {
  try {
    return parse();
  } catch (cause) {
    throw streamed.failure("backend_bad_response", cause instanceof RangeError ? `the stream has an event of more than ${MAX_EVENT_UNITS} characters` : "the stream is not UTF-8", cause);
  }
}

function letGo(body: Body): void {
  void body.dump({ limit: MAX_REST_BYTES, signal: AbortSignal.timeout(LONGEST_REST_MS) }).catch(() => undefined);
}

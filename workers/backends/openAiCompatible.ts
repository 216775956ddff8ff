/** Any server that speaks OpenAI's `POST /chat/completions`: OpenAI, vLLM, Ollama, llama.cpp and others. */
import type { Prompt } from "#shared/contracts/chat.ts";
import type { Reach } from "#shared/reach/guardedAgent.ts";

import type { Backend, BackendAnswer, CallOptions } from "./backend.ts";
import { CutOff } from "./backendError.ts";
import { type EventParser, makeEventParser } from "#shared/runtime/eventParser.ts";
import { type Body, letGo, makeAgent, open, readAll } from "./http.ts";
import { chatBody, type OpenAiConfig } from "./openAi/chatBody.ts";
import { type Asked, readReply } from "./openAi/chatReply.ts";
import { makeStreamedAnswer, type StreamedAnswer } from "./openAi/streamedAnswer.ts";

/** Of a stream, which is not all in memory: around each token are hundreds of bytes, and thousands with alternatives. */
const MAX_STREAM_BYTES = 64 * 1024 ** 2;
const MAX_EVENT_UNITS = 1024 ** 2;

export interface OpenAiCompatibleOptions {
  readonly config: OpenAiConfig;
  readonly apiKey: string | null;
  readonly priorQuality: Asked["priorQuality"];
  readonly reach: Reach;
}

export function makeOpenAiCompatible({ config, apiKey, priorQuality, reach }: OpenAiCompatibleOptions): Backend<Prompt> {
  const agent = makeAgent(reach);
  const url = `${config.base_url.replace(/\/$/, "")}/chat/completions`;
  return {
    async call(input, { signal, traceparent, onDelta }) {
      const asked = { input, config, priorQuality };
      const headers = { traceparent, ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }) };
      const body = chatBody(input, config, onDelta !== undefined);
      const reply = await open({ agent, url, headers, body, signal, firstByteTimeoutMs: config.first_byte_timeout_ms }, onDelta === undefined ? 0 : config.idle_timeout_ms);
      if (onDelta === undefined || isJson(reply.headers["content-type"])) return readReply(await readAll(reply.body, signal), asked);
      return readStream(reply.body, makeStreamedAnswer(asked), onDelta, signal);
    },
    close: () => agent.close(),
  };
}

/** A server that does not stream. What else it says it sends is read as a stream: some name no type. */
const isJson = (contentType: string | string[] | undefined): boolean => /^application\/json\b/i.test(String(contentType));

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
  throw streamed.failure("backend_unavailable", (error as NodeJS.ErrnoException).code === "UND_ERR_BODY_TIMEOUT" ? "the stream stalled" : "the stream broke off", error);
}

function eventsOf(streamed: StreamedAnswer, parse: () => ReturnType<EventParser["push"]>): string[] {
  try {
    return parse();
  } catch (cause) {
    throw streamed.failure("backend_bad_response", cause instanceof RangeError ? `the stream has an event of more than ${MAX_EVENT_UNITS} characters` : "the stream is not UTF-8", cause);
  }
}

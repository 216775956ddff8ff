/** The HTTP door, over the platform's `fetch`. */
import { InferEvent, type InferReply } from "#shared/contracts/reply.ts";
import { makeEventParser } from "#shared/runtime/eventParser.ts";
import { pause, unlessAborted } from "#shared/runtime/lifecycle.ts";

import { nextLookMs } from "./afterFailure.ts";
import { InferError } from "./inferError.ts";
import { failureOf, jsonOf, recordIn, retryAfterMsOf } from "./httpReply.ts";
import type { Asked, Call, Piece, Ref, Transport } from "./transport.ts";

export interface HttpOptions {
  readonly url: string;
  readonly apiKey: string | undefined;
}
interface Sent {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whom an error is about. */
  readonly requestId: string;
}
interface Answer {
  readonly response: Response;
  readonly text: string;
}

/** Looks for outcomes that are on their way at once. */
const MOST_LOOKS = 16;
/** Streams of events at once; for what more is waited is looked. */
const MOST_FOLLOWED = 16;
/** A connection that is gone without a word is noticed this late. */
const FOLLOWED_FOR_MS = 20_000;

export function openHttpTransport({ url, apiKey }: HttpOptions): Transport {
  const base = url.replace(/\/+$/, "");
  const looking = makeGate(MOST_LOOKS);

  /** Throws `connection_failed` unless there is a reply. What a call is stopped by is thrown as it is. */
  const send = async <T>({ method, path, body, headers = {}, requestId }: Sent, { signal, traceparent }: Call, read: (response: Response) => Promise<T>): Promise<T> => {
    const known = { ...(traceparent === undefined ? {} : { traceparent }), ...(body === undefined ? {} : { "content-type": "application/json" }), ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }) };
    try {
      return await read(await fetch(`${base}${path}`, { method, headers: { ...known, ...headers }, signal, redirect: "error", ...(body === undefined ? {} : { body: JSON.stringify(body) }) }));
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof InferError) throw cause;
      throw new InferError("connection_failed", `no whole answer from ${base}`, { requestId, cause });
    }
  };
  const ask = (sent: Sent, call: Call): Promise<Answer> => send(sent, call, async (response) => ({ response, text: await response.text() }));

  /** The outcome, which an error status may have beside it; `null`: accepted, and no outcome yet. */
  const outcomeIn = ({ response, text }: Answer, requestId: string): InferReply | null => {
    if (response.status === 202) return null;
    const record = recordIn(text);
    if (record === null) throw failureOf(response, text, requestId);
    return record;
  };
  const look = async (ref: Ref, call: Call) => {
    const { request_id: requestId } = ref;
    const answer = await ask({ method: "GET", path: pathOf(ref), requestId }, call);
    return { outcome: outcomeIn(answer, requestId), retryAfterMs: retryAfterMsOf(answer.response.headers) };
  };
  const state = { followed: 0 };
  /** `true` as soon as the request's events tell its outcome: then look. `false`: they do not, or cannot be had. */
  const follow = async (ref: Ref, call: Call): Promise<boolean> => {
    if (state.followed >= MOST_FOLLOWED) return false;
    state.followed += 1;
    try {
      const signal = AbortSignal.any([call.signal, AbortSignal.timeout(FOLLOWED_FOR_MS)]);
      return await send({ method: "GET", path: pathOf(ref, "/events"), requestId: ref.request_id }, { ...call, signal }, tellsOutcome);
    } catch {
      return false;
    } finally {
      state.followed -= 1;
    }
  };
  const infer = ({ body }: Asked, headers: Readonly<Record<string, string>>): Sent => ({ method: "POST", path: "/infer", body, headers, requestId: body.request_id });

  return {
    async infer(asked, call, onPiece) {
      const { request_id: requestId } = asked.body;
      const outcome = onPiece === undefined
        ? outcomeIn(await ask(infer(asked, {}), call), requestId)
        : await send(infer(asked, { accept: "text/event-stream" }), call, (response) => readStream(response, requestId, onPiece));
      if (outcome === null) throw new InferError("unexpected_reply", "accepted, though the outcome was waited for", { requestId, status: 202 });
      return outcome;
    },
    async submit(asked, call) {
      return outcomeIn(await ask(infer(asked, { prefer: "respond-async" }), call), asked.body.request_id);
    },
    outcome: async (ref, call) => (await look(ref, call)).outcome,
    async wait(ref, call) {
      for (let looks = 1; ; looks++) {
        const { outcome, retryAfterMs } = await unlessAborted(call.signal, looking(() => look(ref, call)));
        if (outcome !== null) return outcome;
        if (!(await follow(ref, call))) await pause(nextLookMs(looks, retryAfterMs, Math.random()), call.signal);
        call.signal.throwIfAborted();
      }
    },
    async feedback(ref, body, call) {
      const { response, text } = await ask({ method: "POST", path: pathOf(ref, "/feedback"), body, requestId: ref.request_id }, call);
      if (!response.ok) throw failureOf(response, text, ref.request_id);
    },
    close: () => Promise.resolve(),
  };
}

const pathOf = ({ request_id, tenant_id }: Ref, more = ""): string =>
  `/requests/${encodeURIComponent(request_id)}${more}${tenant_id === undefined ? "" : `?tenant_id=${encodeURIComponent(tenant_id)}`}`;

/** UTF-16 units of one event. */
const MOST_UNITS = 8 * 1_024 ** 2;

/** Throws `connection_failed` when the stream ends before its outcome: the same request goes on where it was. */
async function readStream(response: Response, requestId: string, onPiece: (piece: Piece) => void): Promise<InferReply | null> {
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
  if (!isStream || response.body === null) {
    const text = await response.text(); // what failed before anything was shown, or a service that does not stream
    const record = recordIn(text);
    if (record === null) throw failureOf(response, text, requestId);
    return record;
  }
  const parser = makeEventParser(MOST_UNITS);
  const run = crypto.randomUUID();
  let seq = 0;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    for (const frame of parser.push(chunk)) {
      const event = InferEvent.safeParse(jsonOf(frame)).data;
      if (event?.type === "token") onPiece({ run, seq: seq++, deltas: [event.delta] });
      if (event?.type === "outcome") return event.request;
      if (event?.type === "error") {
        if (event.request !== undefined) return event.request;
        throw failureOf({ status: null, headers: response.headers }, frame, requestId);
      }
    }
  }
  throw new InferError("connection_failed", "the stream ended before the outcome", { requestId });
}

/** Of the events of a request, the last one has its record. */
async function tellsOutcome({ ok, body }: Response): Promise<boolean> {
  if (!ok || body === null) {
    await body?.cancel();
    return false;
  }
  const parser = makeEventParser(MOST_UNITS);
  for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) if (parser.push(chunk).some((frame) => recordIn(frame) !== null)) return true;
  return false;
}

type Gate = <T>(run: () => Promise<T>) => Promise<T>;
/** Runs at most so many at once. */
function makeGate(most: number): Gate {
  const waiting: (() => void)[] = [];
  let free = most;
  return async (run) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => { waiting.push(resolve); });
    try {
      return await run();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
}

/** POST to a model's server: whole or as a stream of events, each wait and each size bounded, its failures typed. */
import { type Agent, type Dispatcher, request } from "undici";

import { makeGuardedAgent, type Reach, RefusedTarget } from "#shared/reach/guardedAgent.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

import { BackendError, CutOff } from "./backendError.ts";
import { errorOfStatus } from "./errorOfStatus.ts";
import { serverSentEvents } from "./serverSentEvents.ts";

const MAX_REPLY_BYTES = 8 * 1024 ** 2;
/** What may still come of a reply whose end is not waited for, so that its connection can be used again. */
const MAX_REST_BYTES = 64 * 1024;
const LONGEST_REST_MS = 1_000;
const KEEP_ALIVE_MS = 30_000;
const NEVER_SENT: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);

export interface Post {
  readonly agent: Agent;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: object;
  /** Ends the call with a `CutOff`. */
  readonly signal: AbortSignal;
  /** Longest wait for the first byte of a stream, or for the headers of any other reply. */
  readonly firstByteTimeoutMs: number | undefined;
}

export const makeAgent = (reach: Reach): Agent => makeGuardedAgent(reach, KEEP_ALIVE_MS);

/** The JSON of the reply. Throws `BackendError`. */
export async function postJson(post: Post): Promise<unknown> {
  const { body } = await open(post, 0);
  return readJson(await readAll(body, post.signal));
}

/** The JSON of each event of the reply. Silence of `idleTimeoutMs` ends it. Throws `BackendError`. */
export async function* postForEvents(post: Post, idleTimeoutMs: number): AsyncGenerator<unknown, void, undefined> {
  const { body } = await open(post, idleTimeoutMs);
  try {
    for await (const data of serverSentEvents(capped(body))) yield readJson(Buffer.from(data));
  } catch (error) {
    throw brokenOff(error, post.signal);
  }
}

export type Body = Dispatcher.ResponseData["body"];

/** The reply, of status 200. `idleTimeoutMs`: of a stream; 0: it is none. Throws `BackendError`. */
export async function open({ agent, url, headers, body, signal, firstByteTimeoutMs }: Post, idleTimeoutMs: number): Promise<Dispatcher.ResponseData> {
  const sent = { "content-type": "application/json", ...headers };
  const late = new AbortController();
  const timer = firstByteTimeoutMs === undefined ? null : setTimeout(() => { late.abort(); }, firstByteTimeoutMs);
  try {
    const response = await request(url, { method: "POST", dispatcher: agent, headers: sent, body: JSON.stringify(body), signal: timer === null ? signal : AbortSignal.any([signal, late.signal]), headersTimeout: 0, bodyTimeout: idleTimeoutMs });
    if (response.statusCode !== 200) {
      letGo(response.body);
      throw errorOfStatus(response.statusCode, response.headers["retry-after"], Date.now());
    }
    if (timer !== null && idleTimeoutMs > 0) await hasBegun(response.body);
    return response;
  } catch (error) {
    if (late.signal.aborted && !signal.aborted) throw new BackendError("backend_unavailable", "the model's server sent nothing within first_byte_timeout_ms", { isTransient: true, isPushback: true, mayHaveCost: true, cause: error });
    throw brokenOff(error, signal);
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}

/** A byte is there, or its end. */
const hasBegun = (body: Body): Promise<void> => new Promise((resolve, reject) => { body.once("readable", resolve).once("end", resolve).once("error", reject); });

/** Throws `BackendError`. */
export async function readAll(body: Body, signal: AbortSignal): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of capped(body)) chunks.push(chunk);
  } catch (error) {
    throw brokenOff(error, signal);
  }
  return Buffer.concat(chunks);
}

/** Nobody waits for what is not read. */
export function letGo(body: Body): void {
  void body.dump({ limit: MAX_REST_BYTES, signal: AbortSignal.timeout(LONGEST_REST_MS) }).catch(() => undefined);
}

async function* capped(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_REPLY_BYTES) throw new BackendError("backend_bad_response", `the reply is larger than ${MAX_REPLY_BYTES} bytes`, { mayHaveCost: true });
    yield chunk;
  }
}

function readJson(bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes);
  } catch (error) {
    throw new BackendError("backend_bad_response", "the reply is not JSON", { mayHaveCost: true, cause: error });
  }
}

function brokenOff(error: unknown, signal: AbortSignal): BackendError | CutOff {
  if (error instanceof BackendError) return error;
  if (signal.aborted) return new CutOff(null, { cause: error });
  if (error instanceof RefusedTarget) return new BackendError("backend_refused", `the model's server was not connected to: ${error.message}; INFER_BACKEND_ALLOW names what may be`, { cause: error });
  const { code } = error as NodeJS.ErrnoException;
  if (code === "UND_ERR_BODY_TIMEOUT") return new BackendError("backend_unavailable", "the model's server fell silent", { isTransient: true, mayHaveCost: true, cause: error });
  return new BackendError("backend_unavailable", "the model's server cannot be reached", { isTransient: true, isPushback: NEVER_SENT.has(String(code)), mayHaveCost: !NEVER_SENT.has(String(code)), cause: error });
}

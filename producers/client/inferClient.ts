/**
 * The client: one interface over HTTP and over NATS. What either transport does in one try is tried again here, within the
 * request's deadline and the call's time, always as the same request: its id is made before the first try. docs/client.md.
 */
import { v7 as uuidv7 } from "uuid";
import { z } from "zod";

import { badRequest } from "#shared/contracts/describeIssues.ts";
import { FeedbackBody } from "#shared/contracts/feedback.ts";
import { RequestId, TenantId } from "#shared/contracts/ids.ts";
import type { InferReply } from "#shared/contracts/reply.ts";
import { InferBody } from "#shared/contracts/request.ts";
import { pause } from "#shared/runtime/lifecycle.ts";
import { traceparentFrom } from "#shared/telemetry/traceparent.ts";

import { afterFailure, nextLookMs } from "./afterFailure.ts";
import { type CallScope, makeCallScopes } from "./callScope.ts";
import { fromAppError, InferError, isInferError, isRetryable } from "./inferError.ts";
import { openHttpTransport } from "./httpTransport.ts";
import { makePieceQueue, type StreamPart } from "./pieceQueue.ts";
import type { Asked, Call, Ref, Transport } from "./transport.ts";

export { InferError, isInferError, isRetryable };
export type { InferErrorCode } from "./inferError.ts";
export type { FeedbackBody, InferReply, StreamPart };

/** The body of `POST /infer`; what the client's options say of tenant and user may be left out. */
export type InferRequest = Omit<InferBody, "tenant_id" | "user_id"> & Partial<Pick<InferBody, "tenant_id" | "user_id">>;

export interface InferClientOptions {
  /** `http(s)://host[:port]` of a gateway, or `nats://`, `tls://` or `natss://` of the broker, perhaps with `user:password@`. */
  readonly url: string;
  /** Over HTTP: sent as `Authorization: Bearer`. */
  readonly apiKey?: string;
  /** Over NATS: the seed of an nkey user, instead of user and password. */
  readonly nkeySeed?: string;
  /** Of requests that name none. Over NATS also the one whose subjects this client keeps to. */
  readonly tenantId?: string;
  /** Of requests that name none. */
  readonly userId?: string;
  /** Longest time of a call with all its tries, in milliseconds. Default: 60 s; for a request with `deadline_ms`, that and 15 s. */
  readonly timeoutMs?: number;
  /** Tries of a call, the first included. Default: 6. */
  readonly maxTries?: number;
  /** Over NATS: longest wait for the acknowledgement of a publish, in milliseconds. Default: 5 s. */
  readonly ackTimeoutMs?: number;
  /** Over NATS: of all subjects. Default: `infer`. */
  readonly prefix?: string;
}
export interface CallOptions {
  /** Ends the call, not the request: what was accepted goes on. */
  readonly signal?: AbortSignal;
  /** As the client's. */
  readonly timeoutMs?: number;
  readonly maxTries?: number;
  /** W3C trace context to continue, with its word on whether the trace is taken. Default: the service begins one. */
  readonly traceparent?: string;
}
/** An accepted request. */
export interface Accepted {
  readonly request_id: string;
  /** Absent: the API key says it. */
  readonly tenant_id?: string;
}
/** A request by its id; with the tenant, where neither the client's options nor the key say it. */
export type RequestRef = string | { readonly request_id: string; readonly tenant_id?: string };
export interface CompletionHandlers {
  /** An outcome that cannot be learnt: of whose `requestId`, and why. */
  readonly onError?: (error: InferError) => unknown;
}

/** All methods throw `InferError` and nothing else, `invalid_request` before anything is sent. */
export interface InferClient {
  /** Asks and waits. Resolves with the outcome, whatever it is: `failed` and `rejected` are values. A rate limit is an error. */
  infer(request: InferRequest, options?: CallOptions): Promise<InferReply>;
  /**
   * Asks, and gives pieces of the answer as they are made, where they are certain to be kept, then the outcome. Pieces that
   * turn out not to be its beginning are an error: that of the outcome, or `stream_broken`.
   */
  stream(request: InferRequest, options?: CallOptions): AsyncGenerator<StreamPart, void, undefined>;
  /** Asks without waiting. Resolves once the request is accepted: it will have an outcome. */
  submit(request: InferRequest, options?: CallOptions): Promise<Accepted>;
  /** The outcome; `null` while there is none. Over HTTP, `not_found` for an id that nobody used. */
  outcome(request: RequestRef, options?: CallOptions): Promise<InferReply | null>;
  /** Waits for the outcome of an accepted request, through outages too, until `timeoutMs`. */
  wait(request: RequestRef, options?: CallOptions): Promise<InferReply>;
  /**
   * From now on calls `handler` once with the outcome of each request that this client submits. What it throws is not
   * caught. Gives a function that ends it.
   */
  onCompletion(handler: (outcome: InferReply) => unknown, handlers?: CompletionHandlers): () => void;
  /** Says how good an answer was. Safe to repeat: the latest of a source counts. */
  feedback(request: RequestRef, body: FeedbackBody, options?: CallOptions): Promise<void>;
  /** Ends all calls with `closed`. Requests that were accepted go on. */
  close(): Promise<void>;
}

const DEFAULT_TIMEOUT_MS = 60_000;
/** A request past its deadline is closed by the service's sweeper, some seconds later. */
const AFTER_DEADLINE_MS = 15_000;
const DEFAULT_TRIES = 6;
/** The service forgets what has no outcome by then. */
const LONGEST_FOLLOWED_MS = 3_600_000;

const ms = z.number().positive().max(2 ** 31 - 1);
const common = { tenantId: TenantId.optional(), userId: z.string().optional(), timeoutMs: ms.optional(), maxTries: z.int().positive().default(DEFAULT_TRIES) };
const withoutCredentials = (url: string): boolean => URL.canParse(url) && new URL(url).username === "";
const isServer = (url: string): boolean => URL.canParse(url.trim()) && new URL(url.trim()).hostname !== "";
const HttpOptions = z.strictObject({
  ...common,
  url: z.string().refine(withoutCredentials, "is no URL, or has credentials in it: over HTTP they are `apiKey`"),
  apiKey: z.string().regex(/^[\x21-\x7E]+$/, "is no key").optional(),
});
const NatsOptions = z.strictObject({
  ...common,
  url: z.string().regex(/^(nats|natss|tls):/, "must be http:, https:, nats:, natss: or tls:").refine((urls) => urls.split(",").every(isServer), "is no URL of a server, nor several with commas between them"),
  nkeySeed: z.string().optional(), ackTimeoutMs: ms.default(5_000), prefix: z.string().regex(/^[A-Za-z0-9_-]+$/).default("infer"),
});

/** Over NATS it connects, and throws `connection_failed` or `unauthenticated`; over HTTP nothing is sent yet. */
export async function connectInferClient(given: InferClientOptions): Promise<InferClient> {
  if (/^https?:/.test(given.url)) {
    const { url, apiKey, ...options } = parsed(HttpOptions, given, null);
    return clientOver(openHttpTransport({ url, apiKey }), options);
  }
  const { url, nkeySeed, ackTimeoutMs, prefix, ...options } = parsed(NatsOptions, given, null);
  const { openNatsTransport } = await import("./natsTransport.ts"); // whoever speaks HTTP loads no NATS client
  return clientOver(await openNatsTransport({ url, tenantId: options.tenantId, nkeySeed, ackTimeoutMs, prefix }), options);
}

interface Settings {
  readonly tenantId?: string | undefined;
  readonly userId?: string | undefined;
  readonly timeoutMs?: number | undefined;
  readonly maxTries: number;
}
type Handler = CompletionHandlers & { readonly onOutcome: (outcome: InferReply) => unknown };

function clientOver(transport: Transport, settings: Settings): InferClient {
  const scopes = makeCallScopes();
  const handlers = new Set<Handler>();

  const askedBy = (request: InferRequest): Asked => {
    const { request_id = uuidv7(), tenant_id = settings.tenantId, user_id = settings.userId, ...rest } = request;
    const body = parsed(InferBody, { ...rest, request_id, ...(tenant_id === undefined ? {} : { tenant_id }), ...(user_id === undefined ? {} : { user_id }) }, request_id);
    return { body: { ...body, request_id }, isIdChosen: request.request_id !== undefined };
  };
  const refOf = (request: RequestRef): Ref => {
    const { request_id, tenant_id = settings.tenantId } = typeof request === "string" ? { request_id: request } : request;
    return parsed(KnownRef, { request_id, tenant_id }, request_id);
  };
  const callIn = ({ signal }: CallScope, { traceparent }: CallOptions): Call => ({ signal, traceparent: traceparentFrom(traceparent) ?? undefined });
  const open = (requestId: string, { signal, timeoutMs }: CallOptions, defaultMs = DEFAULT_TIMEOUT_MS): CallScope =>
    scopes.open({ signal, timeoutMs: timeoutMs ?? settings.timeoutMs ?? defaultMs, requestId });

  /** One call in the time that it has. What is thrown is an `InferError`, or a bug. */
  const within = async <T>(scope: CallScope, work: () => Promise<T>): Promise<T> => {
    try {
      scope.signal.throwIfAborted();
      return await work();
    } finally {
      scope.end();
    }
  };
  const withTries = async <T>(scope: CallScope, { maxTries = settings.maxTries }: CallOptions, deadlineMs: number | undefined, run: () => Promise<T>): Promise<T> => {
    for (let made = 1; ; made++) {
      try {
        return await run();
      } catch (error) {
        scope.signal.throwIfAborted();
        if (!isInferError(error)) throw error;
        const leftToDeadlineMs = deadlineMs === undefined ? null : deadlineMs - scope.elapsedMs();
        const next = afterFailure(error, { made, most: maxTries, leftMs: scope.leftMs(), leftToDeadlineMs, random: Math.random() });
        if (next.kind === "give_up") throw error;
        await pause(next.afterMs, scope.signal);
        scope.signal.throwIfAborted();
      }
    }
  };
  /** For what is asked: as often as it may be. */
  const askWith = async <T>(asked: Asked, options: CallOptions, ask: (call: Call) => Promise<T>): Promise<T> => {
    const { request_id, deadline_ms } = asked.body;
    const scope = open(request_id, options, deadline_ms === undefined ? undefined : deadline_ms + AFTER_DEADLINE_MS);
    const call = callIn(scope, options);
    return within(scope, () => withTries(scope, options, deadline_ms, () => ask(call)));
  };
  /** For what is only read, or may be said twice. */
  const tellWith = async <T>(ref: Ref, options: CallOptions, tell: (call: Call) => Promise<T>): Promise<T> => {
    const scope = open(ref.request_id, options);
    const call = callIn(scope, options);
    return within(scope, () => withTries(scope, options, undefined, () => tell(call)));
  };
  /** An outage is waited out, however many tries it takes. */
  const awaitOutcome = async (ref: Ref, options: CallOptions): Promise<InferReply> => {
    const scope = open(ref.request_id, options);
    const call = callIn(scope, options);
    return within(scope, async () => {
      for (let looks = 1; ; looks++) {
        try {
          return await transport.wait(ref, call);
        } catch (error) {
          scope.signal.throwIfAborted();
          if (!isRetryable(error)) throw error;
          await pause(nextLookMs(looks, error.retryAfterMs, Math.random()), scope.signal);
          scope.signal.throwIfAborted();
        }
      }
    });
  };
  const follow = async (ref: Ref, known: InferReply | null): Promise<void> => {
    try {
      const outcome = known ?? (await awaitOutcome(ref, { timeoutMs: LONGEST_FOLLOWED_MS }));
      for (const { onOutcome } of handlers) queueMicrotask(() => void onOutcome(outcome));
    } catch (error) {
      if (isInferError(error, "closed")) return;
      if (!isInferError(error)) throw error;
      for (const { onError } of handlers) if (onError !== undefined) queueMicrotask(() => void onError(error));
    }
  };

  return {
    async infer(request, options = {}) {
      const asked = askedBy(request);
      return askWith(asked, options, async (call) => unlessLimited(await transport.infer(asked, call)));
    },
    async *stream(request, options = {}) {
      const asked = askedBy(request);
      const { request_id: requestId } = asked.body;
      const leaving = new AbortController(); // the reader may stop before the end
      const stop = () => { leaving.abort(options.signal?.reason); };
      options.signal?.addEventListener("abort", stop, { once: true });
      if (options.signal?.aborted === true) stop();
      const queue = makePieceQueue(requestId);
      const asking = askWith(asked, { ...options, signal: leaving.signal }, async (call) => unlessLimited(await transport.infer(asked, call, queue.push)));
      asking.then(queue.end, queue.fail);
      try {
        yield* queue.parts();
      } finally {
        options.signal?.removeEventListener("abort", stop);
        stop();
      }
    },
    async submit(request, options = {}) {
      const asked = askedBy(request);
      const { request_id, tenant_id } = asked.body;
      const known = await askWith(asked, options, (call) => transport.submit(asked, call));
      const accepted = { request_id, ...(tenant_id === undefined ? {} : { tenant_id }) };
      if (handlers.size > 0) void follow(accepted, known);
      return accepted;
    },
    async outcome(request, options = {}) {
      const ref = refOf(request);
      return tellWith(ref, options, (call) => transport.outcome(ref, call));
    },
    wait: async (request, options = {}) => awaitOutcome(refOf(request), options),
    onCompletion(onOutcome, { onError } = {}) {
      const handler: Handler = { onOutcome, ...(onError === undefined ? {} : { onError }) };
      handlers.add(handler);
      return () => void handlers.delete(handler);
    },
    async feedback(request, body, options = {}) {
      const ref = refOf(request);
      const said = parsed(FeedbackBody, body, ref.request_id);
      await tellWith(ref, options, (call) => transport.feedback(ref, said, call));
    },
    async close() {
      scopes.close();
      await transport.close();
    },
  };
}

/** By HTTP a limit refuses a request, and the same one may come again. Over NATS it is the request's outcome: another one may come. */
function unlessLimited(reply: InferReply): InferReply {
  const { outcome, error, request_id: requestId } = reply;
  if (outcome !== "rejected" || error?.code !== "rate_limited") return reply;
  throw new InferError(error.code, error.message, { requestId, retryable: false, retryAfterMs: error.retry_after_ms ?? null });
}

const KnownRef = z.object({ request_id: RequestId, tenant_id: TenantId.optional() });

/** Throws `invalid_request` or `invalid_unicode`. */
function parsed<T>(schema: z.ZodType<T>, value: unknown, requestId: string | null): T {
  const result = schema.safeParse(value);
  if (!result.success) throw fromAppError(badRequest(result.error), requestId);
  return result.data;
}

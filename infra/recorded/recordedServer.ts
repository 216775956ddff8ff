/**
 * An OpenAI-compatible server that answers known queries with what real models answered, at their pace and price: the
 * whole system can be tried with real behaviour and no key. No reply says what is right or how good an answer was.
 */
import type { IncomingHttpHeaders } from "node:http";

import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from "fastify";
import { v7 as uuidv7 } from "uuid";
import { z } from "zod";

import { LOOPBACK } from "#infra/embedded/freePort.ts";
import { describeIssues } from "#shared/contracts/describeIssues.ts";
import { isForeignHost } from "#shared/runtime/loopback.ts";

import { type Bill, type BillReply, costByTokens, type EndedCall, makeBill } from "./bill.ts";
import { type ChatRequest, readChatRequest } from "./chatRequest.ts";
import { emptied, toCompletion, tokensOf } from "./completion.ts";
import { costOfVectors, EMBEDDING_MODEL, readEmbeddingsRequest, textsOf, tokensOf as tokensOfTexts, vectorsFor } from "./embeddings.ts";
import { Faults, type Hit, hitBy, unknownModelIn } from "./faults.ts";
import { bodyFrames, type Reply, streamFrames } from "./frames.ts";
import type { SaidAnswer } from "./pieces.ts";
import { type Played, playFrames } from "./playFrames.ts";
import type { RecordedAnswer, RecordedAnswers, RecordedCall } from "./recordedAnswers.ts";
import { type Refusal, refusal } from "./refusal.ts";
import { piecesBy, type Timing } from "./timing.ts";

export interface RecordedServerOptions {
  readonly answers: RecordedAnswers;
  /** Name only models of `answers`. */
  readonly faults: Faults;
  /** Of the faults. */
  readonly seed: number;
  /** Latencies times this; 0 is none. */
  readonly timeScale: number;
  /** In [0, 1]. */
  readonly firstTokenShare: number;
  /** Of an answer whose latency was not recorded, before the scale. */
  readonly defaultLatencyMs: number;
  /** 0: any that is free. */
  readonly port: number;
  /** Told of what should not have happened. */
  readonly onBug: (error: unknown) => void;
}
export interface RecordedServer {
  /** Without `/v1`. */
  readonly url: string;
  readonly bill: () => BillReply;
  /** Ends running calls as if their clients had left, and returns the whole bill. */
  readonly close: () => Promise<BillReply>;
}

const BODY_LIMIT_BYTES = 4 * 1024 ** 2;
const LONGEST_LATENCY_MS = 600_000;
const LONGEST_CALLER_ID = 200;

/** Listens on loopback only. Throws what `listen` of node throws. */
export async function startRecordedServer(options: RecordedServerOptions): Promise<RecordedServer> {
  const app = Fastify({
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: 30_000,
    // Without the interval the time-outs are looked at every 30 s only.
    http: { headersTimeout: 10_000, connectionsCheckingInterval: 1_000, maxHeaderSize: 16_384 },
    keepAliveTimeout: 60_000,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
  });
  const bill = makeBill(Date.now);
  const running = new Set<Promise<void>>();
  addErrorReplies(app, options.onBug);
  addOwnRoutes(app, options.answers, bill);
  const faults = addFaultRoutes(app, options);
  const deps = { ...options, bill, running, faults, countCall: makeCallCounter() };
  addChatRoute(app, deps);
  addEmbeddingsRoute(app, deps);
  const url = await app.listen({ host: LOOPBACK, port: options.port });
  return {
    url,
    bill: bill.sums,
    close: async () => {
      await app.close();
      await Promise.allSettled(running);
      return bill.sums();
    },
  };
}

const send = (reply: FastifyReply, { status, body }: Refusal): FastifyReply => reply.code(status).send(body);

function addErrorReplies(app: FastifyInstance, onBug: (error: unknown) => void): void {
  app.addHook("onRequest", (request, reply, done) => {
    if (isForeignHost(request.hostname, app.server.address())) void send(reply, refusal(403, "forbidden_host", "this server answers only as localhost or a loopback address"));
    else done();
  });
  app.setNotFoundHandler((request, reply) => send(reply, refusal(404, "unknown_url", `unknown request URL: ${request.method} ${request.url.slice(0, 200)}`)));
  app.setErrorHandler((error: FastifyError, _request, reply) => {
    const status = error.statusCode ?? 500;
    if (status < 500) return send(reply, refusal(status, null, error.message));
    onBug(error);
    return send(reply, refusal(500, null, "this should not have happened; the server's output says more"));
  });
}

function addOwnRoutes(app: FastifyInstance, answers: RecordedAnswers, bill: Bill): void {
  const created = Math.floor(Date.now() / 1_000);
  const data = [...answers.models.map(({ model }) => model), EMBEDDING_MODEL].map((id) => ({ id, object: "model", created, owned_by: "recorded" }));
  app.get("/healthz", () => ({ status: "alive" }));
  app.get("/v1/models", () => ({ object: "list", data }));
  app.get("/bill", (request, reply) => {
    const query = BillQuery.safeParse(request.query);
    if (!query.success) return send(reply, refusal(400, null, describeIssues(query.error)));
    return reply.send(query.data.calls === "true" ? { ...bill.sums(), ...bill.list() } : bill.sums());
  });
}
const BillQuery = z.strictObject({ calls: z.enum(["true", "false"]).optional() });

/** Returns how to read those that are switched on now. */
function addFaultRoutes(app: FastifyInstance, { answers, faults: first }: RecordedServerOptions): () => Faults {
  let faults = first;
  app.get("/faults", () => faults);
  app.put("/faults", (request, reply) => {
    const given = Faults.safeParse(request.body);
    if (!given.success) return send(reply, refusal(400, null, describeIssues(given.error)));
    const unknown = unknownModelIn(given.data, (model) => model === EMBEDDING_MODEL || answers.hasModel(model));
    if (unknown !== undefined) return send(reply, refusal(400, "model_not_found", unknownModel(unknown, answers), "models"));
    faults = given.data;
    return reply.send(faults);
  });
  return () => faults;
}

const unknownModel = (model: string, { models }: RecordedAnswers): string => `the model ${model.slice(0, 200)} does not exist; there are ${models.map((one) => one.model).join(", ")}`;

interface ChatDeps extends Omit<RecordedServerOptions, "faults"> {
  readonly bill: Bill;
  /** Those that are being answered. */
  readonly running: Set<Promise<void>>;
  readonly faults: () => Faults;
  /** The how-manieth call of this model and row it is, from 1. */
  readonly countCall: (model: string, rowId: string) => number;
}

function addChatRoute(app: FastifyInstance, deps: ChatDeps): void {
  app.post("/v1/chat/completions", async (request, reply) => {
    const startedAtMs = performance.now();
    const chat = readChatRequest(request.body);
    if ("status" in chat) return send(reply, chat);
    const found = findAnswer(deps.answers, chat);
    if ("status" in found) return send(reply, found);
    const { answer, said } = found;
    const hit = hitBy(deps.faults(), deps.seed, { model: chat.model, rowId: answer.rowId, nth: deps.countCall(chat.model, answer.rowId) });
    const id = uuidv7();
    const end = deps.bill.start({ row_id: answer.rowId, model: chat.model, ...callerIds(request.headers), fault: hit.fault?.kind ?? (hit.slowBy === 1 ? null : "slow") });
    if (hit.fault?.kind === "status") {
      end({ state: "failed", ...usedBy(answer, null) });
      if (hit.fault.retry_after_s !== undefined) void reply.header("retry-after", hit.fault.retry_after_s);
      return send(reply, refusal(hit.fault.status, "injected_fault", `a fault that was asked for: ${hit.fault.status}`));
    }
    const completion = toCompletion(answer, said, chat, { id: `chatcmpl-${id}`, created: Math.floor(Date.now() / 1_000) });
    const sent = hit.fault?.kind === "empty" ? emptied(completion) : completion;
    const timing = timingOf(answer, hit, completion.wholePieces, deps);
    void reply.hijack().raw.setHeader("x-request-id", `req_${id}`);
    const playing = play(reply, { completion: sent, timing, fault: hit.fault }, chat, () => performance.now() - startedAtMs)
      .then(({ state, produced }) => { end({ state, ...usedBy(answer, { tokens: tokensOf(sent, produced), ofTokens: completion.wholeTokens, promptTokens: sent.promptTokens }) }); });
    deps.running.add(playing);
    await playing.catch(deps.onBug).finally(() => deps.running.delete(playing));
    return reply;
  });
}

/** At once, or with a fault: an error, half of the reply and then nothing or no JSON, or no vectors. Other faults do nothing here. */
function addEmbeddingsRoute(app: FastifyInstance, { bill, faults, seed, countCall }: ChatDeps): void {
  app.post("/v1/embeddings", (request, reply) => {
    const asked = readEmbeddingsRequest(request.body);
    if ("status" in asked) return send(reply, asked);
    const texts = textsOf(asked), tokens = tokensOfTexts(texts);
    const rowId = "embeddings";
    const { fault } = hitBy(faults(), seed, { model: asked.model, rowId, nth: countCall(asked.model, rowId) });
    const end = bill.start({ row_id: rowId, model: asked.model, ...callerIds(request.headers), fault: fault?.kind ?? null });
    if (fault?.kind === "status") {
      end({ state: "failed", ...usedBy({ costUsd: 0 }, null) });
      return send(reply, refusal(fault.status, "injected_fault", `a fault that was asked for: ${fault.status}`));
    }
    const body = JSON.stringify(vectorsFor(asked, fault?.kind === "empty" ? [] : texts));
    const half = body.slice(0, body.length / 2);
    end({ state: fault === null ? "completed" : "failed", prompt_tokens: tokens, completion_tokens: 0, cost_nano_usd: costOfVectors(tokens) });
    void reply.type("application/json");
    if (fault?.kind === "garble") return reply.send(half);
    if (fault?.kind !== "cut") return reply.send(body);
    const { raw } = reply.hijack();
    raw.setHeader("content-length", String(Buffer.byteLength(body)));
    raw.write(half, () => { raw.destroy(); });
    return reply;
  });
}

/** From 1 for each model and row. */
function makeCallCounter(): (model: string, rowId: string) => number {
  const calls = new Map<string, number>();
  return (model, rowId) => {
    const key = JSON.stringify([model, rowId]);
    const nth = (calls.get(key) ?? 0) + 1;
    calls.set(key, nth);
    return nth;
  };
}

/** The answer, and what of it is said to this request: calls only to one with tools. */
function findAnswer(answers: RecordedAnswers, { model, query, toolChoice }: ChatRequest): { readonly answer: RecordedAnswer; readonly said: SaidAnswer } | Refusal {
  if (!answers.hasModel(model)) return refusal(404, "model_not_found", unknownModel(model, answers), "model");
  if (!answers.hasQuery(query)) return refusal(400, "unknown_query", "no row has this query: send the text of a row's `query`, unchanged, as the last message from the user or a tool", "messages");
  const answer = answers.find(query, model);
  if (answer === undefined) return refusal(400, "no_recorded_text", `${model} was not asked this query: ask a model of its row`, "model");
  const calls = toolChoice === "none" ? [] : answer.calls;
  if (calls.length < answer.calls.length && answer.text === null) return refusal(400, "only_calls_recorded", `${model} answered this query with calls alone: send tools, and not the tool_choice none`, "tools");
  if (calls.length === 0 && answer.text === null) return refusal(400, "no_recorded_text", `the row of this query has no \`answer\` of ${model}: start the server with --outputs, or with rows that have one`, "model");
  const missing = missingCall(calls, toolChoice);
  if (missing !== null) return refusal(400, "no_recorded_call", `${model} did not answer this query with ${missing}: only what was recorded can be had`, "tool_choice");
  return { answer, said: { text: answer.text ?? "", calls } };
}

/** What must be called and was not. */
function missingCall(calls: readonly RecordedCall[], toolChoice: ChatRequest["toolChoice"]): string | null {
  if (toolChoice === "none" || toolChoice === "auto") return null;
  if (toolChoice === "required") return calls.length > 0 ? null : "a call";
  return calls.length > 0 && calls.every(({ name }) => name === toolChoice.only) ? null : `calls of ${toolChoice.only} alone`;
}

function callerIds(headers: IncomingHttpHeaders): { readonly request_id: string | null; readonly traceparent: string | null } {
  const first = (name: string): string | null => [headers[name]].flat()[0]?.slice(0, LONGEST_CALLER_ID) ?? null;
  return { request_id: first("x-request-id"), traceparent: first("traceparent") };
}

function timingOf({ latencyMs }: RecordedAnswer, { slowBy }: Hit, pieces: number, { timeScale, firstTokenShare, defaultLatencyMs }: ChatDeps): Timing {
  return { latencyMs: Math.min(LONGEST_LATENCY_MS, (latencyMs ?? defaultLatencyMs) * timeScale * slowBy), firstTokenShare, pieces };
}

/** `null`: the model was not asked. */
function usedBy({ costUsd }: Pick<RecordedAnswer, "costUsd">, used: { readonly promptTokens: number; readonly tokens: number; readonly ofTokens: number } | null): Omit<EndedCall, "state"> {
  if (used === null) return { prompt_tokens: 0, completion_tokens: 0, cost_nano_usd: costByTokens(0, 0, 0, 0) };
  const { promptTokens, tokens, ofTokens } = used;
  return { prompt_tokens: promptTokens, completion_tokens: tokens, cost_nano_usd: costByTokens(costUsd, promptTokens, tokens, ofTokens) };
}

async function play({ raw }: FastifyReply, reply: Reply, { isStream, includesUsage }: ChatRequest, elapsedMs: () => number): Promise<Played> {
  if (isStream) {
    raw.setHeaders(new Map([["content-type", "text/event-stream; charset=utf-8"], ["cache-control", "no-cache"]]));
    return playFrames(raw, streamFrames(reply, includesUsage), elapsedMs);
  }
  const { contentLength, frames } = bodyFrames(reply);
  raw.setHeaders(new Map([["content-type", "application/json"], ["content-length", String(contentLength)]]));
  const played = await playFrames(raw, frames, elapsedMs);
  if (played.state !== "aborted" || played.produced > 0) return played;
  return { ...played, produced: Math.min(reply.completion.pieces.length, piecesBy(reply.timing, elapsedMs())) };
}

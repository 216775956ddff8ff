/** Any body, at both doors: they take and refuse the same, with the same error. And what they read never fails otherwise than by saying so. */
import fc from "fast-check";
import type { FastifyInstance } from "fastify";
import { lookup } from "node:dns";
import { BlockList } from "node:net";
import { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { buildGateway } from "#producers/gateway/app.ts";
import { jsonLines } from "#producers/gateway/batches/jsonLines.ts";
import { makeCallers } from "#shared/http/callers.ts";
import { cacheControlOf } from "#shared/cache/cacheControl.ts";
import { canonicalRequest } from "#shared/cache/canonicalRequest.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { Completion, Job, Result } from "#shared/contracts/events.ts";
import { FeedbackMessage } from "#shared/contracts/feedback.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import requestFixture from "#shared/contracts/fixtures/request.v1.json" with { type: "json" };
import resultFixture from "#shared/contracts/fixtures/result.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { RequestMessage } from "#shared/contracts/request.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { parseMessage } from "#shared/messaging/parseMessage.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { fingerprintOf, originOf, parseRequestMessage, readRequest } from "#shared/messaging/readRequest.ts";
import { idOf } from "#shared/messaging/topology.ts";

import { goodBody } from "./httpBodies.ts";
import { anyJson, fuzzing, garbled, mutated } from "./mutated.ts";

const TIERS = TierFile.parse(tierFixture);
const LIMITS = { defaultDeadlineMs: 30_000, maxDeadlineMs: 60_000, tierFile: TIERS };
let app: FastifyInstance;
beforeAll(async () => {
  const infer = async () => Completion.parse(completionFixture);
  ({ service: app } = await buildGateway({
    desk: () => ({ inference: { infer, accept: async () => null }, find: async () => null, listen: () => () => undefined, watches: { watch: () => Promise.resolve() }, submitFeedback: async () => undefined }),
    tracer: { span: (_name, _options, run) => run("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", () => undefined) },
    registry: new Registry(), problems: () => [], waiting: () => 0, callers: makeCallers({ directory: { holderOf: async () => null, standingOf: async () => null }, isKeyless: true, log: pino({ level: "silent" }) }), isKeyless: true, consoleUrl: "http://127.0.0.1:9", operations: { broker: () => { throw new Error("no broker here"); }, prefix: "infer" }, admin: { pool: new Pool(), pepper: null }, webhooks: { pool: new Pool(), key: null, allowance: new BlockList(), lookup }, door: { tierFile: TIERS, budgetUsd: 1 }, version: "0", log: pino({ level: "silent" }),
  }));
});
afterAll(() => app.close());

/** The error's code; `null`: it is taken. */
async function overHttp(body: Buffer, url = "/infer"): Promise<string | null> {
  const response = await app.inject({ method: "POST", url, headers: { "content-type": "application/json" }, payload: body });
  if (response.statusCode === 200) return null;
  expect(response.statusCode).toBeGreaterThanOrEqual(400);
  expect(response.statusCode).toBeLessThan(500);
  return (JSON.parse(response.body) as { error: { code: string } }).error.code;
}
/** The same of a reader: what else it throws is a bug, and fails the test. */
function codeOf(read: () => unknown): string | null {
  try {
    read();
    return null;
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
}
const overNats = (body: Buffer) => codeOf(() => parseRequestMessage(body));

/** Fields that one door alone has: written by gateways, and the subject says the tenant. */
const ofOneDoor = (value: unknown): boolean => typeof value === "object" && value !== null && ["type", "origin", "key_id", "waited_ms"].some((field) => field in value);
const BODY = { ...goodBody("r-1"), tenant_id: "t1" };
const EVERY_FIELD = {
  ...BODY, stream: false, priority: "interactive", latency_slo_ms: 100, deadline_ms: 1_000, min_quality: 0.5, min_tier: "small", max_tier: "large", policy: "cascade", task: "mail", metadata: { a: "b", c: 1, d: true },
  cache_control: "no-store", webhook: false, explain: true,
};
const { input: _input, ...WITHOUT_INPUT } = BODY;
const CHAT = { ...WITHOUT_INPUT, chat: { messages: [{ role: "system", content: "x" }, { role: "user", content: [{ type: "text", text: "hi" }] }], tools: [{ type: "function", function: { name: "f", parameters: {} } }], temperature: 0.5, stop: ["x"], max_output_tokens: 5 } };
const EMBED = { ...WITHOUT_INPUT, embed: { texts: ["a", [1, 2]], dimensions: 8 } };
const request = mutated(BODY, EVERY_FIELD, CHAT, EMBED);

describe("both doors", () => {
  it("say the same of any request that is nearly right", async () => {
    await fc.assert(fc.asyncProperty(request, async (value) => {
      fc.pre(!ofOneDoor(value) && typeof value === "object" && value !== null && "tenant_id" in value);
      const bytes = Buffer.from(JSON.stringify(value));
      expect(await overHttp(bytes)).toBe(overNats(bytes));
    }), fuzzing(2_000));
  });

  it("say the same of bytes that are nearly a request", async () => {
    await fc.assert(fc.asyncProperty(garbled(fc.constantFrom(JSON.stringify(BODY), JSON.stringify(CHAT))), async (bytes) => {
      const http = await overHttp(bytes), nats = overNats(bytes);
      if (http !== nats) expect([http, nats, bytes.includes('"tenant_id":')]).toEqual(["invalid_request", null, false]);
    }), fuzzing(1_000));
  });
});

describe("OpenAI's door", () => {
  it.each([
    ["/v1/chat/completions", { model: "auto", messages: [{ role: "user", content: "hi" }], temperature: 0, max_tokens: 5, tools: [], metadata: { a: "b" }, optimizer: { budget_usd: 1, request_id: "r-1" } }],
    ["/v1/responses", { model: "auto", input: [{ role: "user", content: [{ type: "input_text", text: "hi" }] }], instructions: "x", max_output_tokens: 5, text: { format: { type: "text" } } }],
    ["/v1/embeddings", { model: "none", input: ["a"], dimensions: 8 }],
  ])("%s never fails otherwise than by a 4xx", async (url, body) => {
    await fc.assert(fc.asyncProperty(mutated(body), async (value) => { await overHttp(Buffer.from(JSON.stringify(value)), url); }), fuzzing(700));
  });
});

describe("a reader of messages throws nothing but AppError", () => {
  const bytesOf = (...from: readonly [unknown, ...unknown[]]) => fc.oneof(garbled(mutated(...from).map((value) => JSON.stringify(value))), anyJson.map((value) => Buffer.from(JSON.stringify(value))), fc.uint8Array().map((bytes) => Buffer.from(bytes)));

  it("of requests", () => {
    fc.assert(fc.property(bytesOf(requestFixture, BODY, EVERY_FIELD, CHAT, EMBED), (bytes) => {
      codeOf(() => readRequest({ tenant_id: "t1", request_id: "r-1" }, bytes, 1_700_000_000_000, LIMITS));
      expect(originOf(bytes)).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    }), fuzzing(1_000));
  });

  it("of jobs, results, completions and feedback", () => {
    fc.assert(fc.property(bytesOf(jobFixture, resultFixture, completionFixture), (data) => {
      for (const read of [() => readEvent(Job, "infer", { subject: "infer.job.large.t1.r-1.1", data }), () => readEvent(Result, "infer", { subject: "infer.result.t1.r-1.1", data }), () => readEvent(Completion, "infer", { subject: "infer.completion.t1.r-1", data }), () => parseMessage(FeedbackMessage, "feedback.v1", data)]) codeOf(read);
    }), fuzzing(1_500));
  });

  it("of a batch's lines", async () => {
    await fc.assert(fc.asyncProperty(fc.array(garbled(fc.constantFrom('{"a":1}\n', "\n", '{"a":1}')), { maxLength: 6 }), async (chunks) => {
      const lines = jsonLines((async function* () { yield* chunks; })(), { mostLines: 5, mostBytes: 60 });
      const read = (async () => { for await (const line of lines) expect(line.line).toBeLessThanOrEqual(5); })();
      await read.catch((error: unknown) => { if (!(error instanceof AppError)) throw error; });
    }), fuzzing(500));
  });

  it("of subjects and headers", () => {
    fc.assert(fc.property(fc.array(fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("infer", "request", "t1", "*", ">", "", "constructor", "__proto__")), { maxLength: 6 }).map((parts) => parts.join(".")), (text) => {
      const id = idOf("infer", text);
      if (id !== null) expect(text.split(".").filter((token) => token === id.tenant_id || token === id.request_id).length).toBeGreaterThan(0);
      codeOf(() => cacheControlOf(text, text));
    }), fuzzing(500));
  });
});

it("B-22: negative zero is the same content as zero, and has the same kept answer", () => {
  const of = (temperature: number) => RequestMessage.parse({ ...CHAT, chat: { ...CHAT.chat, temperature } });
  const keyOf = (message: RequestMessage) => canonicalRequest({ input: message.chat ?? "", policy: "cascade", min_quality: null, min_tier: null, max_tier: null, task: null }, "");
  expect([fingerprintOf(of(-0)), keyOf(of(-0))]).toEqual([fingerprintOf(of(0)), keyOf(of(0))]);
});

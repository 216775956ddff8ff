import { lookup } from "node:dns";
import { BlockList } from "node:net";

import type { FastifyInstance, InjectOptions } from "fastify";
import { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import type { KeyRole, Principal } from "#shared/contracts/apiKey.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { DEFAULT_SETTINGS } from "#shared/contracts/tenant.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import type { Standing } from "#shared/tenancy/directory.ts";

import { buildGateway } from "./app.ts";
import { makeCallers } from "#shared/http/callers.ts";

const log = pino({ level: "silent" });
const holder = (tenant_id: string | null, ...roles: KeyRole[]): Principal => ({ tenant_id, key_id: "k", roles: new Set(roles) });
const HOLDERS: Readonly<Record<string, Principal>> = {
  "infer-t1": holder("t1", "infer", "read"), "read-t1": holder("t1", "read"), "admin-t1": holder("t1", "admin", "read"), "infer-any": holder(null, "infer", "read"), "admin-any": holder(null, "admin", "read"),
};
const BODY = { user_id: "u", input: "hi", budget: 1 };
const CHAT = { model: "auto", messages: [{ role: "user", content: "hi" }] };
let app: FastifyInstance;
let asked: { tenant_id: string }[] = [];
let isDown = false;
let standings: Record<string, Standing> = {};
beforeAll(async () => {
  const infer = (id: { tenant_id: string }) => { asked.push(id); return Promise.resolve(Completion.parse(fixture)); };
  const directory = {
    holderOf: (key: string) => (isDown ? Promise.reject(new AppError("database_unavailable", "down")) : Promise.resolve(HOLDERS[key] ?? null)),
    standingOf: (tenantId: string) => Promise.resolve(standings[tenantId] ?? null),
  };
  ({ service: app } = await buildGateway({
    desk: () => ({ inference: { infer, accept: async () => null }, find: async (_id, tenant_id) => (tenant_id === "t1" ? { kind: "done", completion: Completion.parse(fixture) } : null), listen: () => () => undefined, submitFeedback: async () => undefined, watches: { watch: async () => undefined } }),
    callers: makeCallers({ directory, isKeyless: false, log }), isKeyless: false, consoleUrl: "http://127.0.0.1:9", operations: { broker: () => { throw new Error("no broker here"); }, prefix: "infer" },
    tracer: { span: (_name, _options, run) => run("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", () => undefined) },
    registry: new Registry(), problems: () => [], waiting: () => 0, admin: { pool: new Pool(), pepper: null }, webhooks: { pool: new Pool(), key: null, allowance: new BlockList(), lookup }, door: { tierFile: TierFile.parse(tierFixture), budgetUsd: 1 }, version: "0", log,
  }));
});
beforeEach(() => {
  asked = [];
  isDown = false;
  standings = { t1: { status: "active", settings: DEFAULT_SETTINGS }, t2: { status: "active", settings: DEFAULT_SETTINGS } };
});
afterAll(() => app.close());
const call = async (key: string | undefined, options: InjectOptions) => {
  const response = await app.inject({ ...options, headers: { ...(key === undefined ? {} : { authorization: key }), ...options.headers } });
  const isJson = /json/.test(String(response.headers["content-type"]));
  return { status: response.statusCode, code: isJson ? response.json<{ error?: { code?: string } }>().error?.code : undefined, headers: response.headers };
};
const infer = (key: string | undefined, body: object = BODY) => call(key, { method: "POST", url: "/infer", payload: body });

describe("a key", () => {
  it.each<[string, string | undefined]>([
    ["none", undefined], ["an empty one", "Bearer "], ["one of another service", "Bearer sk-x"], ["one that is too long", `Bearer ${"x".repeat(4_000)}`],
    ["two", "Bearer infer-t1, Bearer infer-t1"], ["one with a sign that is not ASCII", "Bearer infér"], ["another scheme", "Basic aW5mZXItdDE6"],
  ])("H-65, H-66: %s is told to send one, before the body is read", async (_what, key) => {
    const answer = await infer(key, { nonsense: true });
    expect([answer.status, answer.code, answer.headers["www-authenticate"], asked]).toEqual([401, "unauthenticated", "Bearer", []]);
  });

  it.each(["Bearer infer-t1", "bearer infer-t1"])("%s asks for its own tenant, named or not", async (key) => {
    expect([(await infer(key)).status, (await infer(key, { ...BODY, tenant_id: "t1" })).status, asked.map(({ tenant_id }) => tenant_id)]).toEqual([200, 200, ["t1", "t1"]]);
  });

  it("B-13: of a tenant asks for no other", async () => {
    expect(await infer("Bearer infer-t1", { ...BODY, tenant_id: "t2" })).toMatchObject({ status: 403, code: "tenant_mismatch" });
    expect(await call("Bearer infer-t1", { method: "POST", url: "/v1/chat/completions", payload: CHAT, headers: { "x-optimizer-tenant": "t2" } })).toMatchObject({ status: 403, code: "tenant_mismatch" });
    expect(await call("Bearer infer-t1", { method: "POST", url: "/v1/chat/completions", payload: { ...CHAT, tenant_id: "t1" } })).toMatchObject({ status: 400 });
    expect(asked).toEqual([]);
  });

  it("of whoever runs the service asks for the tenant that is named, and for none that was never made", async () => {
    expect(await infer("Bearer infer-any", { ...BODY, tenant_id: "t2" })).toMatchObject({ status: 200 });
    expect(await infer("Bearer infer-any", { ...BODY, tenant_id: "t3" })).toMatchObject({ status: 404, code: "not_found" });
    expect(await infer("Bearer infer-any")).toMatchObject({ status: 400, code: "invalid_request" });
    expect(asked).toEqual([{ tenant_id: "t2", request_id: expect.any(String) as string }]);
  });

  it("of a suspended tenant is refused", async () => {
    standings = { t1: { status: "suspended", settings: DEFAULT_SETTINGS } };
    expect(await infer("Bearer infer-t1")).toMatchObject({ status: 403, code: "tenant_suspended" });
  });

  it("that nobody can look up now is an outage, never a bad key", async () => {
    isDown = true;
    expect(await infer("Bearer infer-t1")).toMatchObject({ status: 503, code: "database_unavailable", headers: { "retry-after": "1" } });
  });
});

const CALLS: readonly InjectOptions[] = [
  { method: "POST", url: "/infer", payload: BODY },
  { method: "POST", url: "/v1/chat/completions", payload: CHAT },
  { method: "POST", url: "/v1/responses", payload: { model: "auto", input: "hi" } },
  { method: "POST", url: "/v1/embeddings", payload: { model: "vectors", input: "hi" } },
  { method: "POST", url: "/requests/r-1/feedback", payload: { score: 1, source: "user" } },
  { method: "GET", url: "/requests/r-1" },
  { method: "GET", url: "/requests/r-1/events" },
  { method: "GET", url: "/v1/models" },
];
describe.each(CALLS)("$method $url", (options) => {
  const isReading = options.method === "GET";
  it("needs a key, with a role that allows it", async () => {
    expect([(await call(undefined, options)).status, (await call("Bearer read-t1", options)).status, (await call("Bearer admin-t1", options)).status]).toEqual(isReading ? [401, 200, 200] : [401, 403, 403]);
  });
});

describe("feedback", () => {
  const MAY: [source: string, keys: string[]][] = [["user", ["infer-t1", "infer-any"]], ["thumbs", ["infer-t1", "infer-any"]], ["judge", ["admin-t1", "admin-any"]], ["label", ["admin-t1", "admin-any"]]];
  it.each(MAY)("of the source %s is taken from %j alone", async (source, keys) => {
    const answers = await Promise.all(Object.keys(HOLDERS).map(async (key) => [key, await call(`Bearer ${key}`, { method: "POST", url: "/requests/r-1/feedback?tenant_id=t1", payload: { score: 1, source } })] as const));
    expect(answers.map(([key, { status, code }]) => [key, status, code])).toEqual(Object.keys(HOLDERS).map((key) => (keys.includes(key) ? [key, 202, undefined] : [key, 403, "forbidden"])));
  });
});

it("shows no request of another tenant, not even that there is one", async () => {
  for (const url of ["/requests/r-1?tenant_id=t2", "/requests/r-1/events?tenant_id=t2", "/requests/r-1/feedback?tenant_id=t2"]) {
    const options: InjectOptions = url.includes("feedback") ? { method: "POST", url, payload: { score: 1, source: "user" } } : { method: "GET", url };
    expect(await call("Bearer infer-t1", options)).toMatchObject({ status: 404, code: "not_found" });
  }
});

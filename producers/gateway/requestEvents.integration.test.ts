/** `GET /requests/:id/events`, over HTTP as a client reads it, while the test plays the services behind the gateways. */
import { headers } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { errorOf, getText, postJson } from "#infra/e2e/callers.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { openEvents, type TestEvents } from "#infra/testEventReader.ts";
import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";
import { Completion, Job, Result } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import { subjectOf } from "#shared/messaging/topology.ts";

const TENANT = "t1";
const BODY = { tenant_id: TENANT, user_id: "u-1", input: "sk-canary-prompt", budget: 1 };
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let gateway: TestGateway;
let base: string, other: string;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "events");
  gateway = await startTestGateway({ DATABASE_URL: database.url, INFER_SWEEP_GRACE_MS: "1", INFER_MAX_EVENT_STREAMS: "4" });
  gateway.play(() => undefined);
  [base, other] = [gateway.url, await gateway.startAnother()].map((url) => url.replace("/v1", "")) as [string, string];
});
afterAll(async () => {
  await gateway.close();
  await database.drop();
});

/** The way of the completion in the fixture: three attempts, the last of which is accepted. */
const whole = (request_id: string, over: Partial<Completion> = {}) => Completion.parse({ ...completionFixture, tenant_id: TENANT, request_id, origin: "gateway-gone", ...over });
const sagaAfter = (attempts: number, decisions: number) =>
  ({ ...jobFixture.saga, context: { ...jobFixture.saga.context, attempt: decisions, finished: completionFixture.attempts.slice(0, attempts), decisions: completionFixture.decisions.slice(0, decisions) } });
const requestOf = (request_id: string) => ({ ...jobFixture.request, tenant_id: TENANT, request_id });
const job = (request_id: string, attempt: number, tier = completionFixture.attempts[attempt - 1]?.tier) =>
  Job.parse({ type: "job.v1", tenant_id: TENANT, request_id, tier, attempt, request: requestOf(request_id), saga: sagaAfter(attempt - 1, attempt) });
const result = (request_id: string, attempt: number) =>
  Result.parse({ type: "result.v1", tenant_id: TENANT, request_id, attempt, request: requestOf(request_id), saga: sagaAfter(attempt, attempt) });

const accept = async (request_id: string, more: object = {}) => {
  expect((await postJson(`${base}/infer`, { ...BODY, request_id, ...more }, { headers: { prefer: "respond-async" } })).status).toBe(202);
};
const watch = (request_id: string, { at = base, query = "", lastEventId }: { at?: string; query?: string; lastEventId?: string } = {}) => openEvents(`${at}/requests/${request_id}/events${query}`, lastEventId);
const names = (events: TestEvents["events"]) => events.map(({ id, event }) => `${id} ${event}`);
const ALL = ["0 accepted", "1 dispatched", "2 attempt_finished", "3 dispatched", "4 attempt_finished", "5 dispatched", "6 attempt_finished", "end completed"];

describe("the events of a request", () => {
  it("come as they happen, at every gateway, and the stream ends with the record", async () => {
    await accept("live");
    const streams = [await watch("live"), await watch("live", { at: other })];
    const until = async (count: number) => {
      for (const stream of streams) await stream.until(count);
      for (const stream of streams) expect(names(stream.events)).toEqual(ALL.slice(0, count));
    };
    await until(1);
    for (const attempt of [1, 2]) {
      await gateway.emit(job("live", attempt));
      await until(2 * attempt);
      await gateway.emit(result("live", attempt));
      await until(2 * attempt + 1);
    }
    await gateway.emit(job("live", 3));
    await until(6);
    await gateway.emit(whole("live"));
    for (const stream of streams) {
      await stream.ended;
      expect(names(stream.events)).toEqual(ALL);
      expect(stream.text).toMatch(/^retry: \d+\n\n/);
      expect(stream.text).not.toContain("canary");
    }
    const record = JSON.parse((await getText(`${base}/requests/live`)).text) as unknown;
    expect(streams[0]?.events.at(-1)?.data).toEqual(record);
    expect(streams[0]?.events[1]?.data).toMatchObject({ attempt: 1, tier: "small", min_confidence: 0.9 });
    expect(streams[0]?.events[4]?.data).toMatchObject({ attempt: 2, tier: "medium", outcome: "answered", confidence: 0.62, cost_usd: 0.00003 });
  });

  it("are the same for who comes late: in the middle, and after the end", async () => {
    await accept("late");
    for (const event of [job("late", 1), result("late", 1), job("late", 2)]) await gateway.emit(event);
    const middle = await watch("late");
    await middle.until(4);
    expect(names(middle.events)).toEqual(ALL.slice(0, 4));
    await gateway.emit(whole("late"));
    await middle.ended;
    const late = await watch("late", { at: other });
    await late.ended;
    expect(late.events.slice(1)).toEqual(middle.events.slice(1));
    expect(names(late.events)).toEqual(ALL);
  });

  it("go on after the one that the client has, and are over after the last", async () => {
    await accept("resumed");
    await gateway.emit(job("resumed", 1));
    const open = await watch("resumed", { lastEventId: "1" });
    await gateway.emit(result("resumed", 1));
    await open.until(1);
    await gateway.emit(whole("resumed"));
    await open.ended;
    expect(names(open.events)).toEqual(ALL.slice(2));
    const after = await watch("resumed", { lastEventId: "4" });
    await after.ended;
    expect(names(after.events)).toEqual(ALL.slice(5));
    expect((await watch("resumed", { lastEventId: "end" })).status).toBe(204);
    const unknown = await watch("resumed", { lastEventId: "what" });
    await unknown.ended;
    expect(names(unknown.events)).toEqual(ALL);
  });

  it("are told once, and never from what the streams refused", async () => {
    await accept("refused");
    await gateway.emit(job("refused", 1));
    const stream = await watch("refused");
    await stream.until(2);
    await gateway.emit(job("refused", 1));
    await gateway.emit(job("refused", 1, "large"));
    const unstored = whole("refused", { outcome: "failed", output: null, error: { code: "poison", message: "never stored" } });
    const refusedByStream = headers();
    refusedByStream.set("Nats-Expected-Stream", "ANOTHER");
    gateway.nats.publish(subjectOf("infer", unstored), JSON.stringify(unstored), { headers: refusedByStream }); // core subscribers have it all the same
    await gateway.nats.flush();
    await gateway.emit(whole("refused"));
    await stream.ended;
    expect(names(stream.events)).toEqual(ALL);
    expect(stream.events[1]?.data).toMatchObject({ tier: "small" });
  });

  it("have what each decision knew with explain", async () => {
    await accept("explained");
    await gateway.emit(job("explained", 1));
    const [plain, explained] = [await watch("explained"), await watch("explained", { query: "?explain=true&tenant_id=t1" })];
    await gateway.emit(whole("explained"));
    await Promise.all([plain.ended, explained.ended]);
    expect(explained.events[1]?.data).toMatchObject({ facts: completionFixture.decisions[0]?.facts });
    expect(explained.events.at(-1)?.data).toEqual(JSON.parse((await getText(`${base}/requests/explained?explain=true`)).text));
    expect(plain.text).not.toContain('"facts"');
  });

  it("end without an outcome at the deadline and the grace", async () => {
    await accept("stuck", { deadline_ms: 200 });
    await gateway.emit(job("stuck", 1));
    const stream = await watch("stuck");
    await stream.ended;
    expect(names(stream.events)).toEqual(ALL.slice(0, 2));
  });

  it("of more requests than a gateway may follow are a 503 until a client leaves, and a 429 for a tenant that would take what others are left", async () => {
    const ofTenant = async (tenant_id: string) => {
      await accept(`many-${tenant_id}`, { tenant_id });
      return () => watch(`many-${tenant_id}`, { query: `?tenant_id=${tenant_id}` });
    };
    const said = (stream: TestEvents) => [stream.status, stream.headers.get("retry-after"), ...(stream.status === 200 ? [] : [errorOf(stream).code])];
    const [first, second, third] = [await ofTenant("t1"), await ofTenant("t2"), await ofTenant("t3")];
    const open = [await first(), await first()];
    expect([said(await first()), open.map(({ status }) => status)]).toEqual([[429, "1", "rate_limited"], [200, 200]]);
    open.push(await second());
    expect([said(await second()), said(await first())]).toEqual([[429, "1", "rate_limited"], [429, "1", "rate_limited"]]);
    open.push(await third());
    expect([said(await third()), said(await first())]).toEqual([[503, "1", "too_many_streams"], [503, "1", "too_many_streams"]]);
    expect(open.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect((await watch("many-t3", { at: other, query: "?tenant_id=t3" })).status).toBe(200);
    open[0]?.leave();
    await expect.poll(async () => (await (await ofTenant("t4"))()).status, { timeout: 10_000 }).toBe(200);
    for (const tenant_id of ["t1", "t2", "t3", "t4"]) await gateway.emit(whole(`many-${tenant_id}`, { tenant_id }));
    await Promise.all(open.slice(1).map(({ ended }) => ended));
  });

  it("are a 404 for an id that was never accepted, and a 400 where several tenants used it", async () => {
    expect(await watch("never").then((stream) => [stream.status, errorOf(stream).code])).toEqual([404, "not_found"]);
    await accept("shared");
    await accept("shared", { tenant_id: "t2" });
    expect((await watch("shared")).status).toBe(400);
    await gateway.emit(whole("shared", { tenant_id: "t2", outcome: "rejected", output: null, attempts: [], decisions: [], error: { code: "budget_exceeded", message: "m" } }));
    const theirs = await watch("shared", { query: "?tenant_id=t2" });
    await theirs.ended;
    expect(names(theirs.events)).toEqual(["0 accepted", "end rejected"]);
  });
});

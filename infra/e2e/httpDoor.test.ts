/** The HTTP door of a system that was started with nothing set: its own servers, the local models, the shipped tiers. */
import { afterAll, beforeAll, expect, test } from "vitest";

import { openEvents } from "#infra/testEventReader.ts";
import { connectInferClient } from "#producers/client/inferClient.ts";

import { type Audit, body, counter, errorOf, getText, openAudit, postJson, recordOf } from "./callers.ts";
import { jsonIn, startSystem, type System } from "./system.ts";

/** The input of the quick start says too little for the small models, so it climbs to the large one. */
const UNSURE = "test";
/** No spam and no doubt. */
const SURE = "Subject: Re: [Razor-users] patch\n\nOn Mon, Sep 02, 2002 at 10:15AM, John wrote:\n> the patch does not apply to the current CVS\n\nIt does here, with perl 5.6.1. Which version do you run?\n";
const QUICK_START = { request_id: "test-1", user_id: "user-1", tenant_id: "tenant-1", input: UNSURE, budget: 5.0 };
const CANARY = "canary-7f3a";

let system: System;
let audit: Audit;
let gateway: string;
const infer = (content: unknown, headers: Record<string, string> = {}) => postJson(`${gateway}/infer`, content, { headers });
const backendCalls = async () =>
  (await Promise.all(["small", "medium", "large"].map((tier) => counter(system.url(`worker-${tier}`), "infer_backend_calls_total")))).reduce((sum, calls) => sum + calls, 0);

beforeAll(async () => {
  system = await startSystem();
  gateway = system.url("gateway");
  audit = openAudit(system.url("postgres"));
});
afterAll(async () => {
  await audit.close();
  await system.remove();
});

test("the quick start's call is answered within 2 s and leaves one audit row", async () => {
  const startedAt = performance.now();
  const answer = await infer(QUICK_START);
  expect(performance.now() - startedAt).toBeLessThan(2_000);
  expect(answer.status).toBe(200);
  const reply = recordOf(answer);
  expect(reply).toMatchObject({ request_id: "test-1", tenant_id: "tenant-1", outcome: "completed", tier: expect.any(String) as string, model: expect.any(String) as string, error: null });
  expect(["spam", "ham"]).toContain(reply.output);
  expect(reply.confidence).toBeGreaterThanOrEqual(0);
  expect(reply.confidence).toBeLessThanOrEqual(1);
  expect(reply.cost_usd).toBeGreaterThan(0);
  expect(reply.trace_id).toMatch(/^[0-9a-f]{32}$/);
  expect(reply.decision.why).toContain("kept");
  await audit.awaitRow("test-1");
  expect(await audit.rows("SELECT tenant_id, user_id, outcome, tier, trace_id, cost_nano_usd::int, attempt_count FROM requests WHERE request_id = 'test-1'")).toEqual([
    { tenant_id: "tenant-1", user_id: "user-1", outcome: "completed", tier: reply.tier, trace_id: reply.trace_id, cost_nano_usd: Math.round(reply.cost_usd * 1e9), attempt_count: reply.attempts.length },
  ]);
  expect(await audit.count("attempts", "test-1")).toBe(reply.attempts.length);
});

test("an unsure answer climbs tier by tier; every attempt is paid, and compared with the baseline", async () => {
  const { attempts, tier, cost_usd, baseline_cost_usd, baseline_tier, decision } = recordOf(await infer(body("climbs", UNSURE)));
  expect(attempts.map((attempt) => attempt.tier)).toEqual(["small", "medium", "large"]);
  expect(attempts.map((attempt) => attempt.attempt)).toEqual([1, 2, 3]);
  expect(cost_usd).toBeCloseTo(attempts.reduce((sum, attempt) => sum + attempt.cost_usd, 0), 9);
  expect([tier, baseline_tier, baseline_cost_usd]).toEqual(["large", "large", attempts[2]?.cost_usd]);
  expect(decision.steps.map(({ after_attempt, step }) => [after_attempt, step])).toEqual([[0, "run"], [1, "run"], [2, "run"]]);
  expect(attempts[0]?.confidence).toBeLessThan(decision.steps[0]?.min_confidence ?? 0);
});

test("a sure answer stays in the cheapest tier and costs less than the baseline", async () => {
  const reply = recordOf(await infer(body("sure", SURE)));
  expect(reply).toMatchObject({ output: "ham", tier: "small", outcome: "completed" });
  expect(reply.attempts).toHaveLength(1);
  expect(reply.cost_usd).toBeLessThan(reply.baseline_cost_usd ?? 0);
});

test("the same request_id again gives the same bytes and runs nothing", async () => {
  const first = await infer(body("again", UNSURE));
  const before = await backendCalls();
  const second = await infer(body("again", UNSURE));
  expect([second.status, second.text]).toEqual([first.status, first.text]);
  expect(await backendCalls()).toBe(before);
  expect(before).toBeGreaterThan(0);
});

test.each([["input", { input: "other" }], ["budget", { budget: 4 }], ["policy", { policy: "cheapest" }]])("a used request_id with another %s is a 422 and changes nothing", async (field, change) => {
  const id = `mismatch-${field}`;
  const first = await infer(body(id, UNSURE));
  const second = await infer(body(id, UNSURE, change));
  expect([second.status, errorOf(second).code]).toEqual([422, "idempotency_mismatch"]);
  expect((await infer(body(id, UNSURE))).text).toBe(first.text);
});

test("duplicates sent at once through both doors have one outcome and one run", async () => {
  const client = await connectInferClient({ url: system.url("nats") });
  const before = await backendCalls();
  const content = body("both-doors", UNSURE);
  const [overHttp, overNats] = await Promise.all([
    Promise.all(Array.from({ length: 6 }, () => infer(content))),
    Promise.all(Array.from({ length: 6 }, () => client.infer(content))),
  ]).finally(() => client.close());
  const replies = [...overHttp.map((answer) => JSON.parse(answer.text) as unknown), ...overNats];
  for (const reply of replies) expect(reply).toEqual(replies[0]);
  expect(overHttp.map(({ status }) => status)).toEqual(overHttp.map(() => 200));
  expect(await backendCalls()).toBe(before + 3);
  await audit.awaitRow("both-doors");
  expect([await audit.count("requests", "both-doors"), await audit.count("attempts", "both-doors")]).toEqual([1, 3]);
});

test("a caller that does not want to wait gets 202 and an address where the answer will be", async () => {
  const accepted = await infer(body("later", UNSURE), { prefer: "respond-async" });
  expect(accepted.status).toBe(202);
  expect(accepted.headers.get("location")).toBe("/requests/later?tenant_id=tenant-1");
  const waited = await infer(body("later", UNSURE));
  const found = await getText(`${gateway}/requests/later?tenant_id=tenant-1`);
  expect([found.status, found.text]).toEqual([200, waited.text]);
});

test("the events of a request that escalates tell each attempt, and then its record", async () => {
  expect((await infer(body("watched", UNSURE), { prefer: "respond-async" })).status).toBe(202);
  const stream = await openEvents(`${gateway}/requests/watched/events?tenant_id=tenant-1`);
  await stream.ended;
  const { attempts } = recordOf(await getText(`${gateway}/requests/watched`));
  expect(stream.events.map(({ event }) => event)).toEqual(["accepted", ...attempts.flatMap(() => ["dispatched", "attempt_finished"]), "completed"]);
  expect(attempts.map(({ tier }) => tier)).toEqual(["small", "medium", "large"]);
  expect(stream.events.filter(({ event }) => event === "attempt_finished").map(({ data }) => data)).toEqual(attempts);
  expect(stream.events.at(-1)?.data).toEqual(recordOf(await getText(`${gateway}/requests/watched`)));
  const again = await openEvents(`${gateway}/requests/watched/events`);
  await again.ended;
  expect(again.text).toBe(stream.text);
});

test("feedback on an answer comes by either door, is recorded, and the latest of each source counts", async () => {
  await infer(body("rated", SURE));
  const say = (score: number, source: string) => postJson(`${gateway}/requests/rated/feedback?tenant_id=tenant-1`, { score, source });
  const answer = await say(0, "user");
  expect([answer.status, JSON.parse(answer.text)]).toEqual([202, { request_id: "rated", tenant_id: "tenant-1", status: "recorded" }]);
  await say(1, "user");
  const client = await connectInferClient({ url: system.url("nats") });
  await client.feedback({ tenant_id: "tenant-1", request_id: "rated" }, { score: 0.5, source: "judge" }).finally(() => client.close());
  const rows = () => audit.rows<{ source: string; score: number }>("SELECT source, score FROM feedback WHERE request_id = 'rated' ORDER BY source");
  await expect.poll(rows, { timeout: 10_000 }).toEqual([{ source: "judge", score: 0.5 }, { source: "user", score: 1 }]);
  expect((await postJson(`${gateway}/requests/never-asked/feedback`, { score: 1, source: "user" })).status).toBe(404);
});

test("an id is a tenant's own: another tenant's request with it is another request", async () => {
  const mine = recordOf(await infer(body("shared-id", SURE)));
  const theirs = recordOf(await infer(body("shared-id", UNSURE, { tenant_id: "tenant-2" })));
  expect([mine.tier, theirs.tier]).toEqual(["small", "large"]);
  expect((await getText(`${gateway}/requests/shared-id`)).status).toBe(400);
  expect(recordOf(await getText(`${gateway}/requests/shared-id?tenant_id=tenant-2`)).trace_id).toBe(theirs.trace_id);
});

test("a budget that cannot pay for any tier is a 402, and nothing is spent", async () => {
  const before = await backendCalls();
  const answer = await infer(body("too-poor", UNSURE, { budget: 0.000_000_001 }));
  expect([answer.status, errorOf(answer).code]).toEqual([402, "budget_exceeded"]);
  expect(recordOf(answer)).toMatchObject({ outcome: "rejected", cost_usd: 0, attempts: [], output: null });
  expect(await backendCalls()).toBe(before);
  await audit.awaitRow("too-poor");
});

test("a budget that runs out on the way gives the best answer so far", async () => {
  const reply = recordOf(await infer(body("half-way", UNSURE, { budget: 0.000_02 })));
  expect(reply).toMatchObject({ outcome: "degraded", degraded_reason: "budget", tier: "small" });
  expect(reply.cost_usd).toBeLessThanOrEqual(0.000_02);
});

test.each([
  ["min_tier starts there", { min_tier: "large" }, ["large"], "completed"],
  ["max_tier ends there, with the best answer so far", { max_tier: "medium" }, ["small", "medium"], "degraded"],
  ["min_quality asks more of an answer than the tier file", { min_quality: 0.99, policy: "cheapest" }, ["small", "medium", "large"], "degraded"],
  ["always-<tier> asks that tier alone", { policy: "always-medium" }, ["medium"], "completed"],
  ["cheapest keeps any answer of the cheapest tier", { policy: "cheapest" }, ["small"], "completed"],
  ["static goes where the tier file says", { policy: "static" }, ["medium"], "completed"],
])("%s", async (name, change, tiers, outcome) => {
  const reply = recordOf(await infer(body(name.replaceAll(/[^a-z]/g, "-"), UNSURE, change)));
  expect([reply.attempts.map(({ tier }) => tier), reply.outcome]).toEqual([tiers, outcome]);
});

test.each([
  ["an unknown field", { ...QUICK_START, bugdet: 1 }],
  ["an unknown policy", { ...QUICK_START, policy: "best" }],
  ["a wildcard as id", { ...QUICK_START, request_id: "*" }],
  ["a negative budget", { ...QUICK_START, budget: -1 }],
])("%s is refused with a 400 before anything is accepted", async (_name, content) => {
  const answer = await infer(content);
  expect([answer.status, errorOf(answer).code]).toEqual([400, "invalid_request"]);
});

test("doctor finds nothing wrong, trace shows a request as it was answered, top counts it", async () => {
  const { attempts, trace_id } = recordOf(await infer(body("traced", UNSURE)));
  const { findings } = jsonIn(await system.inferctl("doctor", "--json")) as { findings: readonly { level: string; what: string }[] };
  expect(findings.filter(({ level }) => level === "problem")).toEqual([]);
  const { timeline, completion } = jsonIn(await system.inferctl("trace", "traced", "--tenant", "tenant-1", "--json")) as { timeline: { attempts: readonly { tier: string; became: string }[] }; completion: { trace_id: string } };
  expect([completion.trace_id, timeline.attempts.map(({ tier, became }) => [tier, became])]).toEqual([trace_id, attempts.map(({ tier }, i) => [tier, i === attempts.length - 1 ? "kept" : "handed_on"])]);
  const top = jsonIn(await system.inferctl("top", "--json")) as { roles: { answering: number; silent: readonly string[] }; tiers: readonly { tier: string }[]; latest: readonly { request_id: string }[]; problems: readonly string[] };
  expect([top.roles.answering > 0, top.roles.silent, top.tiers.map(({ tier }) => tier), top.latest[0]?.request_id, top.problems]).toEqual([true, [], ["small", "medium", "large"], "traced", []]);
});

test("no log holds what a caller wrote", async () => {
  await infer(body("canary-1", `${CANARY} input`, { metadata: { note: CANARY } }));
  await infer({ ...body("canary-2", CANARY), unknown: CANARY });
  await infer(body("canary-1", `${CANARY} other`));
  const holding = [...system.logs()].filter(([, text]) => text.includes(CANARY)).map(([file]) => file);
  expect(holding).toEqual([]);
  expect(system.logs().get("gateway.log")).toContain('"msg":"ready"');
});

test("up again changes nothing; down leaves no process; the answers are still there after the next up", async () => {
  const before = await infer(QUICK_START);
  expect((await system.up()).has_started_something).toBe(false);
  expect(system.processes()).not.toEqual([]);
  await system.down();
  expect(system.processes()).toEqual([]);
  expect((await system.up()).has_started_something).toBe(true);
  const callsBefore = await backendCalls();
  expect((await infer(QUICK_START)).text).toBe(before.text);
  expect(await backendCalls()).toBe(callsBefore);
});

import { expect, it } from "vitest";

import type { AuditBatch } from "#shared/audit/auditSource.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";

import { type LiveTally, newLiveTally } from "./liveTally.ts";
import { type LiveRun, makePlan, replayLive } from "./replayLive.ts";

const COUNT = 9;
const event = (n: number): Completion => Completion.parse({ ...fixture, tenant_id: "t1", request_id: `r-${n}`, accepted_at_ms: n, cost_nano_usd: 10 });
/** Three batches of three. */
const SOURCE: LiveRun["source"] = {
   
  async *batches({ after = "0", signal }): AsyncGenerator<AuditBatch> {
    for (let from = Number(after) + 1; from <= COUNT && !signal.aborted; from += 3) yield { records: [from, from + 1, from + 2].map((n) => ({ seq: n, completion: event(n) })), unreadable: [], cursor: String(from + 2) };
  },
};
/** A service that has an outcome for what was submitted, of a cost of 10. */
function serviceOf(over: Partial<Completion> = {}) {
  const sent: string[] = [];
  const outcomes = new Map<string, Completion>();
  const submit: LiveRun["submit"] = async ({ request_id }) => {
    if (outcomes.has(request_id)) return Promise.resolve("repeated");
    sent.push(request_id);
    outcomes.set(request_id, { ...event(1), request_id, cost_nano_usd: nanoUsd(10), ...over });
    return Promise.resolve("accepted");
  };
  const replies: LiveRun["replies"] = {
    expect: ({ request_id }) => ({ get outcome() { return Promise.resolve(outcomes.get(request_id) ?? null); }, close: () => undefined }),
    find: ({ request_id }) => Promise.resolve(outcomes.get(request_id) ?? null), giveUp: () => undefined,
  };
  return { sent, submit, replies };
}
function runOf(service: ReturnType<typeof serviceOf>, over: Partial<LiveRun> = {}) {
  const places: { cursor: string; tally: LiveTally }[] = [];
  const run: LiveRun = {
    source: SOURCE, tally: newLiveTally(), most: COUNT, maxCostNanoUsd: null, pace: { kind: "max" }, concurrency: 1, looksFirst: false,
    plan: ({ request_id }) => Promise.resolve({ id: { tenant_id: "t1", request_id: `replay-a-${request_id}` }, content: { user_id: "u", input: "x", budget: 1 } }),
    submit: service.submit, replies: service.replies, longestDeadlineMs: 1_000, signal: new AbortController().signal, keep: (progress) => { places.push(progress); return Promise.resolve(); }, onProgress: () => undefined, now: () => performance.now(), ...over,
  };
  return { places, done: replayLive(run) };
}

it("sends each once, keeps its place after each batch, and adds up what came", async () => {
  const service = serviceOf();
  const { places, done } = runOf(service);
  expect(await done).toMatchObject({ end: "all", tally: { requests: COUNT, now: { cost_nano_usd: 90 }, recorded: { cost_nano_usd: 90 } } });
  expect(service.sent).toHaveLength(COUNT);
  expect(places.map(({ cursor, tally }) => [cursor, tally.requests])).toEqual([["3", 3], ["6", 6], ["9", 9]]);
});

it("goes on after an interruption to the same totals, without sending anything twice", async () => {
  const service = serviceOf();
  const stop = new AbortController();
  const first = runOf(service, { signal: stop.signal, onProgress: ({ requests }) => { if (requests === 5) stop.abort(); } });
  expect(await first.done).toMatchObject({ end: "interrupted", tally: { requests: 5 } });
  const [place] = first.places;
  const second = runOf(service, { after: place?.cursor, tally: place?.tally ?? newLiveTally(), looksFirst: true });
  expect(place?.cursor).toBe("3");
  expect(await second.done).toMatchObject({ end: "all", tally: { requests: COUNT, now: { cost_nano_usd: 90 } } });
  expect(service.sent).toHaveLength(COUNT);
});

it("sends no more than were confirmed", async () => {
  const service = serviceOf();
  await runOf(service, { most: 4 }).done;
  expect(service.sent).toHaveLength(4);
});

it("ends once more was spent than may be, counting what was spent before", async () => {
  const service = serviceOf();
  expect(await runOf(service, { maxCostNanoUsd: 45 }).done).toMatchObject({ end: "max_cost", tally: { requests: 5 } });
  const before = newLiveTally();
  before.now.cost_nano_usd = 40;
  expect(await runOf(serviceOf(), { maxCostNanoUsd: 45, tally: before }).done).toMatchObject({ end: "max_cost", tally: { requests: 1 } });
  before.now.cost_nano_usd = 50;
  const spent = serviceOf();
  expect(await runOf(spent, { maxCostNanoUsd: 45, tally: before }).done).toMatchObject({ end: "max_cost", tally: { requests: 0 } });
  expect(spent.sent).toEqual([]);
});

it("as fast as allowed waits as long as a refusal says", async () => {
  const refusal = { outcome: "rejected" as const, error: { code: "rate_limited" as const, message: "wait", retry_after_ms: 30 } };
  const startedMs = performance.now();
  await runOf(serviceOf(refusal)).done;
  expect(performance.now() - startedMs).toBeGreaterThan(8 * 29);
});

it("repeats what an outage refused, under the same id", async () => {
  const service = serviceOf();
  let outages = 1;
  const submit: LiveRun["submit"] = (...args) => (outages-- > 0 ? Promise.reject(new AppError("storage_full", "full")) : service.submit(...args));
  expect(await runOf(service, { submit }).done).toMatchObject({ end: "all", tally: { requests: COUNT } });
});

it("throws what is no outage, and keeps only what had ended", async () => {
  const submit: LiveRun["submit"] = ({ request_id }, ...rest) => (request_id.endsWith("r-5") ? Promise.reject(new AppError("payload_too_large", "too large")) : serviceOf().submit({ tenant_id: "t1", request_id }, ...rest));
  const { places, done } = runOf(serviceOf(), { submit, replies: { expect: () => ({ outcome: Promise.resolve(event(1)), close: () => undefined }), find: () => Promise.resolve(null), giveUp: () => undefined } });
  await expect(done).rejects.toMatchObject({ code: "payload_too_large" });
  expect(places.map(({ cursor }) => cursor)).toEqual(["3"]);
});

it.each<[string, Completion, boolean, unknown]>([
  ["that is this run's own", { ...event(1), request_id: "replay-a-r-1" }, true, { skipped: null }],
  ["of a tenant that is not here", event(1), false, { skipped: "tenant_unknown" }],
  ["whose input nobody kept", event(1), true, { skipped: "no_input" }],
])("leaves out an event %s", async (_what, completion, isKnown, expected) => {
  const plan = makePlan({ runId: "a", tenantMap: new Map(), tierFile: { tiers: [], embedders: [] }, findAsked: () => Promise.resolve(null), isTenantKnown: () => Promise.resolve(isKnown) });
  expect(await plan(completion)).toEqual(expected);
});

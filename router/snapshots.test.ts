import type { StoredMsg } from "@nats-io/jetstream";
import { describe, expect, it } from "vitest";

import { type Attempt, Job, Result } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import { messagesAfter, readSaga } from "#shared/saga/messagesAfter.ts";

import { makeSnapshots } from "./snapshots.ts";

const KEY = "k".repeat(32), FORMER = "f".repeat(32);
const AT = { nowMs: 1_767_225_601_500, traceId: "t" };
const CHAT = { messages: [{ role: "user", content: [{ type: "text", text: "Grüße" }], x_extra: 0 }], tools: [{ type: "function", z: 1, a: { c: 1, b: 2 } }], temperature: 1e-7 };
const ATTEMPT: Attempt = { ...(jobFixture.saga.context.finished[0] as unknown as Attempt), attempt: 3, tier: "large", cost_nano_usd: 40_000 as Attempt["cost_nano_usd"], cost_is_partial: false, outcome: { kind: "answered", is_sound: true, confidence: 0.1, confidence_source: "c" } };

const encoded = (body: unknown) => new TextEncoder().encode(JSON.stringify(body));
const atWire = <T extends object>(event: T): T => JSON.parse(JSON.stringify(event)) as T;
/** A router with these keys, and the job that JOBS has. */
const routerWith = (keys: readonly string[], stored: object | null = null) => {
  const seen: string[] = [];
  const last = async () => (stored === null ? null : ({ subject: "infer.job.large.t1.r-1.3", data: encoded(stored) } as StoredMsg));
  return { ...makeSnapshots({ keys, streams: { last }, prefix: "infer", observe: (how) => { seen.push(how); } }), seen };
};
const jobWith = (input: unknown = jobFixture.request.input): Job => Job.parse({ ...jobFixture, request: { ...jobFixture.request, input } });
const signed = (key = KEY, job = jobWith()) => routerWith([key]).sign(job);
/** As a worker brings it back: read, run, and published as JSON. */
function broughtBack(job: Job, attempt: Attempt = ATTEMPT) {
  const { saga, signature, ...read } = Job.parse(atWire(job));
  const [result] = messagesAfter(read.request, readSaga(saga), { type: "RESULT", result: attempt, output: "no idea" }, AT);
  return atWire<Result>({ ...Result.parse(result), ...(signature === undefined ? {} : { routed: { saga, signature } }) });
}
const delivered = (result: object, subject = "infer.result.t1.r-1.3") => ({ subject, data: encoded(result) });
type Tampered = { tenant_id: string; request: Record<string, unknown>; saga: { context: Record<string, unknown> & { finished: Record<string, unknown>[]; decisions: unknown[] } }; routed?: { signature: string; saga: { context: Record<string, unknown> & { finished: Record<string, unknown>[] } } } };
const tampered = (change: (result: Tampered) => void, result: Result = broughtBack(signed())) => {
  const copy = atWire(result) as unknown as Tampered;
  change(copy);
  return copy;
};

describe("a result", () => {
  it.each([["a text", jobFixture.request.input], ["a conversation with all kinds of keys", CHAT]])("with %s is what the router had decided, and what the worker adds", async (_what, input) => {
    const router = routerWith([KEY]);
    const { request, saga } = await router.open(delivered(broughtBack(signed(KEY, jobWith(input)))));
    expect([request, saga.context.finished, saga.context.best, router.seen]).toEqual([jobWith(input).request, [...readSaga(jobFixture.saga).context.finished, ATTEMPT], expect.objectContaining({ attempt: 3, output: "no idea" }), ["signed"]]);
  });

  it.each<[string, (result: Tampered) => void]>([
    ["budget", ({ request }) => { request["budget_nano_usd"] = 9e9; }],
    ["deadline", ({ request }) => { request["deadline_at_ms"] = 2e12; }],
    ["prompt", ({ request }) => { request["input"] = "ignore that"; }],
    ["tenant in the request", ({ request }) => { request["tenant_id"] = "t2"; }],
    ["spent, of an earlier attempt", ({ saga }) => { Object.assign(saga.context.finished[1] ?? {}, { cost_nano_usd: 5 }); }],
    ["spent, also where it was signed", ({ saga, routed }) => { for (const one of [saga, routed?.saga]) Object.assign(one?.context.finished[1] ?? {}, { cost_nano_usd: 5 }); }],
    ["own cost, beyond what it was quoted at", ({ saga }) => { Object.assign(saga.context.finished[2] ?? {}, { cost_nano_usd: 1e9 }); }],
    ["tier", ({ saga }) => { saga.context["tier"] = "medium"; }],
    ["own attempt's tier", ({ saga }) => { Object.assign(saga.context.finished[2] ?? {}, { tier: "medium" }); }],
    ["rule that it is kept by", ({ saga }) => { saga.context["acceptance"] = { min_confidence: 0 }; }],
    ["decisions", ({ saga }) => { saga.context.decisions.pop(); }],
    ["earlier attempts", ({ saga }) => { saga.context.finished.shift(); }],
    ["confidence, so that its job's rule accepts it", ({ saga }) => { Object.assign(saga.context.finished[2] ?? {}, { outcome: { kind: "answered", is_sound: true, confidence: 1, confidence_source: "c" } }); }],
    ["signature", ({ routed }) => { if (routed !== undefined) routed.signature = "A".repeat(43); }],
  ])("with another %s is refused", async (_what, change) => {
    const router = routerWith([KEY]);
    await expect(router.open(delivered(tampered(change)))).rejects.toMatchObject({ code: "bad_snapshot" });
    expect(router.seen.at(-1)).toBe("refused");
  });

  it("of another request, tenant or attempt is refused with a signature that was right there", async () => {
    const result = broughtBack(signed());
    for (const id of [{ tenant_id: "t2" }, { request_id: "r-2" }]) {
      const { tenant_id, request_id } = { ...result, ...id };
      await expect(routerWith([KEY]).open(delivered({ ...result, ...id }, `infer.result.${tenant_id}.${request_id}.3`))).rejects.toMatchObject({ code: "bad_snapshot" });
    }
    await expect(routerWith([KEY]).open(delivered({ ...result, attempt: 4 }, "infer.result.t1.r-1.4"))).rejects.toMatchObject({ code: "bad_snapshot" });
  });

  it("is no worker's to sign: a key that routers do not have is none", async () => {
    await expect(routerWith([KEY]).open(delivered(broughtBack(signed("w".repeat(32)))))).rejects.toMatchObject({ code: "bad_snapshot" });
  });

  it("that was signed by the former key is read while that is the second one, and not after", async () => {
    const result = delivered(broughtBack(signed(FORMER)));
    await expect(routerWith([KEY, FORMER]).open(result)).resolves.toMatchObject({ saga: { state: "awaitingResult" } });
    await expect(routerWith([KEY]).open(result)).rejects.toMatchObject({ code: "bad_snapshot" });
    expect(routerWith([KEY, FORMER]).sign(jobWith()).signature).toBe(signed().signature);
  });

  it("without a signature is read by what JOBS has: of before the upgrade, or of a worker that knows none", async () => {
    const unsigned = broughtBack(jobWith());
    for (const stored of [jobWith(), signed()]) {
      const router = routerWith([KEY], stored);
      await expect(router.open(delivered(unsigned))).resolves.toMatchObject({ saga: { context: { finished: [{ attempt: 1 }, { attempt: 2 }, { attempt: 3 }] } } });
      expect(router.seen).toEqual(["by_job"]);
    }
    const greedy = tampered(({ saga }) => { Object.assign(saga.context.finished[1] ?? {}, { cost_nano_usd: 5 }); }, unsigned);
    await expect(routerWith([KEY], jobWith()).open(delivered(greedy))).rejects.toMatchObject({ code: "bad_snapshot" });
    for (const stored of [null, { ...signed(), signature: "A".repeat(43) }]) await expect(routerWith([KEY], stored).open(delivered(unsigned))).rejects.toMatchObject({ code: "bad_snapshot" });
  });

  it("that may not be believed ends its request from its job", async () => {
    const bad = delivered(tampered(({ saga }) => { Object.assign(saga.context.finished[1] ?? {}, { cost_nano_usd: 5 }); }));
    await expect(routerWith([KEY], signed()).openOrJob(bad)).resolves.toEqual({ request: jobWith().request, saga: readSaga(jobFixture.saga) });
    await expect(routerWith([KEY]).openOrJob(bad)).rejects.toMatchObject({ code: "bad_snapshot" });
  });

  it("is believed as it is where routers have no key, and nothing is signed", async () => {
    const router = routerWith([]);
    expect(router.sign(jobWith())).toEqual(jobWith());
    await expect(router.open(delivered(broughtBack(jobWith())))).resolves.toMatchObject({ saga: { context: { attempt: 3 } } });
  });
});

/** Every broken promise that a fault may lead to is planted once, and must be found. */
import { describe, expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { toReply } from "#shared/contracts/reply.ts";

import { callKey } from "./backend.ts";
import type { SentRequest } from "./load.ts";
import { brokenOf, judge, type Observed } from "./oracle.ts";

const FIXTURE = Completion.parse(completionFixture);
const CANARIES = new Map([["t1", "canary-of-t1"], ["t2", "canary-of-t2"]]);
const completionOf = (tenant_id: string, request_id: string): Completion => ({ ...FIXTURE, tenant_id, request_id, output: `answers ${CANARIES.get(tenant_id) ?? ""}` });
const A = completionOf("t1", "a");
const B = completionOf("t2", "b");
const sentOf = (completion: Completion): SentRequest => ({ tenant: completion.tenant_id, id: completion.request_id, door: "http", sentAtMs: 0, isAccepted: true, answeredAtMs: 1, replies: [toReply(completion)], refusals: [], lastAsksMs: [] });
const key = ({ tenant_id, request_id }: Completion) => `${tenant_id}/${request_id}`;

const SOUND: Observed = {
  sent: [sentOf(A), sentOf(B)], canaries: CANARIES, requests: [key(A), key(B)], completions: [A, B], wire: [A, B],
  jobs: [A, B].flatMap((one) => one.attempts.map(({ attempt }) => `${key(one)} ${attempt}`)),
  auditRows: [A, B].map((one) => ({ key: key(one), cost: one.cost_nano_usd, output: one.output })),
  attemptRows: [A, B].flatMap((one) => one.attempts.map(({ attempt }) => `${key(one)} ${attempt}`)),
  lines: [A, B].map((one) => ({ key: key(one), cost: one.cost_nano_usd, isCharged: true })),
  calls: new Map([A, B].flatMap((one) => one.attempts.map(({ tier, tries }) => [callKey(one.tenant_id, one.request_id, tier), { made: tries, abandoned: 0, lastAtMs: one.accepted_at_ms }] as const))),
  reservations: [], spent: [{ tenant: "t1", inRedis: 5, inLedger: 5 }],
};
const broken = (over: Partial<Observed>, repeats = 0) => brokenOf(judge({ ...SOUND, ...over }, { repeats })).map(({ name, count }) => [name, count]);
const TIER = A.attempts[0]?.tier ?? "";
const TRIES = A.attempts[0]?.tries ?? 0;
const called = (made: number, abandoned: number, lastAtMs = 0) => new Map([...SOUND.calls, [callKey("t1", "a", TIER), { made, abandoned, lastAtMs }]]);
const line = { key: key(A), cost: A.cost_nano_usd, isCharged: true };

it("finds nothing where nothing is wrong", () => {
  expect(broken({})).toEqual([]);
  expect(judge(SOUND, { repeats: 0 })).toMatchObject({ accepted: 2, terminal: 2, extraCalls: 0, repaidCalls: 0 });
});

describe("finds", () => {
  it.each<[string, Partial<Observed>, (string | number)[][]]>([
    ["what was accepted and has no outcome, wherever it was accepted", { requests: [...SOUND.requests, "t1/gone"], sent: [...SOUND.sent, { ...sentOf(A), id: "told", replies: [] }] }, [["lost", 2]]],
    ["a second outcome", { completions: [A, B, { ...A, cost_nano_usd: nanoUsd(1) }] }, [["doubly terminal", 1]]],
    ["an answer that is not the stored one", { sent: [{ ...sentOf(A), replies: [toReply({ ...A, latency_ms: A.latency_ms + 1 })] }, sentOf(B)] }, [["seen != stored", 1]]],
    ["an answer for which nothing is stored", { sent: [...SOUND.sent, { ...sentOf({ ...A, request_id: "n" }), isAccepted: false }] }, [["seen != stored", 1]]],
    ["a reply on its way that is not the stored one", { wire: [A, { ...B, completed_at_ms: B.completed_at_ms + 1 }] }, [["sent to clients != stored", 1]]],
    ["a second job of an attempt", { jobs: [...SOUND.jobs, `${key(A)} 1`] }, [["second jobs", 1]]],
    ["a missing audit row", { auditRows: SOUND.auditRows.slice(1) }, [["audit rows missing", 1]]],
    ["a double audit row", { auditRows: [...SOUND.auditRows, ...SOUND.auditRows.slice(1)] }, [["audit rows double", 1]]],
    ["an audit row of nothing", { auditRows: [...SOUND.auditRows, { key: "t1/x", cost: 0, output: null }] }, [["audit rows of nothing", 1]]],
    ["an audited cost that is another one", { auditRows: SOUND.auditRows.map((row) => ({ ...row, cost: row.cost + 1 })) }, [["audited cost != stored", 2]]],
    ["a missing attempt row", { attemptRows: SOUND.attemptRows.slice(1) }, [["attempt rows != attempts", 1]]],
    ["a double attempt row", { attemptRows: [...SOUND.attemptRows, SOUND.attemptRows[0] ?? ""] }, [["attempt rows != attempts", 1]]],
    ["a double charge", { lines: [...SOUND.lines, line] }, [["charged != billed", 1]]],
    ["a charge that is missing", { lines: SOUND.lines.slice(1) }, [["charged != billed", 1]]],
    ["a charge for nothing", { lines: [...SOUND.lines, { key: "t1/x", cost: 1, isCharged: true }] }, [["charged without outcome", 1]]],
    ["a call that was made again without a crash", { calls: called(TRIES + 1, 1) }, [["calls beyond crashes", 1]]],
    ["a call for a request without an outcome that was made twice", { calls: new Map([...SOUND.calls, [callKey("t1", "a", "other"), { made: 2, abandoned: 1, lastAtMs: 0 }]]) }, [["calls beyond crashes", 1]]],
    ["a call for what had ended", { calls: called(TRIES, 0, A.completed_at_ms + 6_000) }, [["calls after the outcome", 1]]],
    ["money that stays reserved", { reservations: [key(A), key(A)] }, [["orphan reservations", 1]]],
    ["counters that are not the ledger's", { spent: [{ tenant: "t1", inRedis: 5, inLedger: 6 }] }, [["Redis != ledger", 1]]],
    ["callers that never got an outcome", { sent: [{ ...sentOf(A), lastAsksMs: [1, 2] }, sentOf(B)] }, [["callers without an answer", 2]]],
  ])("%s", (_what, over, found) => { expect(broken(over)).toEqual(found); });

  it.each<[string, Partial<Observed>]>([
    ["a stored answer", { completions: [A, { ...B, output: A.output }] }],
    ["an answer without its own canary", { completions: [A, { ...B, output: "answers nobody" }] }],
    ["an audit row", { auditRows: [...SOUND.auditRows.slice(0, 1), { key: key(B), cost: B.cost_nano_usd, output: A.output }] }],
    ["a reply", { sent: [sentOf(A), { ...sentOf(B), replies: [toReply({ ...B, tenant_id: "t1" })] }] }],
  ])("another tenant's canary in %s", (_what, over) => { expect(broken(over)).toContainEqual(["canaries of others", 1]); });
});

it("lets a crash repeat calls, and tells those apart whose answer was there", () => {
  expect(broken({ calls: called(TRIES + 1, 1) }, 1)).toEqual([]);
  expect(broken({ calls: called(TRIES + 2, 1) }, 1)).toEqual([["calls beyond crashes", 1]]);
  expect(judge({ ...SOUND, calls: called(TRIES + 2, 1) }, { repeats: 2 })).toMatchObject({ extraCalls: 2, repaidCalls: 1 });
});

it("does not charge waste to anybody, nor count calls of others", () => {
  expect(broken({ lines: [...SOUND.lines, { ...line, isCharged: false }], calls: new Map([...SOUND.calls, [callKey("t9", "x", "m"), { made: 3, abandoned: 0, lastAtMs: 0 }]]) })).toEqual([]);
});

it("leaves out the requests of which NATS lost something, as a case says, and no others; and never whose answers they are", () => {
  const lost = new Set(["t1/lost"]);
  const told = { ...sentOf(A), id: "lost", replies: [toReply({ ...A, request_id: "lost" })] };
  const foreign = { ...told, replies: [toReply({ ...A, request_id: "lost", output: B.output })] };
  const found = (over: Partial<Observed>) => brokenOf(judge({ ...SOUND, ...over }, { repeats: 0, lost })).map(({ name, count }) => [name, count]);
  expect(found({ sent: [...SOUND.sent, told], auditRows: [...SOUND.auditRows, { key: "t1/lost", cost: 1, output: null }], lines: [...SOUND.lines, { key: "t1/lost", cost: 1, isCharged: true }], attemptRows: [...SOUND.attemptRows, "t1/lost 1"], reservations: ["t1/lost"] })).toEqual([]);
  expect(found({ sent: [...SOUND.sent, told, { ...told, id: "other" }] })).toEqual([["lost", 1], ["seen != stored", 1]]);
  expect(found({ sent: [...SOUND.sent, foreign] })).toEqual([["canaries of others", 1]]);
});

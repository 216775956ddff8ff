import { expect, test } from "vitest";

import type { DeadLetter } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";

import { retryable } from "./retryDeadLetter.ts";

const letter: DeadLetter = { type: "dead_letter.v1", stream: "JOBS", stream_seq: 1, subject: "infer.job.small.t1.r1.1", tenant_id: "t1", request_id: "r1", reason: "poison", message: "m", deliveries: 4, at_ms: 1, late_attempt: null };
const late = { attempt: 1, tier: "small", model: "m", started_at_ms: 1, latency_ms: 1, tries: 1, usage: null, cost_nano_usd: nanoUsd(5), cost_is_partial: false, outcome: { kind: "failed", code: "internal", message: "x" } } as const;

test.each<[string, DeadLetter, Parameters<typeof retryable>[1], string | null]>([
  ["a request that failed", letter, { outcome: "failed" }, null],
  ["one whose outcome nobody knows any more", { ...letter, stream: "REQUESTS" }, null, null],
  ["one that was answered", letter, { outcome: "completed" }, "was answered (completed)"],
  ["one that got the best answer so far", letter, { outcome: "degraded" }, "was answered (degraded)"],
  ["a late run", { ...letter, late_attempt: late }, null, "late run"],
  ["an event of the audit", { ...letter, stream: "COMPLETIONS" }, { outcome: "failed" }, "a message of COMPLETIONS"],
  ["a subject without an id", { ...letter, tenant_id: null, request_id: null }, null, "names no tenant"],
])("%s", (_what, given, outcome, refusal) => {
  expect(retryable(given, outcome)).toEqual(refusal === null ? { id: { tenant_id: "t1", request_id: "r1" } } : { refusal: expect.stringContaining(refusal) as string });
});

import { describe, expect, it } from "vitest";

import { afterFailure, type Failure, nextLookMs, type Tries } from "./afterFailure.ts";
import { InferError, type InferErrorCode } from "./inferError.ts";

const FIRST: Tries = { made: 1, most: 6, leftMs: 60_000, leftToDeadlineMs: null, random: 0.5 };
function failure(code: InferErrorCode, more: Partial<Failure> = {}): Failure {
  const { status, retryable, retryAfterMs } = new InferError(code, "m");
  return { code, status, retryable, retryAfterMs, ...more };
}

describe("a try that failed", () => {
  it.each<[InferErrorCode, Partial<Failure>, boolean]>([
    ["connection_failed", {}, true],
    ["rate_limited", { retryAfterMs: 2_000 }, true],
    ["broker_unavailable", {}, true],
    ["accept_unknown", {}, true],
    ["outcome_pending", {}, true],
    ["storage_full", {}, true],
    ["unexpected_reply", { status: 502, retryable: true }, true],
    ["unexpected_reply", { status: 408, retryable: true }, true],
    ["rate_limited", { retryable: false }, false],
    ["timeout", {}, false],
    ["unexpected_reply", { status: 418, retryable: true }, false],
    ["unexpected_reply", { status: 200 }, false],
    ["invalid_request", {}, false],
    ["invalid_request", { retryable: true }, false],
    ["idempotency_mismatch", {}, false],
    ["no_outcome", {}, false],
    ["unauthenticated", {}, false],
    ["forbidden", {}, false],
    ["not_found", {}, false],
    ["budget_exceeded", {}, false],
    ["internal", {}, false],
    ["deadline_exceeded", {}, false],
    ["aborted", {}, false],
    ["closed", {}, false],
    ["stream_broken", {}, false],
  ])("with %s %j is repeated: %s", (code, more, isRepeated) => {
    expect(afterFailure(failure(code, more), FIRST).kind).toBe(isRepeated ? "try" : "give_up");
  });

  it.each<[string, Partial<Failure>, Partial<Tries>, object]>([
    ["waits up to twice as long each time", {}, { made: 3, random: 0.999_999 }, { kind: "try", afterMs: 1_000 }],
    ["waits 8 s at most by itself", {}, { made: 12, most: 20, random: 0.999_999 }, { kind: "try", afterMs: 8_000 }],
    ["may be repeated at once", {}, { random: 0 }, { kind: "try", afterMs: 0 }],
    ["waits no less than the service asks for, and not all callers alike", { retryAfterMs: 3_000 }, { random: 0.5 }, { kind: "try", afterMs: 3_125 }],
    ["is the last one after as many as there may be", {}, { made: 6 }, { kind: "give_up", why: "tries" }],
    ["is the last one when the wait would outlast the call", { retryAfterMs: 5_000 }, { leftMs: 5_000 }, { kind: "give_up", why: "timeout" }],
    ["is the last one when the wait would outlast the request's deadline", { retryAfterMs: 500 }, { leftToDeadlineMs: 400 }, { kind: "give_up", why: "deadline" }],
    ["is the last one past the deadline, though the call has time", {}, { leftToDeadlineMs: -1, random: 0 }, { kind: "give_up", why: "deadline" }],
    ["says first that it is not for repeating", { retryable: false }, { made: 6 }, { kind: "give_up", why: "not_retryable" }],
  ])("%s", (_name, more, tries, expected) => {
    expect(afterFailure(failure("broker_unavailable", more), { ...FIRST, ...tries })).toEqual(expected);
  });
});

it.each([[1, null, 0, 100], [2, null, 0, 150], [30, null, 0, 5_000], [1, 1_000, 0, 1_000], [30, 1_000, 0, 5_000], [1, 1_000, 0.5, 1_100]])("look %s for an outcome, with %s ms asked for and %s drawn, comes after %s ms", (looks, retryAfterMs, random, afterMs) => {
  expect(nextLookMs(looks, retryAfterMs, random)).toBe(afterMs);
});

import { describe, expect, it } from "vitest";
import { z } from "zod";

import { ERROR_CODE_NAMES, ERROR_CODES } from "#shared/contracts/errors.ts";

import { badCall, refusalOf, refusalOfIssues, shouldRepeat } from "./refusal.ts";

describe("refusalOf", () => {
  it.each([
    ["invalid_json", 400, "invalid_request_error"], ["not_found", 404, "invalid_request_error"], ["idempotency_in_progress", 409, "invalid_request_error"], ["idempotency_mismatch", 422, "invalid_request_error"],
    ["payload_too_large", 413, "invalid_request_error"], ["budget_exceeded", 429, "insufficient_quota"], ["cancelled", 499, "api_error"],
    ["internal", 500, "server_error"], ["no_sound_answer", 502, "api_error"], ["broker_unavailable", 503, "server_error"], ["deadline_exceeded", 504, "timeout"],
  ] as const)("of %s is a %d %s", (code, status, type) => {
    expect(refusalOf({ code, message: "m" })).toEqual({ status, error: { message: "m", type, param: null, code }, isRetryable: ERROR_CODES[code].retryable });
  });

  it("has a status of its own kind for every code", () => {
    for (const code of ERROR_CODE_NAMES) expect(refusalOf({ code, message: "" }).status >= 500).toBe(ERROR_CODES[code].httpStatus >= 500);
  });
});

describe("shouldRepeat", () => {
  const NEW = { isOutcome: false, isIdOurs: true };
  it.each([
    ["an outage before anything was accepted", "broker_unavailable", NEW, true],
    ["what may have been accepted under an id that the client does not know", "accept_unknown", NEW, false],
    ["the same under the client's id", "accept_unknown", { isOutcome: false, isIdOurs: false }, true],
    ["an outage of the models", "backend_unavailable", { isOutcome: true, isIdOurs: true }, true],
    ["the same, stored under the client's id", "backend_unavailable", { isOutcome: true, isIdOurs: false }, false],
    ["a deadline", "deadline_exceeded", { isOutcome: true, isIdOurs: true }, false],
    ["the client's own request in flight", "idempotency_in_progress", { isOutcome: false, isIdOurs: false }, true],
    ["another request's id", "idempotency_mismatch", { isOutcome: false, isIdOurs: false }, false],
  ] as const)("%s", (_name, code, refused, expected) => {
    expect(shouldRepeat(refusalOf({ code, message: "" }), refused)).toBe(expected);
  });
});

describe("refusalOfIssues", () => {
  const schema = z.strictObject({ a: z.array(z.strictObject({ role: z.enum(["x"]), n: z.number().max(2).optional() })) });
  const of = (value: unknown) => refusalOfIssues(schema.safeParse(value).error?.issues ?? []).error;
  it.each([
    [{ a: [], b: 1 }, "unknown_parameter", "b"],
    [{ a: [{ role: "x" }, { role: "x", extra: 1 }] }, "unknown_parameter", "a[1].extra"],
    [{}, "missing_required_parameter", "a"],
    [{ a: 1 }, "invalid_type", "a"],
    [{ a: [{ role: "y" }] }, "invalid_value", "a[0].role"],
    [{ a: [{ role: "x", n: 3 }] }, "invalid_value", "a[0].n"],
    [1, "invalid_type", null],
  ])("names the first problem of %j", (value, code, param) => {
    expect(of(value)).toMatchObject({ type: "invalid_request_error", code, param });
  });

  it("says something without any", () => {
    expect(refusalOfIssues([])).toEqual(badCall("invalid_value", "the request is not valid", null));
  });
});

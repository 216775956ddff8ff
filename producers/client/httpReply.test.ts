import { describe, expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { toReply } from "#shared/contracts/reply.ts";

import { failureOf, recordIn, retryAfterMsOf } from "./httpReply.ts";

const RECORD = toReply(Completion.parse(fixture));
const headers = (retryAfter?: string) => new Headers(retryAfter === undefined ? {} : { "retry-after": retryAfter });
const error = (code: string, retryable = false) => JSON.stringify({ error: { code, message: "m", retryable }, request_id: "r-1" });

describe("the record of a reply", () => {
  it("is its body, or beside the error of an outcome without an answer, with what a newer service says", () => {
    expect(recordIn(JSON.stringify({ ...RECORD, added_later: 1 }))).toEqual({ ...RECORD, added_later: 1 });
    expect(recordIn(JSON.stringify({ error: { code: "no_sound_answer", message: "m", retryable: false }, request_id: "r-1", request: RECORD }))).toEqual(RECORD);
  });
  it.each(["", "<html>", "null", "{}", error("internal")])("is not in %j", (text) => {
    expect(recordIn(text)).toBeNull();
  });
});

it.each<[string, number | null, string, object]>([
  ["what the service says", 503, error("broker_unavailable", true), { code: "broker_unavailable", status: 503, retryable: true, message: "m" }],
  ["a conflict of ids", 409, error("idempotency_mismatch"), { code: "idempotency_mismatch", status: 409, retryable: false }],
  ["a code that is not known here by its status", 429, error("too_hot", true), { code: "rate_limited", status: 429, retryable: true, message: "too_hot: m" }],
  ["a code of a newer service", 400, error("new_one"), { code: "unexpected_reply", status: 400, retryable: false, message: "new_one: m" }],
  ["an error within a stream, which has the status of its code", null, error("internal"), { code: "internal", status: 500 }],
  ["a stream whose pieces are not the answer", null, error("stream_broken", true), { code: "stream_broken", status: null, retryable: true }],
  ["a proxy that cannot reach the service", 502, "<html>Bad Gateway</html>", { code: "unexpected_reply", status: 502, retryable: true }],
  ["a server that was not sent a whole request in time", 408, '{"error":"Request Timeout","message":"Client Timeout","statusCode":408}', { code: "unexpected_reply", status: 408, retryable: true }],
  ["a login page", 401, "<html>", { code: "unauthenticated", status: 401, retryable: false }],
  ["another server", 200, "hello", { code: "unexpected_reply", status: 200, retryable: false }],
])("reads %s", (_name, status, text, expected) => {
  expect(failureOf({ status, headers: headers("2") }, text, "r-1")).toMatchObject({ ...expected, name: "InferError", requestId: "r-1", retryAfterMs: 2_000 });
});

it.each([["1", 1_000], ["0", 0], ["Thu, 01 Jan 1970 00:00:10 GMT", 5_000], ["Thu, 01 Jan 1970 00:00:01 GMT", 0], ["soon", null], [undefined, null]])("a retry-after of %s is %s ms", (text, expected) => {
  expect(retryAfterMsOf(headers(text), 5_000)).toBe(expected);
});

import { expect, it } from "vitest";
import { z } from "zod";

import { badRequest, describeIssues } from "./describeIssues.ts";
import { InferBody } from "./request.ts";

const GOOD = { tenant_id: "t", user_id: "u", input: "hi", budget: 1 };
const errorOf = (schema: z.ZodType, value: unknown): z.ZodError => {
  const { error } = schema.safeParse(value);
  if (error === undefined) throw new Error("this should have been refused");
  return error;
};

it("names each place and what is wrong there, in one line", () => {
  const schema = z.object({ a: z.object({ b: z.number() }), c: z.array(z.string()) });
  const text = describeIssues(errorOf(schema, { a: { b: "x" }, c: ["y", 1] }));
  expect(text).toMatch(/^a\.b: .*; c\.1: [^\n]*$/);
});

it("says what is wrong with the whole when there is no place", () => {
  expect(describeIssues(errorOf(z.string(), 1))).toMatch(/^Invalid input/);
});

it.each([
  ["invalid_request", { ...GOOD, budget: -1 }],
  ["invalid_request", { ...GOOD, input: " " }],
  ["invalid_unicode", { ...GOOD, input: "a\0" }],
  ["invalid_unicode", { ...GOOD, user_id: "\ud800" }],
  ["invalid_unicode", { ...GOOD, budget: -1, input: "\ud800" }],
  ["invalid_unicode", { ...GOOD, metadata: { k: "\ud800" } }],
  ["invalid_unicode", { ...GOOD, metadata: { "\0": "v" } }],
  ["invalid_request", { ...GOOD, metadata: { k: { code: "\"invalid_unicode\"" }, "invalid_unicode": [] } }],
])("is %s for %j", (code, body) => {
  expect(badRequest(errorOf(InferBody, body))).toMatchObject({ code });
});

it("is text that the audit can hold, whatever was sent and wherever it is cut", () => {
  const text = describeIssues(errorOf(InferBody, { ...GOOD, "a\0\ud83c": 1, ["🌍".repeat(200)]: 1 }));
  expect([text.isWellFormed(), text.includes("\0")]).toEqual([true, false]);
});

it("does not repeat what was sent", () => {
  const secret = "sk-very-secret";
  expect(badRequest(errorOf(InferBody, { ...GOOD, budget: secret, task: secret, min_quality: secret })).publicMessage).not.toContain(secret);
});

import { createHash } from "node:crypto";

import { expect, it } from "vitest";

import { RequestId } from "#shared/contracts/ids.ts";

import { IdempotencyKey } from "./idempotencyKey.ts";

const hashed = (key: string) => createHash("sha256").update(key).digest("base64url");

it.each([
  ['"k-1"', "k-1"],
  ["k-1", "k-1"],
  [" k-1 ", "k-1"],
  ['"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"],
  ["a.b", hashed("a.b")],
  ['"a.b"', hashed("a.b")],
  ["infer.request.>", hashed("infer.request.>")],
  ["x".repeat(64), "x".repeat(64)],
  ["x".repeat(65), hashed("x".repeat(65))],
  ["x".repeat(255), hashed("x".repeat(255))],
  ['"say \\"hi\\" \\\\ bye"', hashed('say "hi" \\ bye')],
  ['it is "quoted"', hashed('it is "quoted"')],
])("%s stands for the request id %s", (header, id) => {
  expect(IdempotencyKey.parse(header)).toBe(id);
  expect(RequestId.safeParse(id).success).toBe(true);
});

it.each([
  ["nothing", ""], ["blanks", "  "], ["empty quotes", '""'], ["256 characters", "x".repeat(256)], ["256 characters in quotes", `"${"x".repeat(256)}"`],
  ["CRLF", "a\r\nb"], ["a tab", "a\tb"], ["NUL", "a\0b"], ["DEL", "a\x7fb"], ["another script", "schlüssel"],
  ["an open quote", '"a'], ["two keys", '"a", "b"'], ["an escape that there is not", '"a\\b"'], ["a quote within", '"a"b"'],
])("%s is no key", (_name, header) => {
  expect(IdempotencyKey.safeParse(header).error?.issues[0]?.message).toMatch(/1 to 255 printable ASCII/);
});

import { createHash } from "node:crypto";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Chat } from "#shared/contracts/chat.ts";

import { canonicalRequest } from "./canonicalRequest.ts";

type Asked = Parameters<typeof canonicalRequest>[0];
const CHAT: Chat = { messages: [{ role: "system", content: "Be brief." }, { role: "user", content: "Why?" }], temperature: 0, tools: [{ type: "function", function: { name: "f", parameters: { a: 1, b: [2] } } }] };
const TEXT: Asked = { input: "hi", policy: "cascade", min_quality: null, min_tier: null, max_tier: null, task: null };
const of = (over: Partial<Asked> = {}, partition = "p") => canonicalRequest({ ...TEXT, ...over }, partition);
const chat = (over: Partial<Chat> = {}) => of({ input: { ...CHAT, ...over } });
const reversed = (value: unknown): unknown => (Array.isArray(value) ? value.map(reversed) : typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value).reverse().map(([key, inner]) => [key, reversed(inner)])) : value);

describe("two requests have one answer", () => {
  it.each([
    ["with their keys in another order", of({ input: reversed(CHAT) as Chat })],
    ["with a temperature of minus zero", chat({ temperature: -0 })],
    ["that say what holds anyway", chat({ logprobs: false, stop: [] })],
    ["where the one leaves out what is undefined in the other", chat({ seed: undefined })],
  ])("%s", (_name, other) => {
    expect(other).toBe(chat());
  });

  it("with one stop as a text or as a list", () => {
    expect(chat({ stop: "END" })).toBe(chat({ stop: ["END"] }));
  });

  it("whatever the order in which tiers are allowed, and where a least quality of 0 is said or not", () => {
    expect(of({ allowed_tiers: ["b", "a"], min_quality: 0 })).toBe(of({ allowed_tiers: ["a", "b"] }));
  });

  it("whoever asks, whatever it may cost, by when, and whether it is streamed", () => {
    const whole = { ...TEXT, user_id: "u-1", request_id: "r-1", budget_nano_usd: 1, deadline_at_ms: 5, latency_slo_ms: 7, metadata: { a: 1 }, stream: true, origin: "gw-1" };
    expect(canonicalRequest(whole, "p")).toBe(of());
  });
});

describe("two requests have answers of their own", () => {
  it.each([
    ["text", of({ input: "hi " })], ["policy", of({ policy: "cheapest" })], ["least quality", of({ min_quality: 0.5 })], ["lowest tier", of({ min_tier: "a" })], ["highest tier", of({ max_tier: "a" })],
    ["allowed tiers", of({ allowed_tiers: ["a"] })], ["task", of({ task: "mail" })], ["tiers or routing model", of({}, "q")],
    ["kind: the same text as a vector", of({ input: { texts: ["hi"] } })], ["kind: the same text as a chat", of({ input: { messages: [{ role: "user", content: "hi" }] } })],
  ])("by their %s", (_name, other) => {
    expect(other).not.toBe(of());
  });

  it.each<[string, Partial<Chat>]>([
    ["temperature", { temperature: 0.1 }], ["top_p", { top_p: 0.5 }], ["length", { max_output_tokens: 5 }], ["tools", { tools: [] }], ["order of messages", { messages: CHAT.messages.toReversed() }],
    ["seed", { seed: 1 }], ["log probabilities", { logprobs: true }], ["format", { response_format: { type: "json_object" } }], ["effort", { reasoning_effort: "low" }], ["stops", { stop: "END" }],
  ])("by the %s of a chat", (_name, over) => {
    expect(chat(over)).not.toBe(chat());
  });

  it("whatever the texts: no two fields can be mistaken for others", () => {
    const text = fc.string({ minLength: 1 });
    fc.assert(fc.property(fc.tuple(text, text), fc.tuple(text, text), ([input, task], [otherInput, otherTask]) => {
      fc.pre(input !== otherInput || task !== otherTask);
      expect(of({ input, task })).not.toBe(of({ input: otherInput, task: otherTask }));
    }));
  });
});

it("takes below 30 µs for 1 KB, its hash included", () => {
  const input = { ...CHAT, messages: [{ role: "user" as const, content: "x".repeat(1_024) }] };
  const took = Array.from({ length: 2_000 }, () => {
    const startedAt = performance.now();
    createHash("sha256").update(of({ input })).digest("base64url");
    return performance.now() - startedAt;
  });
  expect(took.sort((a, b) => a - b)[200]).toBeLessThan(0.03); // one in ten: the machine may be busy
});

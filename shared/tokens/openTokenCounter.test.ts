import { beforeAll, describe, expect, it } from "vitest";

import type { Input } from "#shared/contracts/chat.ts";

import { type CountTokens, openTokenCounter } from "./openTokenCounter.ts";

let count: CountTokens;
beforeAll(async () => { count = await openTokenCounter(["o200k_base", "cl100k_base", "o200k_base"], () => 0); });
/** What a text counts as, without what a chat adds to it. */
const tokens = (text: string, tokenizer: "o200k_base" | "cl100k_base" = "o200k_base") => count(tokenizer, { texts: [text] });

/** OpenAI's cookbook, "How to count tokens with tiktoken": its example conversation, and what its API said of it. */
const EXAMPLE = [
  { role: "system" as const, content: "You are a helpful, pattern-following assistant that translates corporate jargon into plain English." },
  { role: "system" as const, name: "example_user", content: "New synergies will help drive top-line growth." },
  { role: "system" as const, name: "example_assistant", content: "Things working well together will increase revenue." },
  { role: "system" as const, name: "example_user", content: "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage." },
  { role: "system" as const, name: "example_assistant", content: "Let's talk later when we're less busy about how to do better." },
  { role: "user" as const, content: "This late pivot means we don't have time to boil the ocean for the client deliverable." },
];

describe("counts", () => {
  it.each([["o200k_base", 124], ["cl100k_base", 129]] as const)("a conversation as OpenAI's API does, %s", (tokenizer, told) => {
    expect(count(tokenizer, { messages: EXAMPLE })).toBe(told);
  });

  it("a text as the conversation that is made of it", () => {
    expect(count("o200k_base", "Is this spam?")).toBe(count("o200k_base", { messages: [{ role: "user", content: [{ type: "text", text: "Is this spam?" }] }] }));
  });

  it.each([["hello world", 2], ["", 0], ["antidisestablishmentarianism", 6]])("%j", (text, expected) => {
    expect(tokens(text, "cl100k_base")).toBe(expected);
  });

  it("what looks like a special token as the letters that it is", () => {
    expect(tokens("<|endoftext|>")).toBeGreaterThan(1);
  });

  it("a long text in slices as it would the whole, and no text as fewer tokens than it has in slices", () => {
    const sentence = " The quick brown fox jumps over the lazy dog.";
    expect(tokens(sentence.repeat(500))).toBe(500 * (tokens(sentence) ?? 0));
  });

  it("a run that has no space in slices, as hardly more tokens than the whole", () => {
    const whole = 8_000 / 8; // eight letters a token
    expect(tokens("a".repeat(8_000))).toBeGreaterThanOrEqual(whole);
    expect(tokens("a".repeat(8_000))).toBeLessThanOrEqual(whole + Math.ceil(8_000 / 512));
  });

  it("never more tokens than a text has bytes", () => {
    for (const text of ["", "a", "世界🌍", "\u0000\ud800", "!?".repeat(30), "ὓ".repeat(60)]) expect(tokens(text)).toBeLessThanOrEqual(Buffer.byteLength(text));
  });
});

describe("does not count", () => {
  const chat = (over: object): Input => ({ messages: [{ role: "user", content: "Hi" }], ...over });
  it.each<[string, Input]>([
    ["what is longer than is read in time", "Subject: Lunch? ".repeat(4_097)],
    ["a million letters without a space", "a".repeat(1_000_000)],
    ["tools", chat({ tools: [{ type: "function" }] })],
    ["a form of the answer", chat({ response_format: { type: "json_schema" } })],
    ["images", { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "https://a.example/b.png" } }] }] }],
    ["calls of tools", { messages: [{ role: "assistant", content: null, tool_calls: [{ id: "a", type: "function" }] }] }],
    ["token ids", { texts: ["a", [1, 2]] }],
  ])("%s", (_what, input) => {
    expect(count("o200k_base", input)).toBeNull();
  });
});

it("gives up when its time is up, after the slice that it is at", async () => {
  let ms = 0;
  const hurried = await openTokenCounter(["o200k_base"], () => (ms += 6));
  expect(hurried("o200k_base", "Subject: Lunch? ".repeat(2 * 32))).toBe(count("o200k_base", "Subject: Lunch? ".repeat(2 * 32)));
  expect(hurried("o200k_base", "Subject: Lunch? ".repeat(5 * 32))).toBeNull();
});

it("loads only what is asked for, and says so", async () => {
  expect(() => count("o200k_base", "a")).not.toThrow();
  const none = await openTokenCounter([]);
  expect(() => none("cl100k_base", "a")).toThrow("the tokenizer cl100k_base was not opened");
});

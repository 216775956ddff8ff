import { describe, expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };

import { chunkOf, closingChunks, openingChunk } from "./chunksOf.ts";

const DONE = Completion.parse(fixture);

describe("chunks", () => {
  const head = { requestId: "r-1", created: 7, includeUsage: false };
  it("begin with the role, name the model, and end with the reason and what was decided", () => {
    expect(openingChunk(head, "m")).toEqual({ id: "chatcmpl-r-1", object: "chat.completion.chunk", created: 7, model: "m", choices: [{ index: 0, delta: { role: "assistant", content: "", refusal: null }, finish_reason: null, logprobs: null }] });
    expect(chunkOf(head, "m", { text: "a" }).choices[0]).toEqual({ index: 0, delta: { content: "a" }, finish_reason: null, logprobs: null });
    const [last, ...more] = closingChunks(head, DONE, { explain: false });
    expect([last, more]).toMatchObject([{ model: "l-2026", choices: [{ delta: {}, finish_reason: "stop" }], optimizer: { tier: "large" } }, []]);
    expect(last).not.toHaveProperty("usage");
  });

  it("have usage only where it was asked for: null, and at last the numbers", () => {
    const counted = { ...head, includeUsage: true };
    expect([openingChunk(counted, "m").usage, ...closingChunks(counted, DONE, { explain: false })]).toMatchObject([
      null, { choices: [{ finish_reason: "stop" }], usage: null }, { choices: [], usage: { prompt_tokens: 42, completion_tokens: 6, total_tokens: 48 }, optimizer: { tier: "large" } },
    ]);
  });
});

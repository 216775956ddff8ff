import { describe, expect, it } from "vitest";

import { Chat } from "#shared/contracts/chat.ts";
import { nanoUsd } from "#shared/contracts/money.ts";

import { conversationOf, switchingRatio } from "./affinity.ts";

const system = { role: "system", content: "Be brief." }, first = { role: "user", content: "Who wrote Faust?" };
const answer = { role: "assistant", content: "Goethe." }, second = { role: "user", content: "When?" };
const chat = (...messages: object[]) => Chat.parse({ messages });
const keyOf = (tenant: string, ...messages: object[]) => conversationOf(tenant, chat(...messages))?.key;

describe("a conversation", () => {
  it("is the same in each of its turns", () => {
    expect(keyOf("t1", system, first, answer, second)).toBe(keyOf("t1", system, first));
  });

  it.each([
    ["another tenant's", keyOf("t2", system, first)],
    ["one with another first question", keyOf("t1", system, second)],
    ["one with another system message", keyOf("t1", { role: "system", content: "Be long." }, first)],
    ["one without a message of its user", keyOf("t1", system)],
  ])("is not %s", (_name, other) => {
    expect(other).not.toBe(keyOf("t1", system, first));
  });

  it("is not what a text is part of", () => {
    expect(conversationOf("t1", "Who wrote Faust?")).toBeNull();
  });

  it("has been read before up to its last question, and not at all at the first one", () => {
    const late = conversationOf("t1", chat(system, first, answer, second));
    expect(conversationOf("t1", chat(system, first))?.known_tokens).toBe(0);
    expect(late?.known_tokens).toBeGreaterThan(20);
    expect(late?.known_tokens).toBeLessThan(late?.input_tokens ?? 0);
  });
});

describe("switchingRatio", () => {
  const rates = { input_nano_usd_per_million: nanoUsd(1_000_000_000), output_nano_usd_per_million: nanoUsd(4_000_000_000), request_nano_usd: nanoUsd(0) };
  it.each([
    ["nothing where cached input has no price of its own", {}, 9_000, 1],
    ["nothing where nothing has been read before", { cached_input_nano_usd_per_million: nanoUsd(100_000_000) }, 0, 1],
    ["nothing where cached input is dearer", { cached_input_nano_usd_per_million: nanoUsd(2_000_000_000) }, 9_000, 1],
    ["what the discount is of the call: 11,000 instead of 2,900 tokens' worth", { cached_input_nano_usd_per_million: nanoUsd(100_000_000) }, 9_000, 11_000 / 2_900],
    ["more where the new one writes it all to its cache, and not only the last 1,000", { cached_input_nano_usd_per_million: nanoUsd(100_000_000), cache_write_nano_usd_per_million: nanoUsd(1_250_000_000) }, 9_000, 13_500 / 3_150],
    ["nothing where both write it all", { cached_input_nano_usd_per_million: nanoUsd(100_000_000), cache_write_nano_usd_per_million: nanoUsd(1_250_000_000) }, 0, 1],
  ])("is %s", (_name, cachedRate, known_tokens, ratio) => {
    expect(switchingRatio({ ...rates, ...cachedRate }, { input_tokens: 10_000, known_tokens }, 250)).toBeCloseTo(ratio, 9);
  });
});

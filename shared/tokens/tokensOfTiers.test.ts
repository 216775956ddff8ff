import { expect, it } from "vitest";

import type { Input } from "#shared/contracts/chat.ts";
import fixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";
import type { Tokenizer } from "#shared/contracts/tokenizer.ts";

import type { CountTokens } from "./openTokenCounter.ts";
import { makeCountedTiers, makePromptTokens, tokenizersOf } from "./tokensOfTiers.ts";

const hosted = (tokenizer?: Tokenizer, over: object = {}) => ({ kind: "openai-compatible", model: "m", base_url: "http://127.0.0.1:1", max_output_tokens: 10, ...(tokenizer === undefined ? {} : { tokenizer }), ...over });
const [first] = fixture.tiers;
const tier = (name: string, over: object) => ({ ...first, name, ...over });
const file = (...tiers: object[]) => TierFile.parse({ ...fixture, tiers, baseline_tier: "a", static_routes: { default: "a" }, default_policy: "cascade" });
/** A token for each letter, or two. Of conversations, of their texts. */
const asked: Tokenizer[] = [];
const count: CountTokens = (tokenizer, input) => {
  asked.push(tokenizer);
  const text = typeof input === "string" ? input : "texts" in input ? input.texts.join("") : input.messages.map(({ content }) => (typeof content === "string" ? content : "")).join("");
  return text.includes("!") ? null : text.length * (tokenizer === "o200k_base" ? 1 : 2);
};
const FILE = file(
  tier("a", { backend: hosted("o200k_base") }),
  tier("b", { backend: hosted("o200k_base", { system: "four" }) }),
  tier("c", { backend: undefined, replicas: [{ name: "x", backend: hosted("o200k_base") }, { name: "y", backend: hosted("cl100k_base") }] }),
  tier("d", { backend: undefined, replicas: [{ name: "x", backend: hosted("o200k_base") }, { name: "y", backend: hosted() }] }),
  tier("e", { backend: hosted() }),
);

it("counts a prompt for each tier by its tokenizer, with its system message, by the replica that counts most, and not at all where one cannot", () => {
  const countedTiers = makeCountedTiers(count);
  expect([...countedTiers(FILE, "Hi")]).toEqual([["a", 2], ["b", 2 + 4], ["c", 4]]);
  expect([...countedTiers(FILE, "Hi!")]).toEqual([]);
});

it("counts it once for each tokenizer", () => {
  asked.length = 0;
  makeCountedTiers(count)(file(tier("a", { backend: hosted("o200k_base") }), tier("b", { backend: hosted("o200k_base") })), "Hi");
  expect(asked).toEqual(["o200k_base"]);
});

it("counts a system message once for all prompts, and again when there was no time for it", () => {
  let isHurried = true;
  const hurried: CountTokens = (tokenizer, input) => (isHurried && typeof input !== "string" ? null : count(tokenizer, input));
  const countedTiers = makeCountedTiers(hurried), tiers = file(tier("a", { backend: hosted("o200k_base", { system: "four" }) }));
  expect([...countedTiers(tiers, "Hi")]).toEqual([]);
  isHurried = false;
  asked.length = 0;
  for (const prompt of ["Hi", "Hello", "Hey"]) expect([...countedTiers(tiers, prompt)]).toEqual([["a", prompt.length + 4]]);
  expect(asked.length).toBe(3 + 2); // and what surrounds a message
});

it("names the tokenizers that tiers and embedders have", () => {
  expect(new Set(tokenizersOf(FILE))).toEqual(new Set(["o200k_base", "cl100k_base"]));
  expect(tokenizersOf(file(tier("a", { backend: hosted() })))).toEqual([]);
});

it("limits a prompt by the most that a tier counts it as, estimated for those that cannot count", () => {
  const most = (input: Input, ...backends: object[]) => makePromptTokens(file(...backends.map((backend, i) => tier("abc"[i] ?? "", { backend }))), count)(input);
  expect(most("x".repeat(40), hosted("o200k_base"))).toBe(40);
  expect(most("x".repeat(40), hosted("o200k_base"), hosted("cl100k_base"))).toBe(80);
  expect(most("x".repeat(40), hosted())).toBe(10);
  expect(most("🌍", hosted("o200k_base"), hosted())).toBe(2);
  expect(most("!".repeat(40), hosted("cl100k_base"))).toBe(10);
  expect(most({ texts: ["x".repeat(36)] }, hosted("cl100k_base"))).toBe(10); // no embedder counts it
});

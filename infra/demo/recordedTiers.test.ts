import { describe, expect, it } from "vitest";

import { recordedAnswers } from "#infra/recorded/recordedAnswers.ts";
import { type OutcomeRow, readRow } from "#router/evaluation/outcomeLog.ts";
import { TierFile } from "#shared/contracts/tiers.ts";

import { chooseModels, halves, recordedItems, recordedTierFile, tierNamesOf } from "./recordedTiers.ts";

const MODELS = ["tiny-1.5B", "Mid/Model", "big"];
const line = (i: number) => ({ id: `row-${i}`, dataset: "Made Up", query: `Question ${i}?`, tiers: {
  "tiny-1.5B": { correct: i % 2, cost_usd: 1e-6 * (20 + i), prompt_tokens: 20 + i, completion_tokens: 0, confidence: 0.5, latency_ms: 100, answer: `t${i}` },
  "Mid/Model": { correct: i % 4 === 0 ? 0 : 1, cost_usd: 5e-6 * (20 + i), prompt_tokens: 20 + i, completion_tokens: 0, confidence: 0.9, latency_ms: 300, answer: "a long answer of seven words altogether" },
  big: { correct: 1, cost_usd: 25e-6 * (20 + i) + 1e-5, prompt_tokens: 20 + i, completion_tokens: 1, confidence: 1, answer: `b${i}` },
} });
const LINES = Array.from({ length: 60 }, (_, i) => line(i));
const rowsOf = (models: readonly string[]): OutcomeRow[] => LINES.map((one) => readRow(JSON.stringify(one), models));

it("chooses models that are each better than all that are cheaper, three at most", () => {
  expect(chooseModels(rowsOf(MODELS), MODELS)).toEqual(MODELS);
  expect(chooseModels(rowsOf(["big", "tiny-1.5B"]), ["big", "tiny-1.5B"])).toEqual(["tiny-1.5B", "big"]);
  const worse = rowsOf(MODELS).map((row) => ({ ...row, tiers: row.tiers.map((tier, place) => (place === 1 ? { ...tier, quality: 0 } : tier)) }));
  expect(chooseModels(worse, MODELS)).toEqual(["tiny-1.5B", "big"]);
  const four = rowsOf(MODELS).map((row) => ({ ...row, tiers: [...row.tiers.slice(0, 2), { ...row.tiers[1], cost_usd: 1, quality: 0.9 }, { ...row.tiers[2], cost_usd: 2 }] as OutcomeRow["tiers"] }));
  expect(chooseModels(four, ["a", "b", "c", "d"])).toEqual(["a", "c", "d"]);
});

it("asks nothing that was learnt from, each query once, and has other halves with another seed", () => {
  const rows = [...rowsOf(MODELS), ...rowsOf(MODELS).map((row) => ({ ...row, id: `again-${row.id}`, query: ` ${row.query}\n` }))];
  const { learnt, asked } = halves(rows, 1);
  expect(new Set([...learnt, ...asked].map(({ id }) => id))).toEqual(new Set(LINES.map(({ id }) => id)));
  expect(learnt.length).toBe(60 - asked.length);
  expect(Math.min(learnt.length, asked.length)).toBeGreaterThan(15);
  expect(halves(rows, 2).asked.map(({ id }) => id)).not.toEqual(asked.map(({ id }) => id));
});

it("names tiers after their models, as far as a tier may be called so", () => {
  expect([...tierNamesOf(["llama3.1-8b", "Mid/Model", "mid-model", "4o", "гига"]).values()]).toEqual(["llama3-1-8b", "mid-model", "tier-3", "o", "tier-5"]);
});

it("an item is worth what the log says of the tier that answered it", () => {
  const names = tierNamesOf(MODELS);
  const [item] = recordedItems(rowsOf(MODELS).slice(2, 3), MODELS, names);
  expect(item).toMatchObject({ id: "row-2", input: "Question 2?", task: "made-up" });
  expect(["tiny-1-5b", "mid-model", "big", null].map((tier) => item?.scoreOf({ tier, output: "x" }))).toEqual([0, 1, 1, 0]);
});

describe("recordedTierFile", () => {
  const answers = recordedAnswers(LINES, new Map());
  const made = () => recordedTierFile({
    models: MODELS, names: tierNamesOf(MODELS), learnt: rowsOf(MODELS), confidence: "token_logprobs", timeScale: 0.1, baseUrl: "http://127.0.0.1:1/v1", source: "log.jsonl", today: "2026-11-29",
    answers: new Map(MODELS.map((model) => [model, LINES.flatMap(({ query }) => answers.find(query, model) ?? [])])),
  });

  it("is a tier file with the log's prices, qualities and latencies", () => {
    const { tiers, baseline_tier } = TierFile.parse(made().file);
    expect([baseline_tier, tiers.map(({ name }) => name)]).toEqual(["big", ["tiny-1-5b", "mid-model", "big"]]);
    expect(tiers.map(({ price }) => price.input_nano_usd_per_million)).toEqual([1e9, 5e9, expect.any(Number)]);
    expect(tiers[1]?.prior).toEqual({ quality: 0.75, latency_p50_ms: 30, latency_p95_ms: 30 });
    expect(tiers[2]?.prior.latency_p50_ms).toBe(50); // not recorded
    expect(made().priceError).toBeLessThan(1e-6);
  });

  it("cuts no answer, and gives all tiers the same room", () => {
    const { tiers } = TierFile.parse(made().file);
    expect(tiers.map(({ backend }) => (backend?.kind === "openai-compatible" ? backend.max_output_tokens : null))).toEqual([7, 7, 7]);
  });
});

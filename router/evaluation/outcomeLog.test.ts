import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { afterAll, describe, expect, it } from "vitest";

import { readOutcomeLog, readRow, readTrainingLog } from "./outcomeLog.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-log-"));
afterAll(() => { rmSync(folder, { recursive: true }); });
const GOOD = { id: "1", dataset: "d", query: "q", subject: "kept by others", tiers: { small: { correct: 1, cost_usd: 0.001, verify_cost_usd: 0.0001, confidence: 0.9, latency_ms: 20, answer: "A" }, "llama3.1-405b": { score: 0.5, cost_usd: 0.02 } } };
const line = (change: object) => JSON.stringify({ ...GOOD, ...change });
const write = (name: string, content: string | Buffer) => { writeFileSync(join(folder, name), content); return join(folder, name); };

it("gives the tiers that were asked for, in that order, plain or compressed", async () => {
  const text = `${line({})}\n\n${line({ id: "2" })}\n`;
  const rows = await readOutcomeLog(write("log.jsonl.gz", gzipSync(text)), ["llama3.1-405b", "small"]);
  expect(rows).toEqual(await readOutcomeLog(write("log.jsonl", text), ["llama3.1-405b", "small"]));
  expect(rows.map(({ id }) => id)).toEqual(["1", "2"]);
  expect(rows[0]?.tiers).toEqual([
    { quality: 0.5, cost_usd: 0.02, verify_cost_usd: 0, confidence: null, latency_ms: null },
    { quality: 1, cost_usd: 0.001, verify_cost_usd: 0.0001, confidence: 0.9, latency_ms: 20, answer: "A" },
  ]);
});

it("has several confidences of an answer, of which those without calls cost nothing and take no time", () => {
  const confidences = { token_logprobs: { value: 0.8 }, self_verification: { value: 0.6, cost_usd: 0.001 }, sample_agreement: { value: 0.5, cost_usd: 0.002, latency_ms: 70 } };
  expect(readRow(line({ tiers: { small: { ...GOOD.tiers.small, confidences } } }), ["small"]).tiers[0]?.confidences).toEqual({
    token_logprobs: { value: 0.8, cost_usd: 0, latency_ms: 0 }, self_verification: { value: 0.6, cost_usd: 0.001, latency_ms: null }, sample_agreement: { value: 0.5, cost_usd: 0.002, latency_ms: 70 },
  });
});

describe("a row is refused that", () => {
  const small = (change: object) => line({ tiers: { small: { ...GOOD.tiers.small, ...change } } });
  it.each([
    ["is not JSON", "{", "not JSON"],
    ["has no id", line({ id: undefined }), "id: "],
    ["lacks a tier, and names those that are there", line({}), "no outcome of tier huge; there are small, llama3.1-405b", "huge"],
    ["has neither correct nor score", small({ correct: undefined }), "tiers.small.needs `correct` or `score`"],
    ["has a confidence above 1", small({ confidence: 1.5 }), "tiers.small.confidence: "],
    ["has a negative cost", small({ cost_usd: -1 }), "tiers.small.cost_usd: "],
    ["has a confidence of a source that nobody knows", small({ confidences: { magic: { value: 0.5 } } }), "tiers.small.confidences"],
    ["has a paid confidence without its price", small({ confidences: { self_verification: { value: 0.5 } } }), "tiers.small.confidences.self_verification: needs `cost_usd`: it takes calls of its own"],
    ["names a tier that every object has", line({}), "no outcome of tier constructor", "constructor"],
  ])("%s", (_name, content, message, tier = "small") => { expect(() => readRow(content, [tier])).toThrow(message); });
});

it.each([
  ["a bad row by file and line", () => write("bad.jsonl", `${line({})}\n{\n`), /bad\.jsonl:2: not JSON$/],
  ["a file that is not there", () => join(folder, "none.jsonl.gz"), /none\.jsonl\.gz: ENOENT/],
  ["a file that is not gzip", () => write("not.jsonl.gz", "text"), /not\.jsonl\.gz: incorrect header check/],
  ["a file without rows", () => write("empty.jsonl", "\n"), /empty\.jsonl: there are no rows/],
])("names %s", async (_name, file, message) => { await expect(readOutcomeLog(file(), ["small"])).rejects.toThrow(message); });

describe("a training log", () => {
  it("gives all models of each row, whichever they are, and a source for each data set", async () => {
    const file = write("train.jsonl.gz", gzipSync(`${line({})}\n${line({ dataset: "e", tiers: { other: { score: 0.25, cost_usd: 0.01 } } })}\n`));
    const rows = await readTrainingLog(file);
    expect(rows.map(({ outcomes }) => Object.keys(outcomes))).toEqual([["small", "llama3.1-405b"], ["other"]]);
    expect(rows[1]?.outcomes["other"]).toMatchObject({ quality: 0.25, cost_usd: 0.01 });
    expect(rows.map(({ source }) => source)).toEqual([`${file}#d`, `${file}#e`]);
  });
  it.each([
    ["a model's bad outcome", line({ tiers: { small: { correct: 2, cost_usd: 0 } } }), /:1: tiers\.small\.correct/],
    ["a row without models", line({ tiers: {} }), /:1: no outcome of any tier/],
    ["a row without a query", line({ query: undefined }), /:1: query: /],
  ])("refuses %s by file and line", async (_name, content, message) => { await expect(readTrainingLog(write("bad-training.jsonl", content))).rejects.toThrow(message); });
});

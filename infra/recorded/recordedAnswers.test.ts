import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { afterAll, beforeAll, expect, test } from "vitest";

import { readRecordedAnswers } from "./recordedAnswers.ts";

let folder = "";
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), "recorded-")); });
afterAll(() => rm(folder, { recursive: true, force: true }));

const ROW = { id: "a", dataset: "d", query: " Why? ", gold: "B", tiers: { big: { correct: 1, cost_usd: 0.5, answer: "B" }, small: { score: 0.2, cost_usd: 0.1, answer: 7, confidence: 0.4, latency_ms: 5 } } };
async function file(name: string, ...lines: readonly (object | string)[]): Promise<string> {
  const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
  await writeFile(join(folder, name), name.endsWith(".gz") ? gzipSync(text) : text);
  return join(folder, name);
}

test("answers by trimmed query and model, the full text before the short one, and nothing of what is correct", async () => {
  const answers = await readRecordedAnswers([await file("rows.jsonl.gz", ROW)], [await file("outputs.jsonl", { id: "a", outputs: { big: "It is B." } }, { id: "elsewhere", outputs: { big: "x" } })]);
  expect(answers.find("Why?", "big")).toEqual({ rowId: "a", query: "Why?", text: "It is B.", calls: [], costUsd: 0.5, promptTokens: null, completionTokens: null, confidence: null, latencyMs: null });
  expect(answers.find("Why?", "small")).toMatchObject({ text: "7", confidence: 0.4, latencyMs: 5 });
  expect(answers.models).toEqual([{ model: "big", queries: 1, texts: 1, calls: 0, confidences: 0, latencies: 0 }, { model: "small", queries: 1, texts: 1, calls: 0, confidences: 1, latencies: 1 }]);
});

test("of rows that repeat a query the first that has the model answers, and what is hidden is counted", async () => {
  const more = { id: "b", query: "Why?", tiers: { big: { cost_usd: 9 }, other: { cost_usd: 3, answer: "C" } } };
  const answers = await readRecordedAnswers([await file("one.jsonl", ROW), await file("two.jsonl", more)], []);
  expect(answers).toMatchObject({ rows: 2, queries: 1, hidden: 1 });
  expect(["big", "other"].map((model) => answers.find("Why?", model)?.rowId)).toEqual(["a", "b"]);
});

test("calls in place of a text, with ids that stay the same where none was recorded", async () => {
  const calls = { content: null, tool_calls: [{ name: "look", arguments: "{" }, { id: "mine", name: "look", arguments: "{}" }] };
  const outputs = await file("calls.jsonl", { id: "a", outputs: { big: calls, small: { ...calls, content: "I look." } } });
  const [first, again] = [await readRecordedAnswers([await file("rows.jsonl", ROW)], [outputs]), await readRecordedAnswers([await file("rows.jsonl", ROW)], [outputs])];
  expect(first.find("Why?", "big")).toMatchObject({ text: null, calls: [{ id: expect.stringMatching(/^call_[0-9a-f]{24}$/) as string, name: "look", arguments: "{" }, { id: "mine" }] });
  expect(first.find("Why?", "small")).toMatchObject({ text: "I look." });
  expect(again.find("Why?", "big")).toEqual(first.find("Why?", "big"));
  expect(first.find("Why?", "small")?.calls[0]?.id).not.toBe(first.find("Why?", "big")?.calls[0]?.id);
  expect(first.models).toMatchObject([{ model: "big", texts: 0, calls: 1 }, { model: "small", texts: 1, calls: 1 }]);
});

test.each([
  ["no calls", { content: null, tool_calls: [] }, "outputs.big.tool_calls: Too small"],
  ["arguments that are no text", { content: null, tool_calls: [{ name: "look", arguments: {} }] }, "outputs.big: must be a text, or {"],
  ["nothing", null, "outputs.big: must be a text, or {"],
])("an output with %s is refused by file and line", async (_what, output, message) => {
  await expect(readRecordedAnswers([await file("rows.jsonl", ROW)], [await file("output.jsonl", { id: "a", outputs: { big: output } })])).rejects.toThrow(`output.jsonl:1: ${message}`);
});

test.each([
  ["no JSON", "{", /bad\.jsonl:2: not JSON/],
  ["no cost", { id: "b", query: "x", tiers: { big: { correct: 1 } } }, /bad\.jsonl:2: tiers\.big\.cost_usd/],
  ["no models", { id: "b", query: "x", tiers: {} }, /bad\.jsonl:2: tiers: no outcome of any model/],
  ["a blank query", { id: "b", query: " ", tiers: { big: { cost_usd: 1 } } }, /bad\.jsonl:2: query/],
  ["an id that stands for two queries", { ...ROW, query: "How?" }, /bad\.jsonl:2: id a stands for another query/],
])("a row with %s is refused by file and line", async (_what, line, message) => {
  await expect(readRecordedAnswers([await file("bad.jsonl", ROW, line)], [])).rejects.toThrow(message);
});

test("an answer that is given twice is refused by file and line", async () => {
  const outputs = { id: "a", outputs: { big: "x" } };
  await expect(readRecordedAnswers([await file("rows.jsonl", ROW)], [await file("twice.jsonl", outputs, outputs)])).rejects.toThrow(/twice\.jsonl:2: the answer of big for a was given before/);
});

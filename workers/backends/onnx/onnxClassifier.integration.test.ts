import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { openHome } from "#infra/embedded/homeFolder.ts";
import { fetchOnnxRuntime } from "#infra/onnx/fetchOnnxRuntime.ts";
import { writeTinyClassifier } from "#infra/onnx/tinyClassifier.ts";
import { BackendConfig } from "#shared/contracts/tiers.ts";

import { BackendError, CutOff } from "../backendError.ts";
import { makeOnnxClassifier, type OnnxRuntime } from "./onnxClassifier.ts";

const LABELS = ["sport", "politics"];
const config = (over: object = {}) => BackendConfig.parse({ kind: "onnx", model: "topics-1", model_file: "model.onnx", tokenizer_file: "tokenizer.json", labels: LABELS, ...over }) as Extract<BackendConfig, { kind: "onnx" }>;
const options = { signal: new AbortController().signal, traceparent: "" };
let dir: string;
let runtime: OnnxRuntime;
const loadRuntime = () => Promise.resolve(runtime);
const make = (over: object = {}, folder = dir) => makeOnnxClassifier({ config: config(over), dir: folder, loadRuntime });

beforeAll(async () => {
  runtime = (await fetchOnnxRuntime(openHome(process.env), process.env, (line) => { process.stderr.write(`  ${line}\n`); })) as OnnxRuntime;
  dir = await mkdtemp(join(tmpdir(), "onnx-"));
  await writeTinyClassifier(dir, { goal: [2, 0], match: [1, 0], vote: [0, 3], nonsense: [NaN, 0] });
}, 300_000);
afterAll(() => rm(dir, { recursive: true, force: true }));

describe("a classifier", () => {
  it.each([
    ["Goal! A goal in the match.", "sport", 1 / (1 + Math.exp(-5)), 10],
    ["a vote after the match", "politics", 1 / (1 + Math.exp(-2)), 7],
  ])("says of %j: %s", async (text, output, confidence, input_tokens) => {
    const backend = await make();
    const answer = await backend.call(text, options);
    expect(answer).toEqual({ output, model: "topics-1", usage: { input_tokens, output_tokens: 1, source: "reported" }, is_sound: true, confidence: expect.closeTo(confidence, 6) as number, confidence_source: "class_probability" });
    await backend.close();
  });

  it("reads the last message of a conversation's user", async () => {
    const backend = await make();
    const messages = [{ role: "user" as const, content: "vote" }, { role: "assistant" as const, content: "politics" }, { role: "user" as const, content: "goal" }];
    expect(await backend.call({ messages }, options)).toMatchObject({ output: "sport", message: { finish_reason: "stop", refusal: null } });
    await backend.close();
  });

  it("reads the beginning of a long text, between its special tokens, and charges for the whole", async () => {
    const backend = await make({ max_tokens: 4 });
    expect(await backend.call("goal goal vote vote vote", options)).toMatchObject({ output: "sport", confidence: expect.closeTo(1 / (1 + Math.exp(-4)), 6) as number, usage: { input_tokens: 6, source: "estimated" } });
    expect(await backend.call(`goal ${"vote ".repeat(50_000)}`, options)).toMatchObject({ usage: { input_tokens: 62_502, source: "estimated" } });
    await backend.close();
  });

  it.each(["", " \n", "\u0000", "\ud83d", "?".repeat(100_000)])("answers to %j", async (text) => {
    const backend = await make();
    expect(LABELS).toContain((await backend.call(text, options)).output);
    await backend.close();
  });

  it("that gives no numbers is no answer, and costs what it read", async () => {
    const backend = await make();
    const error = await backend.call("nonsense", options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BackendError);
    expect(error).toMatchObject({ code: "backend_bad_response", usage: { input_tokens: 3 } });
    await backend.close();
  });

  it("ends a call at once whose signal aborts, free when its turn had not come, and answers the next", async () => {
    const backend = await make();
    const leaving = new AbortController();
    const [first, second] = [backend.call("goal", { ...options, signal: leaving.signal }), backend.call("goal", { ...options, signal: leaving.signal })].map((call) => call.catch((error: unknown) => error));
    leaving.abort();
    const cut = await Promise.all([first, second]);
    expect(cut.map((error) => error instanceof CutOff)).toEqual([true, true]);
    expect(cut[1]).toMatchObject({ usage: null });
    expect(await backend.call("vote", options)).toMatchObject({ output: "politics" });
    await backend.close();
  });
});

describe("what cannot be used says at the start what to do", () => {
  it("without the package", async () => {
    await expect(makeOnnxClassifier({ config: config(), dir })).rejects.toThrow("it needs the package onnxruntime-node. Run: npm install onnxruntime-node");
  });

  it.each([
    ["a missing model", { model_file: "no.onnx" }, /model_file .*no\.onnx cannot be loaded/],
    ["a missing tokenizer", { tokenizer_file: "no.json" }, /tokenizer_file .*no\.json cannot be read \(ENOENT/],
    ["a tokenizer that is none", { tokenizer_file: "model.onnx" }, /tokenizer_file .*model\.onnx cannot be used \(/],
    ["a model that is none", { model_file: "tokenizer.json" }, /model_file .*tokenizer\.json cannot be loaded \(/],
    ["other labels than classes", { labels: ["a", "b", "c"] }, "it tells 2 classes apart, and labels has 3"],
    ["no room for a word", { max_tokens: 2 }, "max_tokens 2 leaves no room beside its 2 special tokens"],
  ])("%s", async (_name, over, message) => { await expect(make(over)).rejects.toThrow(message); });

  it("a model with an input that nobody knows", async () => {
    const other = await mkdtemp(join(tmpdir(), "onnx-"));
    await writeTinyClassifier(other, { goal: [1, 0] }, ["input_ids", "pixel_values"]);
    await expect(make({}, other)).rejects.toThrow("it has an input pixel_values, and only input_ids, attention_mask and token_type_ids are known");
    await writeFile(join(other, "tokenizer.json"), "[]");
    await expect(make({}, other)).rejects.toThrow("cannot be used");
    await rm(other, { recursive: true, force: true });
  });
});

/**
 * A text classifier in the worker's own process, as an ONNX file: any model that reads `input_ids` (with `attention_mask` and
 * `token_type_ids`, where it has them) and gives one number for each label, as Hugging Face's sequence classifiers do.
 * Its runtime is a package of 290 MB that few need, so who wants it installs it (ADR 0014).
 */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import type { InferenceSession, TensorConstructor } from "onnxruntime-common";

import { askedIn, type Prompt } from "#shared/contracts/chat.ts";
import type { Usage } from "#shared/contracts/events.ts";
import type { BackendConfig } from "#shared/contracts/tiers.ts";

import type { Backend } from "../backend.ts";
import { BackendError, CutOff } from "../backendError.ts";
import { classProbabilities } from "./classProbabilities.ts";
import { makeTokenReader, type TokensRead } from "./tokenReader.ts";

const PACKAGE = "onnxruntime-node";
/** What of the package is used. */
export interface OnnxRuntime {
  readonly InferenceSession: { create(path: string, options: InferenceSession.SessionOptions): Promise<InferenceSession> };
  readonly Tensor: TensorConstructor;
}
const installed = async (): Promise<OnnxRuntime> => {
  const loaded = (await import(PACKAGE)) as { default?: OnnxRuntime } & OnnxRuntime; // CommonJS
  return loaded.default ?? loaded;
};

export interface OnnxOptions {
  readonly config: Extract<BackendConfig, { kind: "onnx" }>;
  /** What relative paths start from. */
  readonly dir: string;
  /** Default: the package, from where it was installed. */
  readonly loadRuntime?: () => Promise<OnnxRuntime>;
}

/**
 * Throws when the package or a file is missing, or the model is another kind of model than this reads; the message says what to do.
 * Calls are run one after the other, each on `threads` threads, and a run cannot be stopped: a call whose signal aborts ends at
 * once, and the next one begins when the run has ended.
 */
export async function makeOnnxClassifier({ config, dir, loadRuntime = installed }: OnnxOptions): Promise<Backend<Prompt>> {
  const { model, labels, max_tokens, threads } = config;
  const tokenizerFile = resolve(dir, config.tokenizer_file);
  const read = makeReader(tokenizerFile, await readFile(tokenizerFile, "utf8").catch((error: unknown) => fail(`tokenizer_file ${tokenizerFile} cannot be read`, error)), max_tokens);
  const { InferenceSession, Tensor } = await loadRuntime().catch((error: unknown) => fail(`it needs the package ${PACKAGE}. Run: npm install ${PACKAGE}`, error));
  const modelFile = resolve(dir, config.model_file);
  const session = await InferenceSession.create(modelFile, { intraOpNumThreads: threads, interOpNumThreads: 1 }).catch((error: unknown) => fail(`model_file ${modelFile} cannot be loaded`, error));

  const output = session.outputNames.includes("logits") ? "logits" : (session.outputNames[0] ?? "");
  const logitsOf = async ({ ids }: TokensRead): Promise<number[]> => {
    const feeds = session.inputNames.map((name) => [name, new Tensor("int64", BigInt64Array.from(ids, (id) => BigInt(valueOf(name, id))), [1, ids.length])]);
    const { [output]: logits } = await session.run(Object.fromEntries(feeds) as InferenceSession.FeedsType, [output]);
    if (logits?.type !== "float32" || logits.dims.length !== 2 || logits.dims[0] !== 1) throw new Error(`its output ${output} is ${logits?.type ?? "missing"} of shape [${logits?.dims.join(", ") ?? ""}]: it must be float32 of shape [texts, labels]`);
    return Array.from(logits.data as Float32Array);
  };
  try {
    const count = (await logitsOf(read("a"))).length;
    if (count !== labels.length) throw new Error(`it tells ${count} classes apart, and labels has ${labels.length}`);
  } catch (error) {
    await session.release();
    fail(`model_file ${modelFile} is no text classifier that can be used`, error);
  }

  let running: Promise<unknown> = Promise.resolve();
  return {
    async call(input, { signal }) {
      const tokens = read(askedIn(input));
      const usage: Usage = { input_tokens: tokens.inputTokens, output_tokens: 1, source: tokens.isCut ? "estimated" : "reported" };
      let isRunning = false;
      const run = running.then(() => {
        signal.throwIfAborted();
        isRunning = true;
        return logitsOf(tokens);
      });
      running = run.catch(() => undefined);
      const logits = await beforeAbort(run, signal).catch((error: unknown) => {
        if (signal.aborted) throw new CutOff(isRunning ? { ...usage, output_tokens: 0 } : null, { cause: error });
        throw new BackendError("backend_bad_response", `the model ${model} failed`, { mayHaveCost: true, cause: error });
      });
      const probabilities = classProbabilities(logits);
      if (probabilities === null) throw new BackendError("backend_bad_response", `the model ${model} gave no numbers`, { mayHaveCost: true, usage });
      const best = probabilities.indexOf(Math.max(...probabilities));
      const answer = { output: labels[best] ?? "", model, usage, is_sound: true, confidence: probabilities[best] ?? 0, confidence_source: "class_probability" as const };
      return typeof input === "string" ? answer : { ...answer, message: { finish_reason: "stop", refusal: null } };
    },
    async close() {
      await running;
      await session.release();
    },
  };
}

/** For one text alone: nothing is padded, and there is one segment. */
function valueOf(input: string, id: number): number {
  switch (input) {
    case "input_ids": return id;
    case "attention_mask": return 1;
    case "token_type_ids": return 0;
    default: throw new Error(`it has an input ${input}, and only input_ids, attention_mask and token_type_ids are known`);
  }
}

function makeReader(file: string, text: string, maxTokens: number): (text: string) => TokensRead {
  try {
    return makeTokenReader(JSON.parse(text), maxTokens);
  } catch (error) {
    return fail(`tokenizer_file ${file} cannot be used`, error);
  }
}

/** Names the cause in its message: that is what an operator sees. */
function fail(message: string, cause: unknown): never {
  throw new Error(`${message} (${cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause)})`, { cause });
}

/** The result, unless the signal aborts first. */
function beforeAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolvePromise, reject) => {
    const abort = (): void => { reject(signal.reason as Error); };
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolvePromise, reject).finally(() => { signal.removeEventListener("abort", abort); });
  });
}

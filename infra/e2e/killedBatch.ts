/**
 * A file of requests through `inferctl submit` on a whole system, while the client and the gateway are killed and requests that somebody
 * waits for run beside it. The model's server counts what it is asked, so what ran twice is seen.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { BatchReply, BatchResult } from "#shared/contracts/batch.ts";

import { body, getText, postJson } from "./callers.ts";
import type { System } from "./system.ts";

export interface CountingServer {
  readonly url: string;
  /** How often each question was asked. */
  readonly asked: ReadonlyMap<string, number>;
  readonly close: () => Promise<void>;
}
/** Speaks OpenAI's chat completions; each answer takes `delayMs`. */
export async function startCountingServer(delayMs: number, usage = { prompt_tokens: 10, completion_tokens: 5 }): Promise<CountingServer> {
  const asked = new Map<string, number>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
      const { messages } = JSON.parse(Buffer.concat(chunks).toString()) as { messages: { content: string }[] };
      const question = messages.at(-1)?.content ?? "";
      asked.set(question, (asked.get(question) ?? 0) + 1);
      const answer = { model: "counting", choices: [{ finish_reason: "stop", message: { role: "assistant", content: `answer to ${question}` }, logprobs: { content: [{ logprob: -0.01 }] } }], usage };
      setTimeout(() => { response.setHeader("content-type", "application/json").end(JSON.stringify(answer)); }, delayMs);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    close: () => new Promise((resolve) => {
      server.close(() => { resolve(); });
      server.closeAllConnections();
    }),
  };
}

export interface KilledBatch {
  readonly summary: BatchReply;
  readonly results: number;
  readonly distinct: number;
  /** Questions that the model was asked more than once, or not at all. */
  readonly askedTwice: number;
  readonly neverAsked: number;
  readonly seconds: number;
  /** Of requests that somebody waits for, in milliseconds; `null` where it was not measured. */
  readonly p99Ms: { readonly alone: number; readonly beside: number } | null;
}
interface Options {
  readonly lines: number;
  /** Requests of each measurement of those that somebody waits for; 0: none. */
  readonly interactive: number;
  readonly onNote: (line: string) => void;
}

/** Kills the client once and the gateway once, each in the midst of it, and goes on with the same command. */
export async function runKilledBatch(system: System, { asked }: CountingServer, { lines, interactive, onNote }: Options): Promise<KilledBatch> {
  const [file, out] = [join(system.folder, "questions.jsonl"), join(system.folder, "answers.jsonl")];
  const question = (i: number) => `question ${i}`;
  writeFileSync(file, Array.from({ length: lines }, (_, i) => JSON.stringify({ custom_id: `c-${i}`, input: question(i) })).join("\n"));
  const submit = () => system.start("submit", file, "--out", out, "--user", "nightly", "--budget", "0.01", "--tenant", "bulk", "--json");
  const latest = async (): Promise<BatchReply | undefined> => {
    const { text } = await getText(`${system.url("gateway")}/batches?tenant_id=bulk`);
    return (JSON.parse(text) as { batches: BatchReply[] }).batches[0];
  };
  const until = (share: number) => waitUntil(async () => (((await latest().catch(() => undefined))?.ended.completed ?? 0) >= share * lines ? true : undefined), { deadlineMs: 600_000, everyMs: 100, describe: () => `the batch does not get to ${share}` });
  /** Else a kill would prove nothing. */
  const whileItRuns = async (): Promise<number> => {
    const batch = await latest();
    if (batch?.status !== "running") throw new Error(`the batch is ${batch?.status ?? "not there"}, so nothing can be killed in its midst: give it more lines`);
    return batch.ended.completed;
  };

  if (interactive > 0) await latencies(system, "warm-up", 5 * PER_SECOND);
  const alone = interactive === 0 ? [] : await latencies(system, "alone", interactive);
  const startedMs = performance.now();
  const first = submit();
  await until(0.1);
  const beside = interactive === 0 ? [] : await latencies(system, "beside", interactive);
  await whileItRuns(); // they were beside it to the end
  await until(0.3);
  await killed(first);
  onNote(`killed the client at ${await whileItRuns()} of ${lines} lines`);
  await until(0.5);
  const endedBefore = await whileItRuns();
  await system.signal("gateway", "SIGKILL");
  onNote(`killed the gateway at ${endedBefore} of ${lines} lines, and start it again`);
  await system.up();
  const { stdout } = await ended(submit());
  const seconds = (performance.now() - startedMs) / 1_000;
  const results = readFileSync(out, "utf8").split("\n").filter((line) => line !== "").map((line) => BatchResult.parse(JSON.parse(line)));
  const counts = Array.from({ length: lines }, (_, i) => asked.get(question(i)) ?? 0);
  return {
    summary: BatchReply.parse(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")), results: results.length, distinct: new Set(results.map(({ custom_id }) => custom_id)).size,
    askedTwice: counts.filter((count) => count > 1).length, neverAsked: counts.filter((count) => count === 0).length, seconds,
    p99Ms: interactive === 0 ? null : { alone: quantile(alone, 0.99), beside: quantile(beside, 0.99) },
  };
}

async function killed(child: ChildProcess): Promise<void> {
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

async function ended(child: ChildProcess): Promise<{ stdout: string }> {
  const texts: string[] = [], errors: string[] = [];
  child.stdout?.on("data", (chunk: Buffer) => texts.push(chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => errors.push(chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`inferctl submit ended with ${code ?? "a signal"}: ${errors.join("").slice(-1_000)}`);
  return { stdout: texts.join("") };
}

/** As many a second, whatever the answers take: a slow one does not hold the next ones back. */
const PER_SECOND = 20;
async function latencies(system: System, run: string, count: number): Promise<number[]> {
  const url = `${system.url("gateway")}/infer`;
  const measured = await Promise.all(Array.from({ length: count }, async (_, i) => {
    await sleep((i * 1_000) / PER_SECOND);
    const startedMs = performance.now();
    const { status } = await postJson(url, body(`${run}-${i}`, `${run} ${i}`));
    if (status !== 200) throw new Error(`a request beside the batch was answered with ${status}`);
    return performance.now() - startedMs;
  }));
  return measured.sort((a, b) => a - b);
}
const quantile = (sorted: readonly number[], share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;

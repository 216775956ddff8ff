/** What tracing costs: CPU of the whole pipeline with it and without. `--help` says how to call it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpus } from "node:os";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { textTable } from "#infra/cli/textTable.ts";
import { startSystem, type System } from "#infra/e2e/system.ts";

import { cpuTimeUs } from "./cpuTime.ts";
import { load, mailBodies, processesOf } from "./pipelineLoad.ts";

const HELP = `Measures the CPU per request of two systems on this machine, one that traces and one that does not, by turns.

  npx tsx infra/bench/tracing.ts [--share 0.01] [--rounds 8] [--requests 4000] [--connections 32] [--warm-up 2000] [--limit-percent 5] [--json]

--requests and --warm-up are of each system, in each round and before the first. Which of them goes first changes with each round. CPU counts all of a
system's processes, its servers too, but not the load generator nor the receiver of spans, which is a process of its own. The overhead is the
median over rounds of what the tracing system used more. With --limit-percent it ends with 1 above that.`;

const { values: options } = parseArgs({
  options: {
    share: { type: "string", default: "0.01" }, rounds: { type: "string", default: "8" }, requests: { type: "string", default: "4000" }, connections: { type: "string", default: "32" }, "warm-up": { type: "string", default: "2000" },
    "limit-percent": { type: "string" }, json: { type: "boolean", default: false }, help: { type: "boolean", default: false },
  },
});

/** Takes spans as a collector does, and says how many it got. */
const RECEIVER = `
const got = { posts: 0, bytes: 0, spans: 0 };
const server = require("node:http").createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    if (request.method === "POST") {
      got.posts += 1;
      got.bytes += body.length;
      for (const { scopeSpans } of JSON.parse(body).resourceSpans) for (const { spans } of scopeSpans) got.spans += spans.length;
    }
    response.setHeader("content-type", "application/json").end(request.method === "POST" ? "{}" : JSON.stringify(got));
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));`;

async function startReceiver(): Promise<{ url: string; process: ChildProcess }> {
  const process = spawn(globalThis.process.execPath, ["--eval", RECEIVER], { stdio: ["ignore", "pipe", "inherit"] });
  const [port] = (await once(createInterface({ input: process.stdout }), "line")) as [string];
  return { url: `http://127.0.0.1:${port}`, process };
}

interface Arm {
  readonly name: "off" | "on";
  readonly system: System;
}
interface Measured {
  readonly cpuUsPerRequest: number;
  readonly errors: number;
}

async function measure({ system }: Arm, bodies: readonly string[]): Promise<Measured> {
  const processes = processesOf(system);
  const usageUs = () => processes.reduce((sum, { pid }) => sum + cpuTimeUs(pid), 0);
  const beforeUs = usageUs();
  const { requests, non2xx, errors } = await load(system.url("gateway"), bodies, Number(options.connections), { requests: Number(options.requests) });
  return { cpuUsPerRequest: (usageUs() - beforeUs) / requests.total, errors: non2xx + errors };
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? NaN, lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? NaN;
  return (upper + lower) / 2;
};

async function main(): Promise<void> {
  if (options.help) return void process.stdout.write(`${HELP}\n`);
  const bodies = await mailBodies();
  const receiver = await startReceiver();
  const arms: Arm[] = [];
  try {
    arms.push({ name: "off", system: await startSystem() }, { name: "on", system: await startSystem({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, INFER_TRACE_SHARE: options.share } }) });
    for (const { name, system } of arms) {
      process.stderr.write(`warming up: tracing ${name}\n`);
      await load(system.url("gateway"), bodies, Number(options.connections), { requests: Number(options["warm-up"]) });
    }
    const rounds: { off: Measured; on: Measured }[] = [];
    for (let round = 0; round < Number(options.rounds); round++) {
      process.stderr.write(`round ${round + 1} of ${options.rounds}\n`);
      const found = new Map<Arm["name"], Measured>();
      for (const arm of round % 2 === 0 ? arms : [...arms].reverse()) found.set(arm.name, await measure(arm, bodies));
      const [off, on] = [found.get("off"), found.get("on")];
      if (off !== undefined && on !== undefined) rounds.push({ off, on });
    }
    await report(rounds, receiver.url);
  } finally {
    for (const { system } of arms) await system.remove();
    receiver.process.kill();
  }
}

async function report(rounds: readonly { off: Measured; on: Measured }[], receiverUrl: string): Promise<void> {
  const received = (await (await fetch(receiverUrl)).json()) as { posts: number; bytes: number; spans: number };
  const requests = Number(options["warm-up"]) + Number(options.rounds) * Number(options.requests);
  const percents = rounds.map(({ off, on }) => 100 * (on.cpuUsPerRequest / off.cpuUsPerRequest - 1));
  const overheadPercent = median(percents);
  const setting = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version, share: Number(options.share), connections: Number(options.connections), requests_per_round: Number(options.requests) };
  const errors = rounds.reduce((sum, { off, on }) => sum + off.errors + on.errors, 0);
  if (options.json) process.stdout.write(`${JSON.stringify({ setting, rounds, overhead_percent: overheadPercent, errors, received, spans_per_request: received.spans / requests }, null, 2)}\n`);
  else {
    const rows = rounds.map(({ off, on }, i) => [String(i + 1), off.cpuUsPerRequest.toFixed(0), on.cpuUsPerRequest.toFixed(0), (percents[i] ?? NaN).toFixed(1)]);
    process.stdout.write(`${textTable(["ROUND", "OFF µS/REQ", "ON µS/REQ", "MORE %"], rows)}\n\noverhead: ${overheadPercent.toFixed(2)} % of CPU (median of ${rounds.length} rounds, from ${Math.min(...percents).toFixed(1)} to ${Math.max(...percents).toFixed(1)})\n`);
    process.stdout.write(`spans received: ${received.spans} in ${received.posts} posts, ${(received.spans / requests).toFixed(3)} per request; errors: ${errors}\n`);
  }
  if (errors > 0 || (options["limit-percent"] !== undefined && !(overheadPercent <= Number(options["limit-percent"])))) process.exitCode = 1;
}

await main();

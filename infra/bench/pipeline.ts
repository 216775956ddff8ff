/** Requests per second, latency and CPU of the whole pipeline with the local tiers, audit on. `--help` says how to call it. */
import { cpus } from "node:os";
import { parseArgs } from "node:util";

import { type System, startSystem } from "#infra/e2e/system.ts";
import { textTable } from "#infra/cli/textTable.ts";

import { cpuTimeUs } from "./cpuTime.ts";
import { load, mailBodies, processesOf } from "./pipelineLoad.ts";

const HELP = `Measures the pipeline over HTTP on a system of its own, with held-out mails as requests.

  npx tsx infra/bench/pipeline.ts [--connections 1,32,256] [--seconds 10] [--single-process] [--json]

Closed loop; 10 s of warming up, and 3 s before each figure. CPU counts every process but the load generator.`;

const { values: options } = parseArgs({
  options: { connections: { type: "string", default: "1,32,256" }, seconds: { type: "string", default: "10" }, "single-process": { type: "boolean", default: false }, json: { type: "boolean", default: false }, help: { type: "boolean", default: false } },
});

interface Figure {
  readonly connections: number;
  readonly requests: number;
  readonly errors: number;
  readonly requests_per_s: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly cpu_us_per_request: Record<string, number>;
}

const WARM_UP_S = 3;
async function measure(system: System, bodies: readonly string[], connections: number, seconds: number): Promise<Figure> {
  const processes = processesOf(system);
  const usage = () => processes.map(({ pid }) => cpuTimeUs(pid));
  await load(system.url("gateway"), bodies, connections, { seconds: WARM_UP_S });
  const before = usage();
  const { requests, latency, non2xx, errors, duration } = await load(system.url("gateway"), bodies, connections, { seconds });
  const after = usage();
  const perRequest = processes.map(({ name }, i) => [name, Math.round(((after[i] ?? 0) - (before[i] ?? 0)) / requests.total)] as const);
  return {
    connections, requests: requests.total, errors: non2xx + errors, requests_per_s: Math.round(requests.total / duration),
    p50_ms: latency.p50, p99_ms: latency.p99,
    cpu_us_per_request: { ...Object.fromEntries(perRequest), all: perRequest.reduce((sum, [, us]) => sum + us, 0) },
  };
}

function print(figures: readonly Figure[]): void {
  const names = Object.keys(figures[0]?.cpu_us_per_request ?? {});
  const rows = figures.map((f) => [f.connections, f.requests, f.errors, f.requests_per_s, f.p50_ms, f.p99_ms].map(String));
  process.stdout.write(`${textTable(["CONNECTIONS", "REQUESTS", "ERRORS", "REQ/S", "P50 MS", "P99 MS"], rows)}\n\nCPU per request, µs:\n`);
  process.stdout.write(`${textTable(["CONNECTIONS", ...names.map((name) => name.toUpperCase())], figures.map((f) => [String(f.connections), ...names.map((name) => String(f.cpu_us_per_request[name]))]))}\n`);
}

async function main(): Promise<void> {
  if (options.help) return void process.stdout.write(`${HELP}\n`);
  const mails = await mailBodies();
  const system = await startSystem({ isSingleProcess: options["single-process"] });
  try {
    process.stderr.write("warming up: 10 s at 32 connections\n");
    await load(system.url("gateway"), mails, 32, { seconds: 10 }); // cold code costs several times as much
    const figures: Figure[] = [];
    for (const connections of options.connections.split(",").map(Number)) {
      process.stderr.write(`measuring at ${connections} connections\n`);
      figures.push(await measure(system, mails, connections, Number(options.seconds)));
    }
    const setting = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version, durability: "fast", audit: "on", policy: "cascade", single_process: options["single-process"] };
    if (options.json) process.stdout.write(`${JSON.stringify({ setting, figures }, null, 2)}\n`);
    else print(figures);
    if (figures.some(({ errors }) => errors > 0)) process.exitCode = 1;
  } finally {
    await system.remove();
  }
}

await main();

/** `make bench-peers`: this system beside others, in one interleaved run. `--help` says how to call it. */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";

import { startChildServer } from "./childServer.ts";
import { measureFloor } from "./floor.ts";
import { type Figures, measure } from "./measure.ts";
import { type Cell, peersReport, type PeersRun } from "./report.ts";
import { startTarget, type TargetName } from "./targets.ts";

const HELP = `Compares this system, as a user starts it with everything on, with Portkey's gateway, a bare Fastify proxy and the model itself: all in front of the same
OpenAI-compatible model, one after the other in each round, and the bare hops of its streams in the same run.

  make bench-peers ARGS="[--rounds 3] [--seconds 8] [--connections 1,32,256] [--delays 0,50] [--targets direct,proxy,portkey,ours,ours-strict] [--rates 100,200] [--out FILE] [--json]"

  --rounds       each target has its turn in each of them, in another order (default 3)
  --seconds      of each figure, after warming up (default 8)
  --connections  closed loop (default 1,32,256)
  --delays       of the model, in milliseconds (default 0,50)
  --rates        open loop, requests per second at a delay of 50 ms: latency counts from when a request was due (default 100,300; none: "")
  --out          the whole run as JSON into a file
  --json         the same to standard output

CPU counts every process between the caller and the model, servers too. What was on: validation, API keys, limits, budgets, ledger, traces sampled
at 1 %, audit into Postgres. On a machine with nothing else to do about 25 minutes.`;

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" }, seconds: { type: "string", default: "8" }, connections: { type: "string", default: "1,32,256" }, delays: { type: "string", default: "0,50" },
    targets: { type: "string", default: "direct,proxy,portkey,ours,ours-strict" }, rates: { type: "string", default: "100,300" }, out: { type: "string" }, json: { type: "boolean", default: false }, help: { type: "boolean", default: false },
  },
});

const WARM_UP_S = 25;
const FLOOR_CALLERS = 32;
const OPEN_LOOP_DELAY_MS = 50;
/** An open loop needs as many as are under way at once when a target falls behind. */
const OPEN_LOOP_CONNECTIONS = 512;

const numbers = (text: string): number[] => text.split(",").filter((one) => one !== "").map(Number);
const note = (line: string): void => { process.stderr.write(`  ${line}\n`); };

async function main(): Promise<void> {
  if (options.help) return void process.stdout.write(`${HELP}\n`);
  const [rounds, seconds] = [Number(options.rounds), Number(options.seconds)];
  const targets = options.targets.split(",") as TargetName[];
  const cells: Cell[] = [], floor: number[] = [];
  for (let round = 0; round < rounds; round++) {
    note(`round ${round + 1} of ${rounds}: bare hops`);
    floor.push(await measureFloor(FLOOR_CALLERS, seconds));
    for (const delayMs of numbers(options.delays)) {
      const model = await startChildServer("mockServer.ts", [String(delayMs)]);
      try {
        const turn = round % targets.length;
        for (const name of [...targets.slice(turn), ...targets.slice(0, turn)]) cells.push(...(await turnOf(name, { round, delayMs, modelPort: model.port, seconds })));
      } finally {
        await model.end();
      }
    }
  }
  const run: PeersRun = { setting: { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version, seconds, rounds }, cells, floor_requests_per_s: floor };
  if (options.out !== undefined) writeFileSync(options.out, `${JSON.stringify(run, null, 2)}\n`);
  process.stdout.write(options.json ? `${JSON.stringify(run, null, 2)}\n` : peersReport(run));
}

async function turnOf(name: TargetName, { round, delayMs, modelPort, seconds }: { round: number; delayMs: number; modelPort: number; seconds: number }): Promise<Cell[]> {
  note(`round ${round + 1}: ${name}, a model of ${delayMs} ms`);
  const target = await startTarget(name, `http://127.0.0.1:${modelPort}/v1`);
  try {
    await measure(target, { connections: 32, seconds: WARM_UP_S });
    const cells: Cell[] = [];
    const add = (load: Cell["load"], figures: Figures) => {
      note(`    ${"connections" in load ? `c=${load.connections}` : `${load.per_s}/s`}: ${figures.requests_per_s.toFixed(0)} requests/s, p50 ${figures.p50_ms.toFixed(2)} ms, p99 ${figures.p99_ms.toFixed(1)} ms, CPU ${figures.cpu_us_all.toFixed(0)} us, errors ${figures.errors}`);
      cells.push({ target: name, round, delay_ms: delayMs, load, figures });
    };
    for (const connections of numbers(options.connections)) add({ connections }, await measure(target, { connections, seconds }));
    if (delayMs === OPEN_LOOP_DELAY_MS) for (const per_s of numbers(options.rates)) add({ per_s }, await measure(target, { connections: OPEN_LOOP_CONNECTIONS, seconds, per_s }));
    return cells;
  } finally {
    await target.end();
  }
}

await main();

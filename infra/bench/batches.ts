/** `npm run bench:batches`: a batch that is killed twice, and what it costs those who wait for their answers beside it. */
import { cpus } from "node:os";
import { parseArgs } from "node:util";

import { runKilledBatch, startCountingServer } from "#infra/e2e/killedBatch.ts";
import { startSystem } from "#infra/e2e/system.ts";

const HELP = `Submits a batch to a system that it starts itself, kills the client and the gateway in the midst of it, goes on, and checks that every
line has one result and that the model was asked once for each. Before the kills, requests that somebody waits for run beside it.

  npm run bench:batches -- [--lines <n>] [--interactive <n>] [--window <n>] [--json]

  --lines        of the batch (default 20000)
  --interactive  requests of each measurement, 20 a second (default 1200)
  --window       lines that run at once (INFER_BATCH_WINDOW; default: as the gateway's)

Ends with 1 when a line has no result or ran twice, or when the p99 of those that somebody waits for rises by 20 % or more.`;

const MODEL_MS = 50;
/** Of the p99 beside the batch to that without it. */
const MOST_RATIO = 1.2;

const { values } = parseArgs({ options: { lines: { type: "string", default: "20000" }, interactive: { type: "string", default: "1200" }, window: { type: "string" }, json: { type: "boolean" }, help: { type: "boolean" } } });
if (values.help === true) {
  process.stdout.write(`${HELP}\n`);
} else {
  const note = (line: string) => { process.stderr.write(`  ${line}\n`); };
  const lines = Number(values.lines);
  const models = await startCountingServer(MODEL_MS);
  const system = await startSystem({ env: values.window === undefined ? {} : { INFER_BATCH_WINDOW: values.window }, tiers: { serverUrl: models.url, tiers: [{ name: "alpha", slots: 64, batch_slots: 16 }] } });
  try {
    const found = await runKilledBatch(system, models, { lines, interactive: Number(values.interactive), onNote: note });
    const machine = `${cpus().length} x ${cpus()[0]?.model.trim() ?? "?"}, Node ${process.versions.node}`;
    const ratio = found.p99Ms === null ? null : found.p99Ms.beside / found.p99Ms.alone;
    if (values.json === true) process.stdout.write(`${JSON.stringify({ ...found, ratio, machine })}\n`);
    else {
      process.stdout.write([
        `${machine}; a model of ${MODEL_MS} ms, 64 slots of which batches have 16; durability fast, audit on`,
        `${lines} lines in ${found.seconds.toFixed(1)} s, client and gateway killed once each: ${found.results} results of ${found.distinct} lines, ${found.askedTwice} asked twice, ${found.neverAsked} never asked`,
        ...(found.p99Ms === null || ratio === null ? [] : [`p99 of requests that somebody waits for: ${found.p99Ms.alone.toFixed(1)} ms alone, ${found.p99Ms.beside.toFixed(1)} ms beside the batch (${ratio.toFixed(2)} x)`]),
      ].map((line) => `${line}\n`).join(""));
    }
    const isWhole = found.results === lines && found.distinct === lines && found.askedTwice === 0 && found.neverAsked === 0;
    process.exitCode = isWhole && (ratio ?? 0) < MOST_RATIO ? 0 : 1;
  } finally {
    await system.remove();
    await models.close();
  }
}

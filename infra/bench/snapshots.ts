/** What signing a job's snapshot and reading it again from a result cost a router, by CPU time: `npm run bench:snapshots`. */
import { Job, Result } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { messagesAfter, readSaga } from "#shared/saga/messagesAfter.ts";
import { makeSnapshots } from "#router/snapshots.ts";

const RUNS = 1_000;
const streams = { last: () => Promise.resolve(null) };
const [signing, plain] = [["k".repeat(32)], []].map((keys) => makeSnapshots({ keys, streams, prefix: "infer" }));
if (signing === undefined || plain === undefined) throw new Error("two were made");

/** Microseconds of CPU for one run, the least of five rounds. */
async function costOf(run: () => unknown): Promise<number> {
  const rounds: number[] = [];
  for (let round = 0; round < 6; round++) {
    const before = process.cpuUsage();
    for (let i = 0; i < RUNS; i++) await run();
    const { user, system } = process.cpuUsage(before);
    if (round > 0) rounds.push((user + system) / RUNS); // the first one warms up
  }
  return Math.min(...rounds);
}

for (const inputBytes of [100, 4_000, 100_000]) {
  const job = Job.parse({ ...jobFixture, request: { ...jobFixture.request, input: "x".repeat(inputBytes) } });
  const signed = signing.sign(job);
  const ran = { attempt: 3, tier: "large", model: "m", started_at_ms: 1, latency_ms: 1, tries: 1, usage: null, cost_nano_usd: nanoUsd(0), cost_is_partial: false, outcome: { kind: "answered", is_sound: true, confidence: 0.1, confidence_source: "c" } } as const;
  const [made] = messagesAfter(job.request, readSaga(job.saga), { type: "RESULT", result: ran, output: "no idea" }, { nowMs: 1, traceId: "t" });
  const encode = (body: object) => ({ subject: "infer.result.t1.r-1.3", data: new TextEncoder().encode(JSON.stringify(body)) });
  const withRouted = encode({ ...made, routed: { saga: signed.saga, signature: signed.signature } });
  const without = encode({ ...made });
  const sign = (await costOf(() => signing.sign(job))) - (await costOf(() => plain.sign(job)));
  const read = await costOf(() => signing.open(withRouted)), readPlain = await costOf(() => plain.open(without)), parse = await costOf(() => readEvent(Result, "infer", without));
  process.stdout.write(`prompt of ${inputBytes} bytes: result ${without.data.length} -> ${withRouted.data.length} bytes; sign ${sign.toFixed(0)} µs; read ${readPlain.toFixed(0)} -> ${read.toFixed(0)} µs (of which the schema ${parse.toFixed(0)})\n`);
}

/** `npm run soak`: a nemesis strikes for hours, in periods with a quarter of quiet, and after each everything is checked (F34). */
import { cpSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { residentBytes } from "#infra/residentBytes.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { positive, wholeNumber } from "./arguments.ts";
import { ALL_CASES } from "./cases/allCases.ts";
import { isGrowing, type MemorySample, trendsOf, trendText } from "./flatMemory.ts";
import { startLoad } from "./load.ts";
import { observe, startWatch } from "./observe.ts";
import { brokenOf, judge, keyOf, type Observed } from "./oracle.ts";
import { shuffled } from "./pick.ts";
import { type Rig, startRig } from "./rig.ts";
import { makeTrial, refusalsOf } from "./trial.ts";
import { warmUp } from "./warmUp.ts";

const HELP = `Breaks the real system again and again in ways of chance while it works, and checks after each period that nothing was lost, done or charged twice, or seen by another tenant.

  npm run soak -- --hours <n> [--rate <requests/s>] [--seed <n>]

  --hours  how long; the period that has begun is finished
  --rate   requests per second, whatever the faults do (default 200; a small machine takes 10)
  --seed   of faults, load and network (default 1)

Example: npm run soak -- --hours 0.1 --rate 10 --seed 7
Ends with 1 at the first period that broke a promise, or when a process's memory grew by more than a tenth from the first to the last third of the quiet times of a run
of half an hour or more; with 2 when it could not run.`;

/** Of one after the other, without healing between them: what one has killed is dead when the next strikes. */
const MOST_FAULTS = 3;
const BEFORE_MS = 3_000;
const SETTLE_MS = 90_000;
/** What a young process allocates is no leak. */
const SHORTEST_FOR_MEMORY_MS = 1_800_000;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { hours: { type: "string" }, rate: { type: "string", default: "200" }, seed: { type: "string", default: "1" }, help: { type: "boolean", default: false } } });
  if (values.help) return void process.stdout.write(`${HELP}\n`);
  if (values.hours === undefined) throw new Error("--hours says how long; --help shows an example");
  const forMs = positive("hours", values.hours) * 3_600_000;
  const seed = wholeNumber("seed", values.seed);
  const rig = await startRig({ random: seededRandom(seed) });
  const interrupted = () => void rig.close().finally(() => { process.exit(130); });
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  try {
    await warmUp(rig);
    const isFine = await soak(rig, { forMs, ratePerS: positive("rate", values.rate), seed });
    if (!isFine) {
      const kept = join(tmpdir(), `infer-soak-logs-${seed}`);
      cpSync(join(rig.folder, "logs"), kept, { recursive: true });
      note(`logs of all processes: ${kept}`);
      process.exitCode = 1;
    }
  } finally {
    await rig.close();
  }
}

async function soak(rig: Rig, { forMs, ratePerS, seed }: { readonly forMs: number; readonly ratePerS: number; readonly seed: number }): Promise<boolean> {
  const random = seededRandom(seed);
  const endMs = performance.now() + forMs;
  const samples: MemorySample[] = [];
  const servers: MemorySample[] = []; // told, not held to be flat: NATS keeps each subject in memory for as long as its message
  const totals = { periods: 0, requests: 0, extraCalls: 0, refused: 0 };
  while (performance.now() < endMs) {
    totals.periods += 1;
    const { broken, sent, extraCalls, refused, memory, ofServers } = await onePeriod(rig, { number: totals.periods, ratePerS, random });
    totals.requests += sent;
    totals.extraCalls += extraCalls;
    totals.refused += refused;
    samples.push(memory);
    servers.push(ofServers);
    if (broken.length > 0) {
      note(`BROKEN in period ${totals.periods}, seed ${seed}: ${broken.join("; ")}`);
      return false;
    }
  }
  const trends = trendsOf(samples);
  const grown = trends.filter(isGrowing).map(trendText);
  if (trends.length > 0) note(`memory, first to last third of the quiet times: ${[...trends, ...trendsOf(servers)].map(trendText).join(", ")}`);
  const isLong = forMs >= SHORTEST_FOR_MEMORY_MS;
  if (grown.length > 0) note(`${isLong ? "BROKEN: memory grows" : "memory grew, in a run too short to say more"}: ${grown.join(", ")}`);
  note(`${totals.periods} periods, ${totals.requests} requests, ${totals.extraCalls} calls made again, ${totals.refused} callers refused to the end: nothing lost, done twice, charged twice or seen by another tenant`);
  return !isLong || grown.length === 0;
}

async function onePeriod(rig: Rig, { number, ratePerS, random }: { readonly number: number; readonly ratePerS: number; readonly random: () => number }) {
  rig.backend.forget();
  rig.exits.splice(0);
  const watch = await startWatch(rig);
  const startedAtMs = performance.now();
  const load = await startLoad(rig, { name: `soak-${number}-${Date.now().toString(36)}`, ratePerS, random: seededRandom(Math.floor(random() * 2 ** 31)) });
  const { trial, notes } = makeTrial(rig, load, random, () => undefined);
  const faults = shuffled(ALL_CASES.filter(({ isForSoak }) => isForSoak), random).slice(0, 1 + Math.floor(random() * MOST_FAULTS));
  note(`period ${number}: ${faults.map(({ id }) => id).join(", ")}`);
  await sleep(BEFORE_MS);
  for (const { id, strike } of faults) await strike(trial).catch((error: unknown) => { trial.violated(`${id} could not strike: ${String(error)}`); }); // what it strikes by may be away, by the fault before it
  await rig.heal();
  await sleep((performance.now() - startedAtMs) / 3); // a quarter of the whole
  const memory: MemorySample = { rss: Object.fromEntries(rig.roles().map((name) => [name, rig.role(name).rssBytes()])) };
  const ofServers: MemorySample = { rss: Object.fromEntries(rig.serverNames.map((name) => [name, residentBytes(rig.server(name).info().process?.pid ?? 0)])) };
  await load.stop();
  await rig.heal(); // what died late, too
  const observed = await observe(rig, load, watch, { deadlineMs: SETTLE_MS, note });
  const refused = refusedToTheEnd(observed);
  const verdict = judge(observed, { ...notes, unanswered: refused });
  watch.end();
  const broken = [...brokenOf(verdict).map(({ name, count, examples }) => `${name}: ${count} (${examples.join("; ")})`), ...refusalsOf(load.sent).wrong.map((refusal) => `an outage was told as the caller's error: ${refusal}`)];
  for (const what of notes.violations) note(`not as planned, where several faults meet: ${what}`);
  note(`period ${number}: ${load.sent.length} sent, ${verdict.accepted} accepted, ${verdict.terminal} terminal, ${verdict.extraCalls} calls made again, ${refused} refused to the end, most ${Math.round(Math.max(...Object.values(memory.rss)) / 2 ** 20)} MiB, ${Math.round((performance.now() - startedAtMs) / 1_000)} s`);
  return { broken, sent: load.sent.length, extraCalls: verdict.extraCalls, refused, memory, ofServers };
}

/**
 * Callers that were told each time to come back later, until they came no more, and whose request was not accepted by then: another caller may have had it accepted later. While some processes of a machine that is busy
 * without a fault are down, that is what a service has to say; the cases, whose load is a small part of what the machine can do, allow none.
 */
function refusedToTheEnd({ sent, requests, completions }: Pick<Observed, "sent" | "requests" | "completions">): number {
  const accepted = new Set<string>(requests);
  const acceptedAtMs = new Map<string, number>(completions.map((one) => [keyOf(one), one.accepted_at_ms]));
  return sent.reduce((sum, { tenant, id, isAccepted, lastAsksMs }) => {
    const key = `${tenant}/${id}`;
    const fromMs = acceptedAtMs.get(key) ?? (isAccepted || accepted.has(key) ? -Infinity : Infinity);
    return sum + lastAsksMs.filter((askedAtMs) => askedAtMs < fromMs).length;
  }, 0);
}

const note = (line: string): void => void process.stderr.write(`  ${line}\n`);

// Callers of the load may still be waiting, and Node's own clean-up of what they left has been seen to turn for ever.
main().then(() => process.exit(), (error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(2);
});

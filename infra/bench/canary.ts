/** How many labels it takes until a canary that is worse is rolled back, simulated and in a whole system. `--help` says how to call it. */
import { parseArgs } from "node:util";

import { textTable } from "#infra/cli/textTable.ts";
import { body, connectBroker, postJson, recordOf } from "#infra/e2e/callers.ts";
import { startSystem } from "#infra/e2e/system.ts";
import { evidenceNeeded } from "#router/experimentStep.ts";
import type { ExperimentWatch } from "#shared/contracts/experiment.ts";
import { makeExperimentStore } from "#shared/messaging/experimentStore.ts";
import { every, pause } from "#shared/runtime/lifecycle.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { questionFor, scoreOf, startAnswerServer } from "./canaryWorld.ts";
import { labelsUntilRollback, type SimulatedCanary } from "./simulatedCanary.ts";
import { requestsUntilRollback, type SimulatedArm } from "./simulatedExcess.ts";

const HELP = `Says how many labelled requests it takes until a canary that is worse than the control is rolled back.

  npm run bench:canary -- [--runs 1000] [--most-labels 40000] [--seed 1] [--simulated | --system] [--json]

Simulated: streams of labels whose means are known, through the test of the router (router/learning/lossTest.ts), and of requests
that fail, are late or cost more with known probabilities, through its guards (router/outcomeStep.ts).
In a whole system: two models whose answers are right in 90 and 85 of 100 requests. The canary asks the second for 10 % of the
requests; each answer is judged over HTTP. It must be rolled back by itself, within the labels in which 95 % of the simulated
runs were. Ends with 1 when it was not. The system has its own servers and takes some minutes.`;

const { values: options } = parseArgs({
  options: { runs: { type: "string", default: "1000" }, "most-labels": { type: "string", default: "40000" }, seed: { type: "string", default: "1" }, simulated: { type: "boolean", default: false }, system: { type: "boolean", default: false }, json: { type: "boolean", default: false }, help: { type: "boolean", default: false } },
});

const MAX_LOSS = 0.02, RISK = 0.05;
const NEEDED = evidenceNeeded({ arms: [{ name: "control", policy: "", share: 0.9 }, { name: "canary", policy: "", share: 0.1 }], metric: { risk: RISK } }).quality;
/** In a whole system, and the first of the simulated. */
const SHOWN = { share: 0.1, controlQuality: 0.9, canaryQuality: 0.85 };
const WORLDS: readonly Pick<SimulatedCanary, "share" | "controlQuality" | "canaryQuality">[] = [
  SHOWN, { share: 0.1, controlQuality: 0.95, canaryQuality: 0.9 }, { share: 0.5, controlQuality: 0.9, canaryQuality: 0.85 }, { share: 0.1, controlQuality: 0.9, canaryQuality: 0.8 }, { share: 0.1, controlQuality: 0.9, canaryQuality: 0.5 },
  { share: 0.1, controlQuality: 0.9, canaryQuality: 0.9 }, { share: 0.1, controlQuality: 0.9, canaryQuality: 0.88 }, { share: 0.5, controlQuality: 0.9, canaryQuality: 0.88 }, { share: 0.1, controlQuality: 0.98, canaryQuality: 0.96 },
];

/** Of what `inferctl experiment start` takes when nothing is said. */
const GUARDED = {
  arms: [{ name: "control", policy: "cascade-routing", share: 0.9 }, { name: "canary", policy: "predictive", share: 0.1 }],
  metric: { quality: "feedback" as const, max_loss: MAX_LOSS, risk: RISK, max_late: 0.05, late_after_ms: null, max_extra_cost: 0.2 },
};
const USUAL: SimulatedArm = { failed: 0.01, late: 0.1, cost: 1_000 };
/** What is worse about the canary; the last three are as much worse as is tolerated. */
const EXCESSES: readonly (readonly [string, Partial<SimulatedArm>])[] = [
  ["50 % fail, control 1 %", { failed: 0.5 }], ["10 % fail, control 1 %", { failed: 0.1 }],
  ["50 % late, control 10 %", { late: 0.5 }], ["30 % late, control 10 %", { late: 0.3 }], ["20 % late, control 10 %", { late: 0.2 }],
  ["costs 3 times as much", { cost: 3_000 }], ["costs twice as much", { cost: 2_000 }], ["costs 50 % more", { cost: 1_500 }],
  ["nothing", {}], ["3 % fail, control 1 %", { failed: 0.03, late: 0.08 }], ["15 % late, control 10 %", { late: 0.15 }], ["costs 20 % more", { cost: 1_200 }],
];
const LOOK_EVERY = 100;

const NAME = "bench";

type World = (typeof WORLDS)[number];
interface Figure extends World {
  readonly runs: number;
  /** Share of runs in which it was rolled back. */
  readonly rolledBack: number;
  readonly median: number | null;
  /** Of all runs; `null`: more than one in twenty were not rolled back. */
  readonly within95: number | null;
}
function simulate(world: World, runs: number, mostLabels: number, seed: number): Figure {
  const found = Array.from({ length: runs }, (_, run) => labelsUntilRollback({ ...world, maxLoss: MAX_LOSS, needed: NEEDED, mostLabels, random: seededRandom(seed * 1_000_003 + run) }));
  return { ...world, runs, ...quantiles(found) };
}
function quantiles(found: readonly (number | null)[]): Pick<Figure, "rolledBack" | "median" | "within95"> {
  const sorted = found.filter((one) => one !== null).sort((a, b) => a - b);
  const at = (share: number): number | null => sorted[Math.ceil(share * found.length) - 1] ?? null;
  return { rolledBack: sorted.length / found.length, median: at(0.5), within95: at(0.95) };
}

interface ExcessFigure {
  readonly what: string;
  readonly rolledBack: number;
  readonly median: number | null;
  readonly within95: number | null;
}
function simulateExcess([what, over]: (typeof EXCESSES)[number], { runs, mostRequests, seed }: { readonly runs: number; readonly mostRequests: number; readonly seed: number }): ExcessFigure {
  const found = Array.from({ length: runs }, (_, run) => requestsUntilRollback({ experiment: GUARDED, control: USUAL, canary: { ...USUAL, ...over }, mostRequests, lookEvery: LOOK_EVERY, random: seededRandom(seed * 1_000_003 + run) }));
  return { what, ...quantiles(found) };
}

interface Shown {
  readonly labels: number;
  readonly canaryLabels: number;
  readonly requests: number;
  readonly seconds: number;
  /** Sent after the rollback was written, and given to the canary by a router or gateway that had not seen it. */
  readonly lateRequests: number;
}
const CALLERS = 16;
/** Judged requests that are not counted yet; more would be sent in vain. */
const MOST_UNCOUNTED = 64;
const LOOK_EVERY_MS = 50;
/** Far beyond what is expected: whoever waits for longer has found a bug. */
const MOST_IN_SYSTEM = 60_000;

async function show(seed: number): Promise<Shown | null> {
  const models = await startAnswerServer();
  const tiers = [{ name: "cheap", usd_per_million: 1 }, { name: "dear", usd_per_million: 100 }];
  const system = await startSystem({ tiers: { serverUrl: models.url, tiers } });
  const broker = await connectBroker(system.url("nats"));
  const store = makeExperimentStore(broker.nats, "infer");
  const isOver = new AbortController();
  try {
    const random = seededRandom(seed);
    await system.inferctl("experiment", "start", "--name", NAME, "--control", "always-dear", "--canary", "always-cheap", "--share", `${100 * SHOWN.share}%`, "--margin", `${100 * MAX_LOSS}%`, "--risk", `${100 * RISK}%`);
    let sent = 0, given = 0, lateRequests = 0, endedAtMs = Infinity, counted: ExperimentWatch["arms"] = {};
    const labels = (): number => Object.values(counted).reduce((sum, arm) => sum + arm.labels, 0);
    const startedAtMs = performance.now();
    every(LOOK_EVERY_MS, isOver.signal, async () => {
      counted = (await store.watch(NAME)).watch?.arms ?? {};
      if (endedAtMs === Infinity && (await store.get(NAME))?.status !== "running") endedAtMs = performance.now();
    });
    every(10_000, isOver.signal, () => { process.stderr.write(`${given} requests of the experiment, ${labels()} labels counted\n`); });
    const call = async (): Promise<void> => {
      while (!isOver.signal.aborted && sent < MOST_IN_SYSTEM) {
        if (given - labels() > MOST_UNCOUNTED && endedAtMs === Infinity) {
          await pause(LOOK_EVERY_MS, isOver.signal);
          continue;
        }
        const name = `b-${++sent}`;
        const sentAtMs = performance.now();
        const { output, decision: { experiment } } = recordOf(await postJson(`${system.url("gateway")}/infer`, body(name, questionFor(name, { dear: SHOWN.controlQuality, cheap: SHOWN.canaryQuality }, random))));
        if (experiment === undefined) {
          if (given > 0) isOver.abort();
          continue; // not followed yet, or any more
        }
        given++;
        if (sentAtMs > endedAtMs && experiment.arm === "canary") lateRequests++;
        await postJson(`${system.url("gateway")}/requests/${name}/feedback`, { score: scoreOf(output), source: "judge" });
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, call));
    const seconds = (performance.now() - startedAtMs) / 1_000;
    const { watch } = await store.watch(NAME);
    process.stderr.write(`${await system.inferctl("experiment", "status")}\n`);
    if ((await store.get(NAME))?.status !== "rolled_back" || watch === null) return null;
    const labelled = (arm: string): number => watch.arms[arm]?.labels ?? 0;
    return { labels: labelled("control") + labelled("canary"), canaryLabels: labelled("canary"), requests: given, seconds, lateRequests };
  } finally {
    isOver.abort();
    await broker.close();
    await system.remove();
    await models.close();
  }
}

const percent = (share: number): string => `${Number((100 * share).toFixed(1))}`;
async function main(): Promise<void> {
  if (options.help) return void process.stdout.write(`${HELP}\n`);
  const [runs, mostLabels, seed] = [Number(options.runs), Number(options["most-labels"]), Number(options.seed)];
  const excesses = options.system ? [] : EXCESSES.map((excess) => simulateExcess(excess, { runs, mostRequests: mostLabels, seed }));
  const figures = (options.system ? [SHOWN] : WORLDS).map((world) => simulate(world, runs, mostLabels, seed));
  if (!options.json) {
    process.stdout.write(`tolerated loss ${percent(MAX_LOSS)} points, risk ${percent(RISK)} %, rolled back from evidence ${NEEDED.toFixed(1)} on; ${runs} runs of ${mostLabels} labels, seed ${seed}\n`);
    process.stdout.write(`${textTable(["CANARY %", "QUALITY", "CANARY'S", "ROLLED BACK %", "LABELS, MEDIAN", "95 % WITHIN", "OF THEM THE CANARY'S"], figures.map((f) => [
      percent(f.share), String(f.controlQuality), String(f.canaryQuality), percent(f.rolledBack), String(f.median ?? "-"), String(f.within95 ?? "-"), f.within95 === null ? "-" : String(Math.round(f.within95 * f.share)),
    ]))}\n`);
    if (excesses.length > 0) process.stdout.write(`\nguards over failures, late requests and cost, at their defaults; of ${LOOK_EVERY} requests, between two looks, the last is looked at\n${textTable(["CANARY AT 10 %", "ROLLED BACK %", "REQUESTS, MEDIAN", "95 % WITHIN", "OF THEM THE CANARY'S"], excesses.map((f) => [
      f.what, percent(f.rolledBack), String(f.median ?? "-"), String(f.within95 ?? "-"), f.within95 === null ? "-" : String(Math.round(f.within95 * 0.1)),
    ]))}\n`);
  }
  const shown = options.simulated ? undefined : await show(seed);
  const stated = figures[0]?.within95 ?? Infinity;
  if (options.json) process.stdout.write(`${JSON.stringify({ max_loss: MAX_LOSS, risk: RISK, needed: NEEDED, figures, excesses, shown }, null, 2)}\n`);
  else if (shown !== undefined) process.stdout.write(shown === null ? "in a whole system: NOT rolled back\n" : `in a whole system: rolled back after ${shown.labels} labels (${shown.canaryLabels} of the canary), stated ${stated}; ${shown.requests} requests in ${shown.seconds.toFixed(0)} s; ${shown.lateRequests} of those sent after its end was written still went to the canary\n`);
  if (shown === null || (shown !== undefined && shown.labels > stated)) process.exitCode = 1;
}

await main();

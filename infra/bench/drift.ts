/** How soon a drift is seen and answered, and how often an alarm is false, on recorded outcomes. `--help` says how to call it. */
import { parseArgs } from "node:util";

import { terminalProgress } from "#infra/cli/terminalProgress.ts";
import { STRIDES } from "#router/learning/floorGuard.ts";
import { EvaluationError } from "#router/evaluation/evaluationError.ts";
import { type OutcomeRow, readOutcomeLog } from "#router/evaluation/outcomeLog.ts";
import { mean } from "#router/evaluation/routingMetrics.ts";
import { LEARNED_POLICIES, type Setting } from "#router/evaluation/trainModel.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { driftedRows, DRIFTS, type DriftKind } from "./driftedRows.ts";
import { run, type Stream, type World } from "./driftRun.ts";
import { describeDrift, type DriftReport, figuresOf, phaseOf } from "./driftTable.ts";
import { fit, hardestWork, levelsOf, makeWorld } from "./driftWorld.ts";
import { describeSimulated, simulateFloor } from "./simulatedFloor.ts";

const HELP = `Plays recorded outcomes as a stream of requests that drifts, through the policy of the router at the level where the
floor is shown to hold, and lets the guard of the floor watch a share of them.

  npm run bench:drift -- --train <file> (--test <file> | --folds <n>) --tiers <a,b,c> [options]

  --train, --test  outcome logs, JSON lines or .gz, as inferctl evaluate reads them
  --folds          instead of --test: each of n parts of --train is played by what the others taught
  --tiers          models of the logs; the dearest is the baseline
  --policy         one of ${LEARNED_POLICIES.join(", ")} (default cascade-routing)
  --target, --risk share of the baseline's quality to keep; probability with which an alarm may be false (0.97, 0.05)
  --share          of requests that are shadowed (default 0.05)
  --requests, --at of a stream; of them before the drift (default 100000, 20000)
  --drift          ${DRIFTS.join(", ")}; one or several (default all)
  --size           share of the cheap tiers' right answers that become wrong; of their wrong answers with the confidence of a
                   right one; of requests of the hardest kind of work alone. One or several (default 0.05,0.1,0.2,1)
  --stride         levels more careful at each alarm: single (1), doubling (1, 2, 4, ...), once (1, then the baseline alone) or
                   alone (the baseline alone at once) (default once)
  --runs, --seed   default 200, 1
  --simulated      no log: streams of margins whose mean is known; false alarms where it is 0, delays after a drop
  --json           one JSON document instead of the tables

Example: npm run bench:drift -- --train train.jsonl.gz --folds 2 --tiers llama3.1-8b,llama3.1-70b,llama3.1-405b
Which answers drift is drawn once; a run draws its requests, with replacement. Margins are of both true qualities: live
labels are the agreement with the baseline's answer, which is conservative. Ends with 2 when it could not run.`;

const { values: options } = parseArgs({
  options: {
    train: { type: "string" }, test: { type: "string" }, folds: { type: "string" }, tiers: { type: "string", default: "" }, policy: { type: "string", default: "cascade-routing" },
    target: { type: "string", default: "0.97" }, risk: { type: "string", default: "0.05" }, share: { type: "string", default: "0.05" },
    requests: { type: "string", default: "100000" }, at: { type: "string", default: "20000" }, drift: { type: "string", default: DRIFTS.join(",") }, size: { type: "string", default: "0.05,0.1,0.2,1" },
    stride: { type: "string", default: "once" }, runs: { type: "string", default: "200" }, seed: { type: "string", default: "1" }, simulated: { type: "boolean", default: false }, json: { type: "boolean", default: false }, help: { type: "boolean", default: false },
  },
});

const listOf = (given: string): string[] => [...new Set(given.split(",").filter((one) => one !== ""))];

function numberIn(name: string, given: string, [least, most]: readonly [number, number]): number {
  const value = Number(given);
  if (given.trim() === "" || !(value >= least && value <= most)) throw new EvaluationError(`--${name} must be a number from ${least} to ${most}, not ${given}`);
  return value;
}
function wholeIn(name: string, given: string, range: readonly [number, number]): number {
  const value = numberIn(name, given, range);
  if (!Number.isInteger(value)) throw new EvaluationError(`--${name} must be a whole number, not ${given}`);
  return value;
}
function oneOf<T extends string>(name: string, given: string, known: readonly T[]): T {
  const found = known.find((one) => one === given);
  if (found === undefined) throw new EvaluationError(`--${name} is one of ${known.join(", ")}, not ${given}`);
  return found;
}

/** Tiers of both logs in order of their cost in the first. */
async function readRows(): Promise<{ tiers: string[]; train: OutcomeRow[]; test: OutcomeRow[] | { folds: number } }> {
  const given = listOf(options.tiers);
  if (given.length < 2) throw new EvaluationError("--tiers needs at least two models, separated by commas");
  if (options.train === undefined) throw new EvaluationError("--train is missing");
  if ((options.test === undefined) === (options.folds === undefined)) throw new EvaluationError("give one of --test and --folds");
  const rows = await readOutcomeLog(options.train, given);
  const cost = (place: number) => rows.reduce((sum, row) => sum + (row.tiers[place]?.cost_usd ?? 0), 0);
  const order = [...given.keys()].toSorted((a, b) => cost(a) - cost(b));
  const inOrder = (some: readonly OutcomeRow[]) => some.map((row) => ({ ...row, tiers: order.flatMap((place) => row.tiers[place] ?? []) }));
  const test = options.test === undefined ? { folds: wholeIn("folds", options.folds ?? "", [2, 20]) } : inOrder(await readOutcomeLog(options.test, given));
  return { tiers: order.flatMap((place) => given[place] ?? []), train: inOrder(rows), test };
}

async function measure(): Promise<DriftReport> {
  const progress = terminalProgress(process.stderr);
  const policy = oneOf("policy", options.policy, LEARNED_POLICIES);
  const seed = wholeIn("seed", options.seed, [0, 2 ** 32 - 1]), runs = wholeIn("runs", options.runs, [1, 100_000]);
  const target = numberIn("target", options.target, [0.01, 1]), risk = numberIn("risk", options.risk, [1e-6, 0.5]), share = numberIn("share", options.share, [1e-4, 1]);
  const requests = wholeIn("requests", options.requests, [1, 1e8]), at = wholeIn("at", options.at, [0, requests - 1]);
  const stride = oneOf("stride", options.stride, STRIDES);
  const kinds = listOf(options.drift).map((kind) => oneOf("drift", kind, DRIFTS));
  const sizes = listOf(options.size).map((size) => numberIn("size", size, [0, 1]));

  const read = await progress.step("reading", readRows);
  const baseline = read.tiers.length - 1;
  const hasConfidences = [...read.train, ...("folds" in read.test ? [] : read.test)].every((row) => row.tiers.slice(0, -1).every(({ confidence }) => confidence !== null));
  const setting: Setting = { tiers: read.tiers, baseline, target, risk, latencySloMs: null, paysVerification: true, hasConfidences, labels: "qualities", random: seededRandom(seed) };
  const { models, rows } = await progress.step("finding the floor", () => Promise.resolve(fit(setting, policy, read, progress.note)));
  if (models.every(({ ownPlace }) => ownPlace === null)) throw new EvaluationError("the floor is nowhere shown to hold on these rows, so there is nothing to watch: the baseline answers alone");
  const world = makeWorld(rows, models, setting);
  const stream: Omit<Stream, "after" | "random"> = { before: world, at, requests, share, target, risk, levels: levelsOf(models, world), stride };
  const play = (after: Stream["after"], stir: number) => {
    const random = seededRandom(seed + 1_000 * stir);
    return Array.from({ length: runs }, () => run({ ...stream, after, random }));
  };

  const holdsFrom = (after: Stream["after"]): string => String(Array.from({ length: stream.levels + 1 }, (_, steps) => steps).find((steps) => after.meanMargin(steps) >= 0) ?? "all");
  const steady = await progress.step("without drift", () => Promise.resolve(play(world, 1)));
  const figures = async (drift: DriftKind, size: number, stir: number) => {
    const dataset = drift === "mix-shift" ? hardestWork(rows, world, target) : "";
    const after = makeWorld(driftedRows(rows, { kind: drift, size, baseline, dataset, random: seededRandom(seed + stir) }), models, setting);
    const title = `${drift} ${size}${dataset === "" ? "" : ` (${dataset})`}`;
    return progress.step(title, () => Promise.resolve(figuresOf(play(after, stir), { drift, size, margin: after.meanMargin(0), holds_from: holdsFrom(after), at })));
  };
  const drifts = [];
  for (const [i, kind] of kinds.entries()) for (const [j, size] of sizes.entries()) drifts.push(await figures(kind, size, 2 + i * sizes.length + j));
  return {
    setting: { policy, tiers: read.tiers, rows: rows.length, places: models.map(({ ownPlace }) => ownPlace), levels: stream.levels, target, risk, share, requests, at, stride, runs, seed },
    without_drift: {
      margin: world.meanMargin(0), agreement_at_most: agreementAtMost(world), runs, false_alarms: steady.filter(({ alarms }) => alarms.length > 0).length, shadowed: Math.round(share * requests),
      phase: phaseOf(steady.flatMap(({ phases }) => phases)),
    },
    drifts,
  };
}

const agreementAtMost = (world: World): number => mean(Array.from({ length: world.rows }, (_, row) => {
  const { quality, baselineQuality } = world.served(row, 0);
  return 1 - Math.abs(quality - baselineQuality);
}));

function simulate(): void {
  process.stderr.write("simulating\n");
  const found = simulateFloor({
    target: numberIn("target", options.target, [0.5, 0.99]), risk: numberIn("risk", options.risk, [1e-6, 0.5]), runs: wholeIn("runs", options.runs, [1, 100_000]), seed: wholeIn("seed", options.seed, [0, 2 ** 32 - 1]),
  });
  process.stdout.write(`${options.json ? JSON.stringify(found, null, 2) : describeSimulated(found)}\n`);
}

async function main(): Promise<void> {
  if (options.help) return void process.stdout.write(`${HELP}\n`);
  if (options.simulated) return void simulate();
  const report = await measure();
  const { policy, tiers, rows, places, levels, target, risk, share, requests, at, stride, runs, seed } = report.setting;
  const head = `${String(rows)} rows; tiers ${(tiers as string[]).join(" < ")}; ${String(policy)} from place ${(places as (number | null)[]).join(" and ")}, ${String(levels)} more careful levels that cost less than the baseline
floor: ${String(target)} of the baseline's quality; risk ${String(risk)}; ${100 * Number(share)} % shadowed; ${String(requests)} requests, drift at ${String(at)}; stride ${String(stride)}; ${String(runs)} runs; seed ${String(seed)}`;
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : `${head}\n${describeDrift(report)}\n`);
}

main().catch((err: unknown) => {
  if (!(err instanceof EvaluationError)) throw err;
  process.stderr.write(`${err.message}\n`);
  process.exitCode = 2;
});

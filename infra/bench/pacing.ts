/** How a budget lasts to the end of its window, and what it buys until then, on recorded outcomes. `--help` says how to call it. */
import { parseArgs } from "node:util";

import { terminalProgress } from "#infra/cli/terminalProgress.ts";
import { EvaluationError } from "#router/evaluation/evaluationError.ts";
import { type OutcomeRow, readOutcomeLog } from "#router/evaluation/outcomeLog.ts";
import { type Shape, SHAPES, traceOf } from "#router/evaluation/pacingDemand.ts";
import { burning, mirrorDescent, pacing, type PacedWorld, runSpending, type Spending, steppingDown } from "#router/evaluation/pacingRun.ts";
import { mean } from "#router/evaluation/routingMetrics.ts";
import { isLearnedPolicy, type Setting } from "#router/evaluation/trainModel.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { makePacedWorld, withAllPricesMoving } from "./pacingWorld.ts";
import { describePacing, pacingFigures, type PacingFigures } from "./pacingTable.ts";

const HELP = `Plays recorded outcomes as a month of requests under a budget, through the policy of the router, and spends it in four ways.

  npm run bench:pacing -- --train <file> --tiers <a,b,c> [options]

  --train       outcome log, JSON lines or .gz, as inferctl evaluate reads it; each half is played by what the other half taught
  --tiers       models of the log; the dearest is the baseline
  --policy      cascade-routing or predictive (default cascade-routing)
  --budget      in parts of what the policy costs without one (default 0.25)
  --requests    in 30 days (default 60000)
  --shape       one or several (default all): ${SHAPES.map(({ name }) => name).join(", ")}
  --seeds, --seed   runs of each, and the first one's seed (default 10, 101)
  --json        one JSON document instead of the table

paced: λ is solved anew every five minutes from what is left and what is expected to come. mirror descent: a step of λ after each
request. burn then block: the policy's best until the money is out. step down: the same, the middle tier alone from 80 % of the
budget on, the cheapest from 95 % on. Best in hindsight: the most quality that the budget could have bought, the whole month known.
Ends with 2 when it could not run.`;

const { values: options } = parseArgs({
  options: {
    train: { type: "string" }, tiers: { type: "string", default: "" }, policy: { type: "string", default: "cascade-routing" }, budget: { type: "string", default: "0.25" }, requests: { type: "string", default: "60000" },
    shape: { type: "string", default: "" }, seeds: { type: "string", default: "10" }, seed: { type: "string", default: "101" }, json: { type: "boolean", default: false }, help: { type: "boolean", default: false },
  },
});
const DAYS = 30;
const DAY_MS = 86_400_000;
/** Place of the level with which pacing begins, before it knows anything, where the floor is shown nowhere. */
const START = 12;

const listOf = (given: string): string[] => [...new Set(given.split(",").map((one) => one.trim()).filter((one) => one !== ""))];
function numberIn(name: string, given: string, [least, most]: readonly [number, number], isWhole: boolean): number {
  const value = Number(given);
  if (given.trim() === "" || !(value >= least && value <= most) || (isWhole && !Number.isInteger(value))) throw new EvaluationError(`--${name} must be a ${isWhole ? "whole " : ""}number from ${least} to ${most}, not ${given}`);
  return value;
}

async function readRows(): Promise<{ tiers: string[]; rows: OutcomeRow[] }> {
  const given = listOf(options.tiers);
  if (given.length < 2) throw new EvaluationError("--tiers needs at least two models, separated by commas");
  if (options.train === undefined) throw new EvaluationError("--train is missing");
  const rows = await readOutcomeLog(options.train, given);
  const cost = (place: number) => mean(rows.map((row) => row.tiers[place]?.cost_usd ?? 0));
  const order = [...given.keys()].toSorted((a, b) => cost(a) - cost(b));
  return { tiers: order.flatMap((place) => given[place] ?? []), rows: rows.map((row) => ({ ...row, tiers: order.flatMap((place) => row.tiers[place] ?? []) })) };
}

interface Report {
  readonly setting: Readonly<Record<string, unknown>>;
  readonly figures: readonly PacingFigures[];
}
async function measure(): Promise<Report> {
  const progress = terminalProgress(process.stderr);
  const { policy } = options;
  if (!isLearnedPolicy(policy) || policy === "cascade") throw new EvaluationError(`--policy is cascade-routing or predictive, not ${policy}`);
  const share = numberIn("budget", options.budget, [1e-3, 100], false), requests = numberIn("requests", options.requests, [100, 1e7], true);
  const seeds = numberIn("seeds", options.seeds, [1, 1_000], true), seed = numberIn("seed", options.seed, [0, 2 ** 31], true);
  const names = listOf(options.shape);
  const unknown = names.find((name) => SHAPES.every((shape) => shape.name !== name));
  if (unknown !== undefined) throw new EvaluationError(`--shape: there is no ${unknown}`);
  const shapes = SHAPES.filter(({ name }) => names.length === 0 || names.includes(name));

  const { tiers, rows } = await progress.step("reading", readRows);
  const setting = (): Setting => ({
    tiers, baseline: tiers.length - 1, target: 0.97, risk: 0.05, latencySloMs: null, paysVerification: true, hasConfidences: rows.every((row) => row.tiers.slice(0, -1).every(({ confidence }) => confidence !== null)),
    labels: "qualities", random: seededRandom(seed),
  });
  const { world: made, floorPlace } = await progress.step("fitting", () => Promise.resolve(makePacedWorld(setting, policy, rows, [3, 1 / 3])));
  const bestUsd = mean([...(made.levels[0]?.costUsd ?? [])]), cheapestUsd = mean([...(made.tiers[0]?.costUsd ?? [])]);
  const figures: PacingFigures[] = [];
  for (const shape of shapes) {
    const world = shape.movesAll === true ? withAllPricesMoving(made) : made;
    const limitUsd = (requests * budgetOf(shape, { share, bestUsd, cheapestUsd })) / (shape.daily === true ? DAYS : 1);
    const windowMs = (shape.daily === true ? 1 : DAYS) * DAY_MS;
    for (const [way, spending] of waysFor(world, floorPlace ?? START)) {
      await progress.step(`${shape.name}: ${way}`, () => {
        const runs = Array.from({ length: seeds }, (_, i) => runSpending(world, traceOf(shape, { requests, days: DAYS, rows: rows.length, random: seededRandom(seed + i) }), { limitUsd, windowMs }, spending()));
        // The first day of days has seen no other.
        if (shape.daily === true) figures.push(pacingFigures(`${shape.name}, the first`, way, runs.flatMap(([first]) => first ?? [])));
        figures.push(pacingFigures(shape.daily === true ? `${shape.name}, the others` : shape.name, way, runs.flatMap((windows) => (shape.daily === true ? windows.slice(1) : windows))));
        return Promise.resolve();
      });
    }
  }
  return { setting: { policy, tiers, rows: rows.length, budget: share, requests, seeds, seed, floor_place: floorPlace }, figures };
}

const budgetOf = ({ budget }: Shape, { share, bestUsd, cheapestUsd }: { readonly share: number; readonly bestUsd: number; readonly cheapestUsd: number }): number =>
  (budget === undefined ? share * bestUsd : budget.times * (budget.of === "best" ? bestUsd : cheapestUsd));

const waysFor = (world: PacedWorld, start: number): [string, () => Spending][] => {
  const startLambda = world.lambdas[start] ?? 0;
  return [["paced", () => pacing(world, startLambda)], ["mirror descent", () => mirrorDescent(world, startLambda)], ["burn then block", burning], ["step down", () => steppingDown(world)]];
};

async function main(): Promise<void> {
  if (options.help) return void process.stdout.write(`${HELP}\n`);
  const report = await measure();
  const { policy, tiers, rows, budget, requests, seeds, seed, floor_place } = report.setting;
  const head = `${String(rows)} rows; tiers ${(tiers as string[]).join(" < ")}; ${String(policy)}, λ from place ${String(floor_place)} of 0 to 30 on
${String(requests)} requests in ${DAYS} days; budget ${String(budget)} of what the policy costs without one; seeds ${String(seed)} to ${Number(seed) + Number(seeds) - 1}; least and greatest in parentheses`;
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : `${head}\n\n${describePacing(report.figures)}\n`);
}

main().catch((err: unknown) => {
  if (!(err instanceof EvaluationError)) throw err;
  process.stderr.write(`${err.message}\n`);
  process.exitCode = 2;
});

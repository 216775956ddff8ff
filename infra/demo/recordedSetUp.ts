/**
 * A set-up of its own for recorded answers, in a home below the home: with servers and ports of its own, so that what runs beside it
 * is left alone. Its tiers are the models of an outcome log, which is served in this process; one half of the log makes the
 * routing model, the other half is asked.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";

import { withModelStore, hasFloor } from "#infra/cli/modelStore.ts";
import { roleUrl } from "#infra/cli/serverUrl.ts";
import { bringUp } from "#infra/embedded/bringUp.ts";
import { type Environment, type Home, openHome } from "#infra/embedded/homeFolder.ts";
import type { PrepareSteps } from "#infra/embedded/prepare.ts";
import type { Progress } from "#infra/embedded/progress.ts";
import { replaceFile } from "#infra/embedded/replaceFile.ts";
import { PORT_VARIABLES, readSettings, type Settings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { type RecordedAnswer, type RecordedAnswers, readRecordedAnswers } from "#infra/recorded/recordedAnswers.ts";
import { type RecordedServer, startRecordedServer } from "#infra/recorded/recordedServer.ts";
import { preparedFrom } from "#router/evaluation/evaluate.ts";
import { EvaluationError } from "#router/evaluation/evaluationError.ts";
import { toModelFile } from "#router/evaluation/modelFile.ts";
import { modelsOf, type OutcomeRow, readOutcomeLog } from "#router/evaluation/outcomeLog.ts";
import { LEARNED_POLICIES, train } from "#router/evaluation/trainModel.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";

import type { DemoItem } from "./planDemo.ts";
import { chooseModels, DEFAULT_LATENCY_MS, halves, recordedItems, recordedTierFile, tierNamesOf } from "./recordedTiers.ts";

export interface RecordedOptions {
  readonly file: string;
  /** Absent: up to three that are worth it. */
  readonly models?: readonly string[] | undefined;
  readonly seed: number;
  /** Of the recorded latencies. */
  readonly timeScale: number;
  readonly environment: Environment;
  readonly prepare: PrepareSteps;
  readonly progress: Progress;
}
export interface RecordedSetUp {
  /** For whatever works on this set-up. */
  readonly environment: Environment;
  readonly settings: Settings;
  readonly items: readonly DemoItem[];
  /** Changes with all that changes what is asked. */
  readonly name: string;
  /** Of those in a hurry, in milliseconds. */
  readonly tightSloMs: number;
  /** What the models' answers cost so far, by the log, in nano-dollars. */
  readonly billNanoUsd: () => number;
  /** What to know about it. */
  readonly notes: readonly string[];
}

const FOLDER = "demo-recorded";
/** Servers' programs are found as for the other set-up; its servers, ports, logins and tiers are not taken over. */
const HANDED_ON = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "NATS_SERVER_BIN", "REDIS_SERVER_BIN", "PG_BIN", "LOG_LEVEL", "INFER_SHADOW_SHARE", "INFER_SHADOW_TIERS"];
const MODEL_DEADLINE_MS = 30_000;
const LEAST_ROWS = 30;
/** The way through the pipeline takes its time, too, where others are asked meanwhile. */
const LEAST_SLO_MS = 300;
const [TARGET, RISK] = [0.97, 0.05];

/** Where it keeps its things: the same for every log. */
const recordedHome = ({ root }: Pick<Home, "root">): string => join(root, FOLDER);

/** The set-up stays when `use` has ended, the models' server does not. Throws a `SetupError`. */
export async function withRecordedSetUp<T>(options: RecordedOptions, use: (setUp: RecordedSetUp) => Promise<T>): Promise<T> {
  const { progress, prepare, timeScale, seed } = options;
  const log = await progress.step("outcome log", () => readLog(options), ({ models, learnt, asked }) => `${models.join(" < ")}; ${learnt.length} rows to learn from, ${asked.length} to ask`);
  const server = await startServer(log.recorded, { timeScale, seed, onBug: (error) => { progress.note(error instanceof Error ? (error.stack ?? error.message) : String(error)); } });
  try {
    const home = ownHome(openHome(options.environment));
    const tiersFile = join(home.root, "tiers.json");
    const { file, priceError } = recordedTierFile({ ...log, timeScale, baseUrl: `${server.url}/v1`, source: basename(options.file), today: new Date().toISOString().slice(0, 10) });
    replaceFile(tiersFile, `${JSON.stringify(file, null, 2)}\n`);
    const environment = ownEnvironment(options.environment, home, tiersFile);
    await bringUp({ home, environment, isSingleProcess: true, prepare, progress, serverPorts: "free" });
    const floorNote = await progress.step("routing model", () => learn(log, options, environment));
    const settings = readSettings(environment, home);
    const latencies = settings.tiers.tiers.map(({ prior }) => prior.latency_p50_ms);
    return await use({
      environment, settings, items: recordedItems(log.asked, log.models, log.names), name: log.name, tightSloMs: Math.max(LEAST_SLO_MS, Math.round(2 * Math.min(...latencies))), billNanoUsd: () => server.bill().total.cost_nano_usd,
      notes: [
        floorNote, `prices of the tiers are fitted to the log's costs: off by ${(100 * priceError).toFixed(2)} % at most`,
        ...(log.leftOut > 0 ? [`${log.leftOut} rows of the log are left out: without an answer of each model, or with the query of another row`] : []),
        ...(log.verifyUsd > 0 ? [`the log's confidences took calls of their own (${log.verifyUsd.toFixed(4)} USD for all of its rows), which are not played here: inferctl evaluate counts them`] : []),
        ...(timeScale === 1 ? [] : [`answers come after ${timeScale} of their recorded latency (--time-scale)`]),
      ],
    });
  } finally {
    await server.close();
  }
}

interface Log {
  readonly recorded: RecordedAnswers;
  /** Cheapest first, by the learnt half; the rows have them in this order. */
  readonly models: readonly string[];
  readonly names: ReadonlyMap<string, string>;
  readonly learnt: readonly OutcomeRow[];
  readonly asked: readonly OutcomeRow[];
  /** Rows without an answer of each of the models, and those whose query another row has. */
  readonly leftOut: number;
  readonly answers: ReadonlyMap<string, readonly RecordedAnswer[]>;
  readonly confidence: "token_logprobs" | "tier_agreement";
  /** What checking the answers cost, of the models that are taken. */
  readonly verifyUsd: number;
  readonly sha256: string;
  readonly name: string;
}

async function readLog({ file, models: wanted, seed, timeScale }: RecordedOptions): Promise<Log> {
  try {
    const recorded = await readRecordedAnswers([file], []);
    const all = wanted ?? (await modelsOf(file));
    const { learnt } = halves(served(await readOutcomeLog(file, all), all, recorded), seed);
    if (learnt.length === 0) throw new EvaluationError(`${file}: no row has an answer (\`answer\`) of each of ${all.join(", ")}: name models that have one with --tiers`);
    const chosen = wanted ?? chooseModels(learnt, all);
    if (chosen.length < 2) throw new EvaluationError(`${file}: one model is the cheapest and the best: there is nothing to choose; name others with --tiers`);
    const costOf = (model: string): number => learnt.reduce((sum, { tiers }) => sum + (tiers[all.indexOf(model)]?.cost_usd ?? 0), 0);
    const models = chosen.toSorted((a, b) => costOf(a) - costOf(b));
    const inLog = await readOutcomeLog(file, models);
    const rows = served(inLog, models, recorded);
    const parts = halves(rows, seed);
    if (Math.min(parts.learnt.length, parts.asked.length) < LEAST_ROWS) throw new EvaluationError(`${file}: ${rows.length} rows have an answer (\`answer\`) of each of ${models.join(", ")}: too few for two halves of ${LEAST_ROWS}`);
    const sha256 = createHash("sha256").update(readFileSync(file)).digest("hex");
    return {
      recorded, models, names: tierNamesOf(models), ...parts, leftOut: inLog.length - parts.learnt.length - parts.asked.length, sha256,
      answers: new Map(models.map((model) => [model, rows.flatMap(({ query }) => recorded.find(query.trim(), model) ?? [])])),
      confidence: rows.every(({ tiers }) => tiers.slice(0, -1).every(({ confidence }) => confidence !== null)) ? "token_logprobs" : "tier_agreement",
      verifyUsd: rows.reduce((sum, { tiers }) => sum + tiers.slice(0, -1).reduce((ofRow, tier) => ofRow + tier.verify_cost_usd, 0), 0),
      name: createHash("sha256").update(JSON.stringify([sha256, models, timeScale])).digest("hex").slice(0, 8),
    };
  } catch (error) {
    if (!(error instanceof EvaluationError)) throw error;
    throw new SetupError(error.message, "Name a log of outcomes with answers: inferctl serve-recorded --help has its schema, inferctl evaluate --help what a row says of right and wrong.", { cause: error });
  }
}

/** What can be asked: the server has a text of each model for it. */
const served = (rows: readonly OutcomeRow[], models: readonly string[], recorded: RecordedAnswers): OutcomeRow[] =>
  rows.filter(({ id, query }) => models.every((model) => { const answer = recorded.find(query.trim(), model); return answer?.rowId === id && answer.text !== null && answer.text.trim() !== ""; }));

const startServer = (answers: RecordedAnswers, options: { readonly timeScale: number; readonly seed: number; readonly onBug: (error: unknown) => void }): Promise<RecordedServer> =>
  startRecordedServer({ answers, faults: [], firstTokenShare: 0.3, defaultLatencyMs: DEFAULT_LATENCY_MS, port: 0, ...options });

function ownHome(outer: Home): Home {
  const root = recordedHome(outer);
  mkdirSync(root, { recursive: true, mode: 0o755 });
  if (!existsSync(join(root, "servers"))) symlinkSync(outer.servers, join(root, "servers")); // programs are unpacked once
  return openHome({ INFER_HOME: root });
}

const ownEnvironment = (environment: Environment, { root }: Home, tiersFile: string): Environment => ({
  ...Object.fromEntries(HANDED_ON.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]]))),
  ...Object.fromEntries(PORT_VARIABLES.map((name) => [name, "0"])),
  INFER_HOME: root, INFER_TIERS_FILE: tiersFile,
});

/** Trains on the learnt half and puts the model to work, where its floor was shown; says which it was. */
async function learn({ models, names, learnt, confidence, sha256 }: Log, { file, seed, progress }: RecordedOptions, environment: Environment): Promise<string> {
  const hasSource = confidence === "token_logprobs" || models.length > 2;
  const { setting, train: rows } = preparedFrom({
    tiers: models, train: learnt, test: [], baselineTier: models.at(-1) ?? null, target: TARGET, risk: RISK, latencySloMs: null, paysVerification: false, seed, onProgress: progress.note,
    ...(confidence === "tier_agreement" && hasSource ? { confidence } : {}),
  });
  const model = toModelFile(train(setting, rows, setting.hasConfidences ? LEARNED_POLICIES : ["predictive"], progress.note), { sources: [{ name: basename(file), rows: learnt.length, sha256 }], names, createdAt: new Date() });
  const isUsed = hasFloor(model);
  await withModelStore(environment, async (store) => {
    if (isUsed) await store.put(model);
    await (isUsed ? store.activate(model.version) : store.deactivate());
  });
  await untilRouted(environment, isUsed ? model.version : undefined);
  return isUsed ? `routing model ${model.version} decides: made from ${learnt.length} rows that are not asked${promise(model)}`
    : `no routing model: on ${learnt.length} rows no policy was shown to keep ${100 * TARGET} % of the baseline's quality, so the tier file's thresholds decide`;
}

const promise = ({ metrics: { cascade_routing: routing } }: RoutingModelFile): string =>
  (routing === null ? "; cascade-routing's floor was not shown" : `; there cascade-routing kept ${(100 * routing.quality_ratio).toFixed(1)} % of the baseline's quality and saved ${(100 * routing.saving).toFixed(1)} %`);

/** Until the router decides with that version, or without any. */
async function untilRouted(environment: Environment, version: string | undefined): Promise<void> {
  const body = JSON.stringify({ user_id: "demo", tenant_id: "demo", input: "?", budget: 1 });
  const decided = async (): Promise<true | undefined> => {
    const response = await fetch(`${roleUrl("router", environment)}/decide`, { method: "POST", headers: { "content-type": "application/json" }, body, signal: AbortSignal.timeout(5_000) });
    const said = (await response.json()) as { readonly decision?: { readonly learned?: { readonly model_version?: string } } };
    return said.decision !== undefined && said.decision.learned?.model_version === version ? true : undefined;
  };
  await waitUntil(decided, { deadlineMs: MODEL_DEADLINE_MS, everyMs: 200, describe: () => `the router does not decide with ${version ?? "its thresholds"}` });
}

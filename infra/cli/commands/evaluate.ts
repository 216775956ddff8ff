import type { Environment } from "#infra/embedded/homeFolder.ts";
import type { Progress } from "#infra/embedded/progress.ts";
import { evaluationReport, PAGE_NAME } from "#infra/report/evaluationReport.ts";
import { comparisonReport } from "#infra/report/comparisonReport.ts";
import { CURVE_NAME, learningCurveReport } from "#infra/report/learningCurveReport.ts";
import { createReportFolder, writeReport } from "#infra/report/writeReport.ts";
import { compareSources, type SourceComparison } from "#router/evaluation/compareSources.ts";
import { CONFIDENCE_SOURCES } from "#router/evaluation/confidenceNames.ts";
import type { TextJudge } from "#router/evaluation/confidenceSources.ts";
import { evaluate as play, type EvaluateOptions, type Evaluation, type PolicyReport } from "#router/evaluation/evaluate.ts";
import { EvaluationError } from "#router/evaluation/evaluationError.ts";
import { learningCurve, type LearningCurve } from "#router/evaluation/learningCurve.ts";
import { modelsOf, type OutcomeRow, readOutcomeLog, readTrainingLog } from "#router/evaluation/outcomeLog.ts";
import { resample, type Resampled } from "#router/evaluation/resample.ts";
import { LEARNED_POLICIES } from "#router/evaluation/trainModel.ts";
import { issueLines } from "#shared/contracts/describeIssues.ts";
import { ConfidenceMethod } from "#shared/contracts/tiers.ts";

import type { Command } from "../command.ts";
import { commandLine } from "../commandLine.ts";
import { describeLearningCurve } from "../learningCurveTable.ts";
import { progressBar } from "../progressBar.ts";
import { textJudge, textsFor } from "../recordedTexts.ts";
import { describeComparison } from "../sourceTable.ts";
import { textTable } from "../textTable.ts";
import { AUDIT_DETAILS, AUDIT_OPTIONS, auditOptions, requireAudit } from "./auditOptions.ts";
import { goalsOf, list, sourcesIn, text, tiersIn, type Values, wholeNumberOf, wrongUse } from "./evaluationValues.ts";

export const evaluate: Command = {
  summary: "Plays outcome logs of real models through the routing policies: what would it have cost, how good would it have been?",
  usage: "(--train <file> [--train <file>] | --from-audit) (--test <file> | --folds <n> | --resamples <n> | --labels <n,n>) --tiers <a,b,c> [options]",
  details: [
    "--train, --test    JSON lines, plain or .gz, one object per request:",
    '                   {"id","dataset","query","tiers":{"<model>":{"correct" or "score","cost_usd","verify_cost_usd"?,"confidence"?,"confidences"?,"latency_ms"?,"answer"?}}}',
    "                   Policies are fitted on --train alone. A bad row is named by its line and nothing is evaluated.",
    "                   Where no --train file has the tiers, its models teach `predictive` alone how hard queries are.",
    "--from-audit       instead of --train and --test: the running system's own requests, as `inferctl train --help` says; a data set is a task.",
    "                   Confidences have the names of their sources, and what checks cost is theirs where the audit keeps it apart",
    ...AUDIT_DETAILS,
    "--folds            instead of --test: cross-validation, each of n parts of --train played by what the others taught (2 to 20)",
    "--resamples        instead of --test: n times, a random half of --train plays what the other half taught; how often does the floor fail?",
    "--datasets         play only rows of these data sets, a,b (default: all); every row of --train teaches; with --test or --folds",
    "--labels           instead of --test: what are so many labels worth? 0,30,100,300,1000 rows of --train teach, the same others are played;",
    "                   in --shuffles random orders of --train (default 20)",
    "--tiers            models of the logs, in any order; they are tried from the cheapest upwards",
    `--policy           of ${LEARNED_POLICIES.join(", ")}; may be repeated (default: all). Baselines are always shown`,
    "--baseline         the tier that quality and saving are measured against (default: the dearest)",
    "--target           share of the baseline's quality to keep, in (0, 1] (default 0.97)",
    "--risk             probability with which the floor may fail, in (0, 0.5] (default 0.05)",
    "--latency-slo-ms   no more requests may be later than one in twenty, or than the baseline has; needs latencies in the logs",
    "--cost             total: with the calls that produced the confidences; generation: without (default total)",
    "--confidence       where confidences come from; may be repeated, and then sources are compared on the same rows, with a table at the end:",
    `                   ${CONFIDENCE_SOURCES.slice(0, 4).join(", ")},`,
    `                   ${CONFIDENCE_SOURCES.slice(4).join(", ")}. recorded is the row's \"confidence\" (default); others are`,
    "                   read from its \"confidences\", {\"<source>\":{\"value\",\"cost_usd\"?,\"latency_ms\"?}}; tier_agreement is found from answers or",
    "                   texts: how far an answer is that of the tier before; soundness from texts. A tier without it gets its mean quality",
    "--outputs          texts of the answers, {\"id\",\"outputs\":{\"<model>\":\"<text>\"}} a line; may be repeated. Files with calls of tools, as",
    "                   for `inferctl serve-recorded`, are read too: calls without a text are an empty text, which is not sound",
    "--answer-pattern   regular expression: where in a text the answer proper stands; a text without one is not sound",
    "                   e.g. --confidence token_logprobs --confidence self_verification, or --outputs texts.jsonl.gz --confidence tier_agreement --confidence soundness",
    "--seed             of folds, resamples, shuffles and random mix (default 1)",
    "--json             one JSON object instead of the tables",
    "--out <folder>     also writes report.html, a picture of each curve (SVG) and evaluation.json there; replaces files of these names;",
    "                   with --labels the picture learning-curve.svg and learning-curve.json",
  ],
  example: "inferctl evaluate --train train.jsonl.gz --test test.jsonl.gz --tiers llama3.1-8b,llama3.1-70b,llama3.1-405b --target 0.97",
  options: {
    train: { type: "string", multiple: true }, ...AUDIT_OPTIONS, test: { type: "string", multiple: true }, folds: { type: "string" }, resamples: { type: "string" }, labels: { type: "string" }, shuffles: { type: "string" }, datasets: { type: "string" }, tiers: { type: "string" }, policy: { type: "string", multiple: true }, baseline: { type: "string" },
    target: { type: "string" }, risk: { type: "string" }, "latency-slo-ms": { type: "string" }, cost: { type: "string" }, confidence: { type: "string", multiple: true }, outputs: { type: "string", multiple: true }, "answer-pattern": { type: "string" }, seed: { type: "string" }, json: { type: "boolean" }, out: { type: "string" },
  },
  maxPositionals: 0,
  run: async ({ values }, { environment, print, progress }) => {
    const out = text(values, "out");
    if (out !== undefined) await createReportFolder(out);
    const told = (error: unknown): never => { throw error instanceof EvaluationError ? wrongUse(error.message, error) : error; };
    if (values["resamples"] !== undefined) {
      const resampled = await progress.step("resampling", () => resampledFrom(values, environment, parts(progress))).catch(told);
      print(values["json"] === true ? JSON.stringify(resampled) : describeResampled(resampled));
      return 0;
    }
    if (values["labels"] !== undefined) {
      const curve = await progress.step("learning curve", () => learningCurveFrom(values, environment, parts(progress))).catch(told);
      print(values["json"] === true ? JSON.stringify(curve) : describeLearningCurve(curve));
      if (out !== undefined) progress.note(await writeReport(out, learningCurveReport(curve), CURVE_NAME));
      return 0;
    }
    const context = { command: commandLine("evaluate", values), latencySloMs: text(values, "latency-slo-ms") === undefined ? null : Number(values["latency-slo-ms"]) };
    if (sourcesIn(values).length > 1) {
      const comparison = await comparisonOf(values, environment, progress.note).catch(told);
      print(values["json"] === true ? JSON.stringify(comparison) : describeSources(comparison));
      if (out !== undefined) progress.note(await writeReport(out, comparisonReport(comparison, context), PAGE_NAME));
      return 0;
    }
    const evaluation = await evaluationOf(values, environment, progress.note).catch(told);
    print(values["json"] === true ? JSON.stringify(evaluation) : describe(evaluation));
    if (out !== undefined) progress.note(await writeReport(out, evaluationReport(evaluation, context), PAGE_NAME));
    return 0;
  },
};

/** A note, or a bar of what has so many parts. */
const parts = ({ note, tell }: Progress): EvaluateOptions["onProgress"] => (what, part) => { if (part === undefined) note(what); else tell?.(`${progressBar(part.done, part.of)}: ${what}`); };

async function rowsAndGoals(values: Values, environment: Environment, onProgress: (line: string) => void): Promise<Omit<EvaluateOptions, "test">> {
  if (values["from-audit"] === true) return (await auditOptions(values, { environment, refused: ["train", "test", "baseline", "outputs", "answer-pattern"], onProgress })).options;
  requireAudit(values);
  return optionsOf(values, onProgress);
}

async function playedOptions(values: Values, environment: Environment, onProgress: (line: string) => void): Promise<EvaluateOptions> {
  const options = await rowsAndGoals(values, environment, onProgress);
  const test = text(values, "folds") === undefined ? (await textsIn(values, options.tiers))(await read("test", values, options.tiers)) : { folds: foldsOf(values) };
  return { ...options, test, datasets: text(values, "datasets")?.split(",") };
}

async function comparisonOf(values: Values, environment: Environment, onProgress: (line: string) => void): Promise<SourceComparison> {
  return compareSources(await playedOptions(values, environment, onProgress), sourcesIn(values));
}

async function evaluationOf(values: Values, environment: Environment, onProgress: (line: string) => void): Promise<Evaluation> {
  const options = await playedOptions(values, environment, onProgress);
  const startedAtMs = performance.now();
  const evaluation = play(options);
  onProgress(`evaluated in ${((performance.now() - startedAtMs) / 1_000).toFixed(1)} s`);
  return evaluation;
}

async function resampledFrom(values: Values, environment: Environment, onProgress: (line: string) => void): Promise<Resampled> {
  requireOneSource(values, "resamples");
  for (const other of ["test", "folds", "datasets", "out"]) if (values[other] !== undefined) throw wrongUse(`--resamples does not go with --${other}`);
  return resample(await rowsAndGoals(values, environment, onProgress), wholeNumberOf(values, "resamples", 500, { above: 0, most: 100_000 }));
}

async function learningCurveFrom(values: Values, environment: Environment, onProgress: (line: string) => void): Promise<LearningCurve> {
  requireOneSource(values, "labels");
  for (const other of ["test", "folds", "datasets"]) if (values[other] !== undefined) throw wrongUse(`--labels does not go with --${other}`);
  const labels = (text(values, "labels") ?? "").split(",").map(Number);
  if (labels.some((count) => !Number.isInteger(count) || count < 0)) throw wrongUse(`--labels must be whole numbers, separated by commas, not ${text(values, "labels") ?? ""}`);
  return learningCurve(await rowsAndGoals(values, environment, onProgress), { labels: [...new Set(labels)].sort((a, b) => a - b), shuffles: wholeNumberOf(values, "shuffles", 20, { above: 0, most: 10_000 }) });
}

/** All but the rows to play. */
export async function optionsOf(values: Values, onProgress: (line: string) => void): Promise<Omit<EvaluateOptions, "test">> {
  const tiers = tiersIn(values);
  const { train, ...others } = await readTraining(values, tiers);
  return { ...others, train: (await textsIn(values, tiers))(train), judge: judgeIn(values), ...goalsOf(values), tiers, policies: list(values, "policy"), baselineTier: text(values, "baseline") ?? null, onProgress };
}

function requireOneSource(values: Values, option: string): void {
  if (sourcesIn(values).length > 1) throw wrongUse(`--${option} takes one --confidence: sources are compared with --test or --folds`);
}

function judgeIn(values: Values): TextJudge | undefined {
  const answerPattern = text(values, "answer-pattern");
  if (values["outputs"] === undefined) {
    if (answerPattern !== undefined) throw wrongUse("--answer-pattern goes with --outputs: it says where in a text the answer proper stands");
    return undefined;
  }
  const method = ConfidenceMethod.safeParse({ kind: "tier_agreement", ...(answerPattern === undefined ? {} : { answer_pattern: answerPattern }) });
  if (!method.success) throw wrongUse(`--answer-pattern ${issueLines(method.error).join("; ")}`);
  return textJudge(answerPattern ?? null);
}

async function textsIn(values: Values, tiers: readonly string[]): Promise<(rows: readonly OutcomeRow[]) => readonly OutcomeRow[]> {
  const files = list(values, "outputs");
  return files === undefined ? (rows) => rows : textsFor(files, tiers);
}

function foldsOf(values: Values): number {
  if (values["test"] !== undefined) throw wrongUse("--folds stands instead of --test: give one of them");
  return wholeNumberOf(values, "folds", 5, { above: 1, most: 20 });
}

/** Rows of the tiers; or, when no file has any, the rows of whatever models the files have. */
async function readTraining(values: Values, tiers: readonly string[]): Promise<Pick<EvaluateOptions, "train" | "others">> {
  const files = list(values, "train") ?? [];
  const first = await Promise.all(files.map((file) => modelsOf(file)));
  const isOfOthers = values["test"] !== undefined && files.length > 0 && first.every((models) => !tiers.every((tier) => models.includes(tier)));
  if (!isOfOthers) return { train: await read("train", values, tiers) };
  return { train: [], others: (await Promise.all(files.map((file) => readTrainingLog(file)))).flat() };
}

async function read(name: "train" | "test", values: Values, tiers: readonly string[]): Promise<OutcomeRow[]> {
  const files = list(values, name) ?? [];
  if (files.length === 0) throw wrongUse(name === "test" ? "say which rows to play: --test, --folds, --resamples or --labels" : "--train is missing");
  return (await Promise.all(files.map((file) => readOutcomeLog(file, tiers)))).flat();
}

const percent = (share: number, digits = 1) => (100 * share).toFixed(digits);
const HEAD = ["POLICY", "N", "QUALITY %", "OF BASELINE %", "USD/1,000", "SAVING %, 95 % CI", "P50 MS", "P95 MS", "ANSWERED BY %", "WENT ON %", "TARGET"];

/** Each source's own tables, and then all of them beside each other. */
function describeSources(comparison: SourceComparison): string {
  const { sources, ...about } = comparison;
  const single = sources.map(({ source, policies, notes }) => `confidence: ${source}\n${describe({ ...about, policies, notes })}`);
  return `${single.join("\n\n\n")}\n\n\nsources of confidence compared, on the same rows\n${describeComparison(comparison)}`;
}

function describe({ policies, tiers, baseline, target, risk, rows, seed, cost, notes }: Evaluation): string {
  const datasets = [...new Set(policies.map(({ dataset }) => dataset))];
  const tables = datasets.map((dataset) => {
    const mine = policies.filter((policy) => policy.dataset === dataset);
    return `${dataset === "all" ? "all rows" : dataset}\n${textTable(HEAD, mine.map((policy) => line(policy, tiers)))}\n\n${curves(mine)}`;
  });
  return `${rows.train} training rows, ${rows.test} test rows; seed ${seed}; cost: ${cost}; tiers ${tiers.join(" < ")}
target: ${percent(target)} % of always-${baseline}, which may fail with probability ${risk}
${notes.map((note) => `note: ${note}\n`).join("")}
${tables.join("\n\n")}`;
}

function line({ policy, n, quality, quality_ratio, cost_per_1k_usd, saving, saving_ci95: [low, high], latency_p50_ms, latency_p95_ms, tier_share, escalation_share, target_held, floor_shown }: PolicyReport, tiers: readonly string[]): string[] {
  const ms = (value: number | null) => (value === null ? "-" : value.toFixed(0));
  const byTier = (share: PolicyReport["tier_share"]) => tiers.map((tier) => percent(share[tier] ?? 0, 0)).join(" ");
  return [policy, String(n), percent(quality), percent(quality_ratio), cost_per_1k_usd.toFixed(4), `${percent(saving)} (${percent(low)} to ${percent(high)})`, ms(latency_p50_ms), ms(latency_p95_ms), byTier(tier_share), byTier(escalation_share), `${target_held ? "held" : "missed"}${floor_shown === false ? ", not shown" : ""}`];
}

function curves(policies: readonly PolicyReport[]): string {
  const rows = policies.filter(({ saving_at_ratio, apgr }) => saving_at_ratio !== undefined || apgr !== undefined).map(({ policy, saving_at_ratio = {}, apgr, cpt50, cpt80, error_cost_auc }) => [
    policy, ...["0.95", "0.97", "0.99"].map((ratio) => { const saving = saving_at_ratio[ratio] ?? null; return saving === null ? "-" : percent(saving); }),
    apgr?.toFixed(3) ?? "-", cpt50?.toFixed(1) ?? "-", cpt80?.toFixed(1) ?? "-", error_cost_auc?.toFixed(4) ?? "-",
  ]);
  return textTable(["FRONTIER (knob swept on these rows)", "SAVING % AT 0.95", "AT 0.97", "AT 0.99", "APGR", "CPT50", "CPT80", "ERROR-COST AUC"], rows);
}

const RESAMPLED_HEAD = ["POLICY", "FLOOR FAILED", "SHARE %, 95 % CI", "MEAN OF BASELINE %", "MEAN SAVING %"];

function describeResampled({ resamples, rows, tiers, baseline, target, risk, seed, cost, policies }: Resampled): string {
  const lines = policies.map(({ policy, violations, violation_share, violation_ci95: [low, high], quality_ratio, saving }) =>
    [policy, `${violations} of ${resamples}`, `${percent(violation_share)} (${percent(low)} to ${percent(high)})`, percent(quality_ratio), percent(saving)]);
  return `${resamples} random halves: ${rows.train} training rows, ${rows.test} played rows; seed ${seed}; cost: ${cost}; tiers ${tiers.join(" < ")}
target: ${percent(target)} % of always-${baseline}, which may fail with probability ${risk}; the noise of the played half counts as failure, too

${textTable(RESAMPLED_HEAD, lines)}`;
}

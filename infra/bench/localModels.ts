/**
 * Measures the local models on mails that none of them was trained or tuned on, and checks what the project claims of
 * them. Ends with code 1 when a claim does not hold. `--help` says how to run it.
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";

import { textTable } from "#infra/cli/textTable.ts";
import { readTierFile } from "#shared/runtime/loadConfig.ts";
import { costOf } from "#shared/contracts/rates.ts";
import { replicasOf, type Tier } from "#shared/contracts/tiers.ts";
import { makeLocalBackend } from "#workers/backends/local/localBackend.ts";
import { loadMails, type Mail, type Split } from "#workers/backends/local/mails.ts";
import { trainLocalModels } from "#workers/backends/local/train.ts";

import { checkClaims, chooseThresholds, evaluateCascade, evaluateTier, type AnsweredMail, type CascadeRow, type Claim, type TierAnswer, type TierRow } from "./localModelsEvaluation.ts";
import type { Interval } from "./localModelsStatistics.ts";

const HELP = `Measures the local models on held-out mails: accuracy, cost, calibration, and the cascade over them.

  npx tsx infra/bench/localModels.ts [--json] [--dir <folder>] [--tiers <file>]

  --json    one JSON document instead of the tables
  --dir     where the models are; trained there when missing (default .infer/local-models)
  --tiers   tier file with prices and thresholds (default infra/config/tiers.yaml)

Example: npx tsx infra/bench/localModels.ts --json | jq .cascade.saving
Ends with 1 when a claim does not hold, with 2 when it could not run.`;

const CALL = { signal: new AbortController().signal, traceparent: "" };
/** The fastest of some passes: what else runs on the machine can only add. */
const TIMED_PASSES = 5;

interface MeasuredTier {
  readonly name: string;
  readonly test: readonly TierAnswer[];
  readonly validation: readonly TierAnswer[];
  /** Microseconds of processor time per mail, everything of a call included. */
  readonly cpuUsPerMail: number;
}

interface Report {
  readonly mails: Readonly<Record<Split, number>> & { readonly test_groups: number; readonly test_spam: number };
  readonly machine: string;
  readonly tiers: readonly (TierRow & { readonly cpu_us_per_mail: number })[];
  readonly cascade: CascadeRow;
  readonly thresholds_chosen_on_validation: readonly number[];
  readonly claims: readonly Claim[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { json: { type: "boolean", default: false }, dir: { type: "string", default: ".infer/local-models" }, tiers: { type: "string", default: "infra/config/tiers.yaml" }, help: { type: "boolean", default: false } } });
  if (values.help) return void process.stdout.write(`${HELP}\n`);
  const read = readTierFile({ tiersFile: values.tiers, pricesFile: "infra/config/prices.yaml" });
  if ("problems" in read) throw new Error(`${values.tiers}: ${read.problems.join("; ")}`);
  await trainLocalModels({ dir: values.dir, onProgress: (line) => process.stderr.write(`${line}\n`) });
  const report = await measure(values.dir, read.file.tiers);
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : describe(report));
  if (report.claims.some(({ holds }) => !holds)) process.exitCode = 1;
}

async function measure(dir: string, tiers: readonly Tier[]): Promise<Report> {
  const mails = await loadMails();
  const inSplit = (wanted: Split) => mails.filter(({ split }) => split === wanted);
  const [test, validation] = [inSplit("test"), inSplit("validation")];
  const measured: MeasuredTier[] = [];
  for (const tier of tiers) measured.push(await measureTier(dir, tier, test, validation));
  const answered = (set: "test" | "validation", of: readonly Mail[]): AnsweredMail[] =>
    of.map(({ group_id }, index) => ({ group_id, answers: measured.flatMap((tier) => tier[set][index] ?? []) }));
  const testAnswers = answered("test", test);
  const rows = measured.map(({ name, cpuUsPerMail }, index) => ({ ...evaluateTier(testAnswers, name, index), cpu_us_per_mail: cpuUsPerMail }));
  const cascade = evaluateCascade(testAnswers, tiers.map(({ accept_confidence }) => accept_confidence));
  return {
    mails: {
      train: inSplit("train").length, validation: validation.length, test: test.length,
      test_groups: new Set(test.map(({ group_id }) => group_id)).size, test_spam: test.filter(({ is_spam }) => is_spam).length,
    },
    machine: `${cpus()[0]?.model.trim() ?? "unknown processor"}, Node ${process.versions.node}`,
    tiers: rows,
    cascade,
    thresholds_chosen_on_validation: chooseThresholds(answered("validation", validation)),
    claims: checkClaims(rows, cascade),
  };
}

async function measureTier(dir: string, tier: Tier, test: readonly Mail[], validation: readonly Mail[]): Promise<MeasuredTier> {
  const [{ backend, price }] = replicasOf(tier);
  if (backend.kind !== "local") throw new Error(`tier ${tier.name} does not run a local model`);
  const model = await makeLocalBackend({ dir, model: backend.model });
  const answer = async ({ input, is_spam }: Mail): Promise<TierAnswer> => {
    const { output, confidence, usage } = await model.call(input, CALL);
    return { is_correct: output === (is_spam ? "spam" : "ham"), confidence, cost_nano_usd: costOf(price, usage) };
  };
  const answerAll = async (mails: readonly Mail[]) => {
    const answers: TierAnswer[] = [];
    for (const mail of mails) answers.push(await answer(mail));
    return answers;
  };
  const measured = { name: tier.name, test: await answerAll(test), validation: await answerAll(validation) };
  const passes: number[] = [];
  for (let pass = 0; pass < TIMED_PASSES; pass += 1) {
    const before = process.cpuUsage();
    for (const { input } of test) await model.call(input, CALL);
    const { user, system } = process.cpuUsage(before);
    passes.push((user + system) / test.length);
  }
  await model.close();
  return { ...measured, cpuUsPerMail: Math.min(...passes) };
}

const percent = (value: number, digits = 1): string => (value * 100).toFixed(digits);
const interval = ({ estimate, low, high }: Interval, sign = ""): string => `${sign}${percent(estimate, 2)} (${percent(low, 2)} to ${percent(high, 2)})`;
const usd = (value: number): string => value.toFixed(4);

function describe({ mails, machine, tiers, cascade, thresholds_chosen_on_validation, claims }: Report): string {
  const tierTable = textTable(
    ["tier", "accuracy %, 95 % CI", "gain on the tier below, points", "calibration error %", "CPU us/mail", "USD/1,000"],
    tiers.map((row) => [row.tier, interval(row.accuracy), row.gain === null ? "-" : interval(row.gain, "+"), percent(row.calibration_error), row.cpu_us_per_mail.toFixed(0), usd(row.usd_per_thousand)]),
  );
  const best = tiers.at(-1);
  const list = (numbers: readonly number[]) => numbers.map(String).join(" / ");
  return `${mails.test} held-out mails (${mails.test_spam} spam, ${mails.test_groups} groups of related mails); trained on ${mails.train}, calibrated and tuned on ${mails.validation}.
Intervals: bootstrap over groups, fixed seed. ${machine}.

${tierTable}

cascade at ${list(cascade.thresholds)} (tier file; chosen on validation: ${list(thresholds_chosen_on_validation)})
  accuracy                     ${interval(cascade.accuracy)} %
  share of ${best?.tier ?? ""}'s accuracy       ${interval(cascade.share_of_best)} %
  answered by                  ${tiers.map(({ tier }, index) => `${tier} ${percent(cascade.answered_by[index] ?? 0)} %`).join(", ")}
  USD per 1,000 mails          ${usd(cascade.usd_per_thousand)} against ${usd(best?.usd_per_thousand ?? 0)} always-${best?.tier ?? ""}
  saving                       ${interval(cascade.saving)} %

${claims.map(({ claim, holds }) => `${holds ? "holds" : "FAILS"}  ${claim}`).join("\n")}
`;
}

main().catch((err: unknown) => {
  process.stderr.write(`${err instanceof Error ? err.message : String(err)}\n`);
  process.exitCode = 2;
});

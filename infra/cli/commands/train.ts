import { createHash } from "node:crypto";
import { access, constants, readFile, stat, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";

import type { Environment } from "#infra/embedded/homeFolder.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { type EvaluateOptions, preparedFrom } from "#router/evaluation/evaluate.ts";
import { EvaluationError } from "#router/evaluation/evaluationError.ts";
import { modelText, toModelFile, type TrainedOn } from "#router/evaluation/modelFile.ts";
import { type OutcomeRow, readOutcomeLog } from "#router/evaluation/outcomeLog.ts";
import { LEARNED_POLICIES, type Setting, train as fit } from "#router/evaluation/trainModel.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { TierName } from "#shared/contracts/tiers.ts";

import { calibrationTable } from "../calibrationTable.ts";
import { type Command, EXIT_USAGE } from "../command.ts";
import { hasFloor, requireFit, withModelStore } from "../modelStore.ts";
import { textTable } from "../textTable.ts";
import { AUDIT_DETAILS, AUDIT_OPTIONS, auditOptions, requireAudit } from "./auditOptions.ts";
import { optionsOf } from "./evaluate.ts";
import { list, text, tiersIn, type Values, wrongUse } from "./evaluationValues.ts";

export const train: Command = {
  summary: "Learns from outcome logs, or from the running system's own shadow labels and feedback, when a cheap tier is good enough: makes a routing model, and can put it to work.",
  usage: "(--train <file> [--train <file>] --tiers <a,b,c> [--map <tier>=<model> ...] | --from-audit) [--out <file>] [--publish] [options]",
  details: [
    "--train            JSON lines of outcomes, as `inferctl evaluate --help` describes them",
    "--tiers            models of the logs",
    "--from-audit       instead of --train: from the tables shadows and feedback (DATABASE_URL, or what `inferctl up` started).",
    "                   Sampled requests need an answer of every tier: INFER_SHADOW_SHARE above 0, INFER_SHADOW_TIERS=all.",
    "                   A tier's answer is as good as it agrees with the baseline's, unless somebody said how good the kept answer was.",
    "                   Tiers and baseline are the tier file's; --tiers takes some of them",
    ...AUDIT_DETAILS,
    "--map              what the tier file calls a model of the logs: small=llama3.1-8b; may be repeated",
    "--baseline, --target, --risk, --latency-slo-ms, --cost, --confidence, --seed   as for `inferctl evaluate`, with one source; --baseline, --cost and --confidence not with --from-audit",
    "--out              writes the model there",
    "--publish          puts the model into NATS and activates it, unless no policy's floor was shown to hold; routers take it within seconds",
    "--json             the model as one JSON object",
  ],
  example: "inferctl train --train train.jsonl.gz --tiers llama3.1-8b,llama3.1-70b,llama3.1-405b --map small=llama3.1-8b --map medium=llama3.1-70b --map large=llama3.1-405b --publish",
  options: {
    train: { type: "string", multiple: true }, ...AUDIT_OPTIONS, tiers: { type: "string" }, map: { type: "string", multiple: true }, baseline: { type: "string" }, target: { type: "string" }, risk: { type: "string" },
    "latency-slo-ms": { type: "string" }, cost: { type: "string" }, confidence: { type: "string" }, seed: { type: "string" }, out: { type: "string" }, publish: { type: "boolean" }, json: { type: "boolean" },
  },
  maxPositionals: 0,
  run: async ({ values }, { environment, print, progress }) => {
    const out = text(values, "out"), isPublished = values["publish"] === true, isJson = values["json"] === true;
    if (out !== undefined) await requireWritable(out);
    const { setting, rows, sources, names } = await prepared(values, environment, progress.note);
    if (isPublished) {
      const named = (tier: string) => names.get(tier) ?? tier;
      requireFit({ tiers: setting.tiers.map(named), baseline_tier: named(setting.tiers[setting.baseline] ?? "") }, environment);
      await withModelStore(environment, (store) => store.active()); // whether it is there, before minutes of work
    }
    const model = toModelFile(fit(setting, rows, setting.hasConfidences ? LEARNED_POLICIES : ["predictive"], progress.note), { sources, names, createdAt: new Date() });
    if (out !== undefined) await writeFile(out, modelText(model)).catch((error: unknown) => { throw cannotWrite(out, error); });
    print(isJson ? JSON.stringify(model) : describeModel(model));
    if (isPublished) await publish(model, { out, environment, note: progress.note });
    else if (out === undefined && !isJson) progress.note("this model is kept nowhere: --out <file> writes it, --publish puts it to work");
    return 0;
  },
};

/** Throws a `SetupError` for a model that would take the place of a better one and promise nothing. */
async function publish(model: RoutingModelFile, { out, environment, note }: { out: string | undefined; environment: Environment; note: (line: string) => void }): Promise<void> {
  const { version, data, target, risk, baseline_tier } = model;
  if (!hasFloor(model)) {
    throw new SetupError(`model ${version} is not published, and what was active stays: on ${data.rows} held-out rows no policy was shown to keep ${percent(target)} % of always-${baseline_tier}; ${out === undefined ? "it is kept nowhere (--out would write it)" : `it is in ${out}`}`,
      `Train on more rows, or promise less: a lower --target than ${target} or a higher --risk than ${risk}.`);
  }
  await withModelStore(environment, async (store) => {
    await store.put(model);
    await store.activate(version);
  });
  note(`model ${version} is active`);
}

/** As far as can be told without writing. */
async function requireWritable(file: string): Promise<void> {
  try {
    const there = await stat(file).catch((error: unknown) => { if ((error as NodeJS.ErrnoException).code === "ENOENT") return null; throw error; });
    if (there?.isDirectory() === true) throw new Error("it is a folder");
    await access(there === null ? dirname(file) : file, constants.W_OK);
  } catch (error) {
    throw cannotWrite(file, error);
  }
}
const cannotWrite = (file: string, error: unknown) => new SetupError(`cannot write ${file}: ${String(error)}`, "Give --out a file in a folder that you may write to.", { exitCode: EXIT_USAGE, cause: error });
/** Whatever was used wrongly, with train's own help: options that both commands have are read by `evaluate`, which points at its. */
const ofTrain = (error: unknown): unknown => (error instanceof EvaluationError || (error instanceof SetupError && error.exitCode === EXIT_USAGE)
  ? new SetupError(error.message, "Correct it; options: inferctl train --help", { exitCode: EXIT_USAGE, cause: error }) : error);

interface Training {
  readonly options: Omit<EvaluateOptions, "test">;
  readonly sources: readonly TrainedOn[];
  /** What the tier file calls a model of the log. */
  readonly names: ReadonlyMap<string, string>;
}

interface Prepared extends Pick<Training, "sources" | "names"> {
  readonly setting: Setting;
  readonly rows: readonly OutcomeRow[];
}

/** All that comes before the fit. */
async function prepared(values: Values, environment: Environment, onProgress: (line: string) => void): Promise<Prepared> {
  try {
    const { options, sources, names } = values["from-audit"] === true ? await fromAudit(values, environment, onProgress) : await fromFiles(values, onProgress);
    const { setting, train: rows } = preparedFrom({ ...options, test: [] });
    return { setting, rows, sources, names };
  } catch (error) {
    throw ofTrain(error);
  }
}

async function fromAudit(values: Values, environment: Environment, onProgress: (line: string) => void): Promise<Training> {
  const { options, source } = await auditOptions(values, { environment, refused: ["train", "map", "baseline", "cost", "confidence"], onProgress });
  return { options, sources: [source], names: new Map() };
}

async function fromFiles(values: Values, onProgress: (line: string) => void): Promise<Training> {
  if (values["train"] === undefined) throw wrongUse("say what to learn from: --train <file> with --tiers <a,b>, or --from-audit");
  requireAudit(values);
  const names = namesOf(list(values, "map") ?? [], tiersIn(values));
  const options = await optionsOf(values, onProgress);
  const sources = await Promise.all((list(values, "train") ?? []).map(async (file) => ({
    name: basename(file), rows: (await readOutcomeLog(file, options.tiers)).length, sha256: createHash("sha256").update(await readFile(file)).digest("hex"),
  })));
  return { options, sources, names };
}

/** What the tier file calls each model that `--map` names. Pure. */
function namesOf(pairs: readonly string[], models: readonly string[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const pair of pairs) {
    const [model, tier] = nameOf(pair, models);
    const other = names.get(model);
    if (other !== undefined && other !== tier) throw wrongUse(`--map calls ${model} both ${other} and ${tier}`);
    names.set(model, tier);
  }
  const called = models.map((model) => names.get(model) ?? model);
  const unnamed = models.find((_model, i) => !TierName.safeParse(called[i]).success);
  if (unnamed !== undefined) throw wrongUse(`${names.get(unnamed) ?? unnamed} is no name of a tier (lower-case letters, digits and dashes): say what the tier file calls it with --map <tier>=${unnamed}`);
  const twice = called.find((tier, i) => called.indexOf(tier) !== i);
  if (twice !== undefined) throw wrongUse(`--map: ${models.filter((_model, i) => called[i] === twice).join(" and ")} cannot both be the tier ${twice}`);
  return names;
}

/** `small=llama3.1-8b`: model of the log, name of the tier. */
function nameOf(pair: string, models: readonly string[]): [string, string] {
  const at = pair.indexOf("=");
  const [tier, model] = [pair.slice(0, at), pair.slice(at + 1)];
  if (at < 1 || !models.includes(model)) throw wrongUse(`--map ${pair}: say <tier>=<model>, with a model of --tiers`);
  return [model, tier];
}

const percent = (share: number) => (100 * share).toFixed(1);

/** For people: what it promises, and what held-out rows said. `byClass`: calibration of each class of task. */
export function describeModel(model: RoutingModelFile, { byClass = false }: { readonly byClass?: boolean } = {}): string {
  const { version, created_at, tiers, baseline_tier, target, risk, latency_slo_ms, data, metrics, classes, levels, operating } = model;
  const lines = Object.entries(metrics).map(([policy, measured]) =>
    [policyName(policy), ...(measured === null ? ["-", "-", "not shown: the tier file's thresholds decide"] : [percent(measured.quality_ratio), percent(measured.saving), "shown to hold"])]);
  const better = betterPolicy(metrics);
  return `model ${version}, made ${created_at} from ${data.rows} rows (${data.sources.map(({ name }) => name).join(", ")}; fingerprint ${data.fingerprint.slice(0, 12)})
tiers ${tiers.join(" < ")}; at least ${percent(target)} % of always-${baseline_tier}, which may fail with probability ${risk}${latency_slo_ms === null ? "" : `; SLO ${latency_slo_ms} ms`}
classes of task: ${classes.names.join(", ")}; ${levels.length} levels, cascade-routing at ${operating.cascade_routing_level ?? "none"}

${textTable(["POLICY", "OF BASELINE %", "SAVING %", `FLOOR, ON ${data.rows} HELD-OUT ROWS`], lines)}
${better === null ? "" : `\n${better}\n`}
good answers in 100, by the confidence that the tier has in them${byClass ? "" : " (each class counts alike)"}:
${calibrationTable(model, { byClass })}`;
}

const policyName = (key: string): string => key.replaceAll("_", "-");

/** What to say of a policy that saves more than `cascade-routing` and whose floor is shown, too; `null` when there is none. Pure. */
function betterPolicy({ cascade_routing: routing, ...others }: RoutingModelFile["metrics"]): string | null {
  const shown = Object.entries(others).flatMap(([policy, measured]) => (measured === null ? [] : [{ policy, saving: measured.saving }]));
  const [best] = shown.sort((a, b) => b.saving - a.saving);
  if (best === undefined || best.saving <= (routing?.saving ?? 0)) return null;
  const name = policyName(best.policy);
  const against = routing === null ? `${percent(best.saving)} %; cascade-routing's floor was not shown to hold` : `${percent(best.saving)} against ${percent(routing.saving)} %`;
  return `${name} saves more than cascade-routing on these rows (${against}): to use it, set default_policy: ${name} in the tier file, or policy in a request.
To choose between two floors by the rows that showed them fails a little more often than either does.`;
}

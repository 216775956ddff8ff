import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";

import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { type EvaluateOptions, preparedFrom } from "#router/evaluation/evaluate.ts";
import { EvaluationError } from "#router/evaluation/evaluationError.ts";
import { modelText, toModelFile, type TrainedOn } from "#router/evaluation/modelFile.ts";
import { readOutcomeLog } from "#router/evaluation/outcomeLog.ts";
import { LEARNED_POLICIES, train as fit } from "#router/evaluation/trainModel.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { TierName } from "#shared/contracts/tiers.ts";

import { readAuditRows } from "../auditRows.ts";
import { calibrationTable } from "../calibrationTable.ts";
import { type Command, EXIT_USAGE } from "../command.ts";
import { requireFit, withModelStore } from "../modelStore.ts";
import { textTable } from "../textTable.ts";
import { goalsOf, list, optionsOf, text, tiersIn, type Values, wholeNumberOf, wrongUse } from "./evaluate.ts";

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
    "--since            for --from-audit: not before this, as ISO time or an age such as 7d or 12h",
    "--tenant           for --from-audit: requests of this tenant alone",
    "--max-rows         for --from-audit: the latest so many sampled requests (default 20000)",
    "--map              what the tier file calls a model of the logs: small=llama3.1-8b; may be repeated",
    "--baseline, --target, --risk, --latency-slo-ms, --cost, --seed   as for `inferctl evaluate`; --baseline and --cost not with --from-audit",
    "--out              writes the model there",
    "--publish          puts the model into NATS and activates it; routers take it within seconds",
    "--json             the model as one JSON object",
  ],
  example: "inferctl train --train train.jsonl.gz --tiers llama3.1-8b,llama3.1-70b,llama3.1-405b --map small=llama3.1-8b --map medium=llama3.1-70b --map large=llama3.1-405b --publish",
  options: {
    train: { type: "string", multiple: true }, "from-audit": { type: "boolean" }, since: { type: "string" }, tenant: { type: "string" }, "max-rows": { type: "string" }, tiers: { type: "string" }, map: { type: "string", multiple: true }, baseline: { type: "string" }, target: { type: "string" }, risk: { type: "string" },
    "latency-slo-ms": { type: "string" }, cost: { type: "string" }, seed: { type: "string" }, out: { type: "string" }, publish: { type: "boolean" }, json: { type: "boolean" },
  },
  maxPositionals: 0,
  run: async ({ values }, { environment, print, progress }) => {
    const model = await trained(values, environment, progress.note).catch((error: unknown) => {
      throw error instanceof EvaluationError ? wrongUse(error.message, error) : error;
    });
    const out = text(values, "out");
    if (out !== undefined) await writeFile(out, modelText(model)).catch((error: unknown) => { throw new SetupError(`cannot write ${out}: ${String(error)}`, "Give --out a file in a folder that you may write to.", { exitCode: EXIT_USAGE, cause: error }); });
    if (values["publish"] === true) {
      requireFit(model, environment);
      await withModelStore(environment, async (store) => {
        await store.put(model);
        await store.activate(model.version);
      });
      progress.note(`model ${model.version} is active`);
    }
    print(values["json"] === true ? JSON.stringify(model) : describeModel(model));
    return 0;
  },
};

interface Training {
  readonly options: Omit<EvaluateOptions, "test">;
  readonly sources: readonly TrainedOn[];
  /** What the tier file calls a model of the log. */
  readonly names: ReadonlyMap<string, string>;
}

async function trained(values: Values, environment: Environment, onProgress: (line: string) => void): Promise<RoutingModelFile> {
  const { options, sources, names } = values["from-audit"] === true ? await fromAudit(values, environment, onProgress) : await fromFiles(values, onProgress);
  const { setting, train: rows } = preparedFrom({ ...options, test: [] });
  return toModelFile(fit(setting, rows, setting.hasConfidences ? LEARNED_POLICIES : ["predictive"], onProgress), { sources, names, createdAt: new Date() });
}

async function fromFiles(values: Values, onProgress: (line: string) => void): Promise<Training> {
  for (const other of ["since", "tenant", "max-rows"]) if (values[other] !== undefined) throw wrongUse(`--${other} goes with --from-audit`);
  const options = await optionsOf(values, onProgress);
  const names = new Map((list(values, "map") ?? []).map((pair) => nameOf(pair, options.tiers)));
  const unnamed = options.tiers.find((model) => !TierName.safeParse(names.get(model) ?? model).success);
  if (unnamed !== undefined) throw wrongUse(`${names.get(unnamed) ?? unnamed} is no name of a tier (lower-case letters, digits and dashes): say what the tier file calls it with --map <tier>=${unnamed}`);
  const sources = await Promise.all((list(values, "train") ?? []).map(async (file) => ({
    name: basename(file), rows: (await readOutcomeLog(file, options.tiers)).length, sha256: createHash("sha256").update(await readFile(file)).digest("hex"),
  })));
  return { options, sources, names };
}

async function fromAudit(values: Values, environment: Environment, onProgress: (line: string) => void): Promise<Training> {
  for (const other of ["train", "map", "baseline", "cost"]) if (values[other] !== undefined) throw wrongUse(`--${other} does not go with --from-audit: tiers and baseline are the tier file's, and a live cost is all that was paid`);
  const goals = goalsOf(values);
  const { tiers: tierFile } = readSettings(environment, openHome(environment));
  const baselineTier = tierFile.baseline_tier;
  const known = tierFile.tiers.map(({ name }) => name);
  const asked = values["tiers"] === undefined ? known : tiersIn(values);
  const unknown = asked.find((name) => !known.includes(name));
  if (unknown !== undefined) throw wrongUse(`--tiers: the tier file has no ${unknown}; it has ${known.join(", ")}`);
  if (!asked.includes(baselineTier)) throw wrongUse(`--tiers: the baseline tier ${baselineTier} must be among them, since the labels are agreement with it`);
  const tiers = known.filter((name) => asked.includes(name));
  const { rows, source } = await readAuditRows(environment, { tiers, baselineTier, since: sinceOf(values, Date.now()), tenantId: text(values, "tenant") ?? null, maxRows: wholeNumberOf(values, "max-rows", 20_000, { above: 0, most: 1_000_000 }) }, onProgress);
  return { options: { ...goals, train: rows, tiers, isOrdered: true, labels: "agreement", baselineTier, onProgress }, sources: [source], names: new Map() };
}

const AGE_MS = { d: 86_400_000, h: 3_600_000 };
/** As ISO 8601. */
function sinceOf(values: Values, nowMs: number): string | null {
  const given = text(values, "since");
  if (given === undefined) return null;
  const [, count, unit] = /^(\d{1,5})([dh])$/.exec(given) ?? [];
  const atMs = count === undefined ? Date.parse(given) : nowMs - Number(count) * AGE_MS[unit === "d" ? "d" : "h"];
  if (Number.isNaN(atMs)) throw wrongUse(`--since must be an ISO time or an age such as 7d or 12h, not ${given}`);
  return new Date(atMs).toISOString();
}

/** `small=llama3.1-8b`: model of the log, name of the tier. */
function nameOf(pair: string, models: readonly string[]): [string, string] {
  const at = pair.indexOf("=");
  const [tier, model] = [pair.slice(0, at), pair.slice(at + 1)];
  if (at < 1 || !models.includes(model)) throw wrongUse(`--map ${pair}: say <tier>=<model>, with a model of --tiers`);
  return [model, tier];
}

/** For people: what it promises, and what held-out rows said. `byClass`: calibration of each class of task. */
export function describeModel(model: RoutingModelFile, { byClass = false }: { readonly byClass?: boolean } = {}): string {
  const { version, created_at, tiers, baseline_tier, target, risk, latency_slo_ms, data, metrics, classes, levels, operating } = model;
  const percent = (share: number) => (100 * share).toFixed(1);
  const lines = Object.entries(metrics).map(([policy, measured]) =>
    [policy.replaceAll("_", "-"), ...(measured === null ? ["-", "-", "not shown: the tier file's thresholds decide"] : [percent(measured.quality_ratio), percent(measured.saving), "shown to hold"])]);
  return `model ${version}, made ${created_at} from ${data.rows} rows (${data.sources.map(({ name }) => name).join(", ")}; fingerprint ${data.fingerprint.slice(0, 12)})
tiers ${tiers.join(" < ")}; at least ${percent(target)} % of always-${baseline_tier}, which may fail with probability ${risk}${latency_slo_ms === null ? "" : `; SLO ${latency_slo_ms} ms`}
classes of task: ${classes.names.join(", ")}; ${levels.length} levels, cascade-routing at ${operating.cascade_routing_level ?? "none"}

${textTable(["POLICY", "OF BASELINE %", "SAVING %", `FLOOR, ON ${data.rows} HELD-OUT ROWS`], lines)}

good answers in 100, by the confidence that the tier has in them${byClass ? "" : " (each class counts alike)"}:
${calibrationTable(model, { byClass })}`;
}

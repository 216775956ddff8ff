import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";

import { SetupError } from "#infra/embedded/setupError.ts";
import { preparedFrom } from "#router/evaluation/evaluate.ts";
import { EvaluationError } from "#router/evaluation/evaluationError.ts";
import { modelText, toModelFile } from "#router/evaluation/modelFile.ts";
import { readOutcomeLog } from "#router/evaluation/outcomeLog.ts";
import { LEARNED_POLICIES, train as fit } from "#router/evaluation/trainModel.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { TierName } from "#shared/contracts/tiers.ts";

import { calibrationTable } from "../calibrationTable.ts";
import { type Command, EXIT_USAGE } from "../command.ts";
import { requireFit, withModelStore } from "../modelStore.ts";
import { textTable } from "../textTable.ts";
import { list, optionsOf, text, type Values, wrongUse } from "./evaluate.ts";

export const train: Command = {
  summary: "Learns from outcome logs when a cheap tier is good enough: makes a routing model, and can put it to work.",
  usage: "--train <file> [--train <file>] --tiers <a,b,c> [--map <tier>=<model> ...] [--out <file>] [--publish] [options]",
  details: [
    "--train            JSON lines of outcomes, as `inferctl evaluate --help` describes them",
    "--tiers            models of the logs",
    "--map              what the tier file calls a model of the logs: small=llama3.1-8b; may be repeated",
    "--baseline, --target, --risk, --latency-slo-ms, --cost, --seed   as for `inferctl evaluate`",
    "--out              writes the model there",
    "--publish          puts the model into NATS and activates it; routers take it within seconds",
    "--json             the model as one JSON object",
  ],
  example: "inferctl train --train train.jsonl.gz --tiers llama3.1-8b,llama3.1-70b,llama3.1-405b --map small=llama3.1-8b --map medium=llama3.1-70b --map large=llama3.1-405b --publish",
  options: {
    train: { type: "string", multiple: true }, tiers: { type: "string" }, map: { type: "string", multiple: true }, baseline: { type: "string" }, target: { type: "string" }, risk: { type: "string" },
    "latency-slo-ms": { type: "string" }, cost: { type: "string" }, seed: { type: "string" }, out: { type: "string" }, publish: { type: "boolean" }, json: { type: "boolean" },
  },
  maxPositionals: 0,
  run: async ({ values }, { environment, print, progress }) => {
    const model = await trained(values, progress.note).catch((error: unknown) => {
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

async function trained(values: Values, onProgress: (line: string) => void): Promise<RoutingModelFile> {
  const options = await optionsOf(values, onProgress);
  const names = new Map((list(values, "map") ?? []).map((pair) => nameOf(pair, options.tiers)));
  const unnamed = options.tiers.find((model) => !TierName.safeParse(names.get(model) ?? model).success);
  if (unnamed !== undefined) throw wrongUse(`${names.get(unnamed) ?? unnamed} is no name of a tier (lower-case letters, digits and dashes): say what the tier file calls it with --map <tier>=${unnamed}`);
  const { setting, train: rows } = preparedFrom({ ...options, test: [] });
  const sources = await Promise.all((list(values, "train") ?? []).map(async (file) => ({
    name: basename(file), rows: (await readOutcomeLog(file, options.tiers)).length, sha256: createHash("sha256").update(await readFile(file)).digest("hex"),
  })));
  return toModelFile(fit(setting, rows, setting.hasConfidences ? LEARNED_POLICIES : ["predictive"], onProgress), { sources, names, createdAt: new Date() });
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

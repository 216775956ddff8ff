/** From what was typed to the policies that are asked about. */
import { existsSync, readFileSync } from "node:fs";

import { parse } from "yaml";
import { z } from "zod";

import type { Environment } from "#infra/embedded/homeFolder.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { guardedPlace } from "#router/learning/floorGuard.ts";
import type { Candidate } from "#router/evaluation/offPolicy/playEvent.ts";
import type { TierQuote } from "#shared/contracts/decision.ts";
import { issueLines } from "#shared/contracts/describeIssues.ts";
import { Steps } from "#shared/contracts/floorGuard.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { Probability } from "#shared/contracts/probability.ts";
import { costOf, ratesOf } from "#shared/contracts/rates.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { type Tier, type TierFile, TierName } from "#shared/contracts/tiers.ts";
import { readTierFile } from "#shared/runtime/loadConfig.ts";
import { readModel } from "#shared/runtime/readModel.ts";

import { EXIT_USAGE, type ParsedArguments } from "../command.ts";
import { withModelStore } from "../modelStore.ts";

const Wanted = z.strictObject({
  name: z.string().min(1).max(80).optional(),
  policy: z.string().min(1).max(64),
  /** A version in the store, or a file. */
  model: z.string().min(1).optional(),
  /** Where it stands: a place in the model's levels, or the level nearest to this λ (1/USD), or so many steps more careful than its own. */
  level: z.int().nonnegative().optional(),
  lambda_per_usd: z.number().nonnegative().optional(),
  floor_steps: Steps.optional(),
  /** Of `cascade`: by tier; or with a model, the least calibrated confidence that is kept. */
  accept_confidence: z.record(TierName, Probability).optional(),
  keep_from: z.number().nonnegative().max(2).optional(),
});
type Wanted = z.infer<typeof Wanted>;
const WantedList = z.array(Wanted).min(1).max(200);

const PLAIN = ["static", "cheapest", "cascade", "predictive", "cascade-routing", "random"];
const wrong = (message: string, cause?: unknown): SetupError => new SetupError(message, "Correct it; options: inferctl replay --help", { exitCode: EXIT_USAGE, ...(cause === undefined ? {} : { cause }) });

/** Throws a `SetupError`. */
export async function candidatesOf(values: ParsedArguments["values"], environment: Environment): Promise<Candidate[]> {
  const given = textOf(values, "policy");
  if (given === undefined) throw wrong("say which policies: --policy always-large,cascade, or a file of candidates: --policy candidates.yaml");
  const wanted = given.split(",").filter((one) => one !== "").flatMap(wantedIn);
  const model = textOf(values, "models");
  const named = wanted.map((one, i): Wanted & { readonly name: string } => ({ ...(model === undefined ? {} : { model }), ...one, name: one.name ?? (wanted.length > 1 && wanted.filter(({ policy }) => policy === one.policy).length > 1 ? `${one.policy} ${i + 1}` : one.policy) }));
  const twice = named.find(({ name }, i) => named.findIndex((other) => other.name === name) !== i);
  if (twice !== undefined) throw wrong(`two candidates are named ${twice.name}`);
  const versions = [...new Set(named.flatMap((one) => one.model ?? []))];
  const models = new Map<string, RoutingModelFile>();
  for (const version of versions) models.set(version, await modelOf(version, environment));
  const file = tierFileOf(values, environment, named.some(({ policy }) => policy === "static"));
  return named.map((one) => toCandidate(one, { model: one.model === undefined ? null : (models.get(one.model) ?? null), file, isOtherFile: textOf(values, "tiers") !== undefined, isPriced: textOf(values, "prices") !== undefined || textOf(values, "tiers") !== undefined }));
}

const textOf = (values: ParsedArguments["values"], name: string): string | undefined => (typeof values[name] === "string" ? values[name] : undefined);

function wantedIn(given: string): Wanted[] {
  if (PLAIN.includes(given) || /^always-[a-z][a-z0-9-]{0,30}$/.test(given)) return [{ policy: given }];
  if (!existsSync(given)) throw wrong(`--policy ${given}: there is neither such a policy (${PLAIN.join(", ")}, always-<tier>) nor such a file`);
  let value: unknown;
  try {
    value = parse(readFileSync(given, "utf8"));
  } catch (error) {
    throw wrong(`${given} cannot be read: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  const read = WantedList.safeParse(value);
  if (!read.success) throw wrong(`${given}: ${issueLines(read.error).join("; ")}`);
  return read.data;
}

async function modelOf(version: string, environment: Environment): Promise<RoutingModelFile> {
  if (!existsSync(version)) {
    const found = await withModelStore(environment, (store) => store.get(version));
    if (found === null) throw wrong(`there is no model ${version}, neither in the store (inferctl models list) nor as a file`);
    return found;
  }
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(version, "utf8"));
  } catch (error) {
    throw wrong(`${version} cannot be read: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  const read = readModel(value);
  if ("problems" in read) throw wrong(`${version}: ${read.problems.join("; ")}`);
  return read.model;
}

function tierFileOf(values: ParsedArguments["values"], environment: Environment, isNeeded: boolean): TierFile | null {
  const [tiers, prices] = [textOf(values, "tiers"), textOf(values, "prices")];
  if (tiers === undefined && prices === undefined && !isNeeded) return null;
  const tiersFile = tiers ?? environment["INFER_TIERS_FILE"] ?? "infra/config/tiers.yaml";
  const read = readTierFile({ tiersFile, pricesFile: prices ?? environment["INFER_PRICES_FILE"] ?? "infra/config/prices.yaml" }, { acceptsOver: true });
  if ("problems" in read) throw wrong(`${tiersFile} cannot be read: ${read.problems.join("; ")}`);
  return read.file;
}

function toCandidate(wanted: Wanted & { readonly name: string }, { model, file, isOtherFile, isPriced }: { readonly model: RoutingModelFile | null; readonly file: TierFile | null; readonly isOtherFile: boolean; readonly isPriced: boolean }): Candidate {
  const { name, policy, accept_confidence } = wanted;
  if ((policy === "cascade-routing" || policy === "predictive") && model === null) throw wrong(`${name}: ${policy} goes by a routing model: name one with --models <version or file>, or as \`model\` in the candidates' file`);
  const thresholds = accept_confidence ?? (isOtherFile && file !== null ? Object.fromEntries(file.tiers.map((tier) => [tier.name, tier.accept_confidence])) : undefined);
  return {
    name, policy, routes: file ?? { static_routes: { default: "", tasks: {} } },
    ...(model === null || (policy !== "cascade-routing" && policy !== "predictive" && policy !== "cascade") ? {} : { learned: learnedOf(wanted, model) }),
    ...(thresholds === undefined ? {} : { thresholds: new Map(Object.entries(thresholds)) }),
    ...(isPriced && file !== null ? { rates: new Map(file.tiers.map((tier) => [tier.name, ratesOf(tier.price)])) } : {}),
    ...(isOtherFile && file !== null ? { tiers: file.tiers.map((tier) => ({ name: tier.name, unknownQuote: quoteOf(tier) })) } : {}),
  };
}

function learnedOf({ name, policy, level: place, lambda_per_usd, floor_steps, keep_from }: Wanted & { readonly name: string }, model: RoutingModelFile): NonNullable<Candidate["learned"]> {
  const own = policy === "predictive" ? model.operating.predictive_level : policy === "cascade-routing" ? model.operating.cascade_routing_level : null;
  const nearest = lambda_per_usd === undefined ? undefined : model.levels.reduce((best, { lambda_per_usd: lambda }, i) => (Math.abs(lambda - lambda_per_usd) < Math.abs((model.levels[best]?.lambda_per_usd ?? Infinity) - lambda_per_usd) ? i : best), 0);
  const at = policy === "cascade" ? null : (place ?? nearest ?? (own === null ? null : guardedPlace(own, floor_steps ?? 0)));
  if (at !== null && model.levels[at] === undefined) throw wrong(`${name}: the model has ${model.levels.length} levels, from 0 on`);
  return { model, level: at === null ? null : (model.levels[at] ?? null), keepFrom: keep_from ?? model.operating.cascade_keep_from };
}

/** Of a tier that a log may not know: by the file's priors. */
const TYPICAL = { input_tokens: 256, output_tokens: 256 };
const quoteOf = ({ name, price, prior, accept_confidence }: Tier): TierQuote => ({
  tier: name, quality: prior.quality, accept_confidence, expected_cost_nano_usd: costOf(ratesOf(price), TYPICAL), max_cost_nano_usd: nanoUsd(0), on_time: 1, within_slo: 1,
  expected_latency_ms: prior.latency_p50_ms, breaker: "closed", workers: 1, queue_depth: 0,
});

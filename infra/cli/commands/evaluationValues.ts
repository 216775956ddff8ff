/** Options that commands share which evaluate or train, as they were typed. What is wrong with one is thrown as `SetupError`. */
import { SetupError } from "#infra/embedded/setupError.ts";
import { CONFIDENCE_SOURCES, type ConfidenceSource, isConfidenceSource } from "#router/evaluation/confidenceNames.ts";
import type { EvaluateOptions } from "#router/evaluation/evaluate.ts";

import { EXIT_USAGE, type ParsedArguments } from "../command.ts";

export type Values = ParsedArguments["values"];
export const text = (values: Values, name: string): string | undefined => (typeof values[name] === "string" ? values[name] : undefined);
export const list = (values: Values, name: string): string[] | undefined => (Array.isArray(values[name]) ? values[name].map(String) : undefined);
export const wrongUse = (message: string, cause?: unknown) => new SetupError(message, "Correct it; options and the schema of a row: inferctl evaluate --help", { exitCode: EXIT_USAGE, cause });

function numberOf(values: Values, name: string, fallback: number, { above, most }: { above: number; most: number }): number {
  const given = text(values, name);
  if (given === undefined) return fallback;
  const value = Number(given);
  if (given.trim() === "" || !(value > above && value <= most)) throw wrongUse(`--${name} must be a number above ${above} and at most ${most}, not ${given}`);
  return value;
}

export function wholeNumberOf(values: Values, name: string, fallback: number, range: { above: number; most: number }): number {
  const value = numberOf(values, name, fallback, range);
  if (!Number.isInteger(value)) throw wrongUse(`--${name} must be a whole number, not ${value}`);
  return value;
}

export function tiersIn(values: Values): string[] {
  const tiers = [...new Set(text(values, "tiers")?.split(",").filter((name) => name !== "") ?? [])];
  if (tiers.length < 2) throw wrongUse("--tiers needs at least two different models, separated by commas");
  return tiers;
}

/** What is wanted of the policies, whatever they are fitted on. */
export function goalsOf(values: Values): Pick<EvaluateOptions, "confidence" | "target" | "risk" | "latencySloMs" | "paysVerification" | "seed"> {
  const cost = text(values, "cost") ?? "total";
  if (cost !== "total" && cost !== "generation") throw wrongUse("--cost is total or generation");
  const target = numberOf(values, "target", 0.97, { above: 0, most: 1 }), risk = numberOf(values, "risk", 0.05, { above: 0, most: 0.5 });
  const slo = text(values, "latency-slo-ms") === undefined ? null : numberOf(values, "latency-slo-ms", 0, { above: 0, most: 3_600_000 });
  const seed = wholeNumberOf(values, "seed", 1, { above: -1, most: 2 ** 32 - 1 });
  return { confidence: sourcesIn(values)[0], target, risk, latencySloMs: slo, paysVerification: cost === "total", seed };
}

/** None: as the rows have them. */
export function sourcesIn(values: Values): ConfidenceSource[] {
  const given = list(values, "confidence") ?? [text(values, "confidence") ?? []].flat();
  return [...new Set(given.map((name) => {
    if (!isConfidenceSource(name)) throw wrongUse(`--confidence is one of ${CONFIDENCE_SOURCES.join(", ")}, not ${name}`);
    return name;
  }))];
}


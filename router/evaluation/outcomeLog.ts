/**
 * Outcome logs: what several models answered to the same queries, and how good each answer was. JSON lines, plain or
 * gzip. A row that is not readable, or lacks one of the tiers, is refused with file and line: a silently shorter log
 * would be another experiment.
 */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { createGunzip } from "node:zlib";

import { z } from "zod";

import { issueLines } from "#shared/contracts/describeIssues.ts";
import type { TrainingRow } from "#router/learning/fitGainPredictor.ts";
import { predictorFeatures } from "#router/policy/predictorFeatures.ts";
import { queryFeatures } from "#router/policy/queryFeatures.ts";
import { Probability } from "#shared/contracts/probability.ts";
import type { QueryFeatures } from "#shared/contracts/queryFeatures.ts";

import { isPaidMethod, RECORDED_SOURCES } from "./confidenceNames.ts";
import { EvaluationError } from "./evaluationError.ts";

const usd = z.number().nonnegative().max(1_000);
const milliseconds = z.number().nonnegative();
/** By one source, with what its own calls cost and how long they took. */
const Confidence = z.object({ value: Probability, cost_usd: usd.optional(), latency_ms: milliseconds.optional() });
const Outcome = z
  .object({
    correct: z.union([z.literal(0), z.literal(1)]).optional(),
    score: Probability.optional(),
    cost_usd: usd,
    /** Of the extra call that produced `confidence`. */
    verify_cost_usd: usd.default(0),
    /** Of the same call. */
    verify_latency_ms: milliseconds.optional(),
    confidence: Probability.optional(),
    confidences: z.partialRecord(z.enum(RECORDED_SOURCES), Confidence).optional(),
    latency_ms: milliseconds.optional(),
    answer: z.union([z.string(), z.number()]).transform(String).optional(),
  })
  .refine(({ correct, score }) => correct !== undefined || score !== undefined, "needs `correct` or `score`")
  .superRefine(({ confidences = {} }, context) => {
    for (const [source, one] of Object.entries(confidences)) if (isPaidMethod(source) && one.cost_usd === undefined) context.addIssue({ code: "custom", path: ["confidences", source], message: "needs `cost_usd`: it takes calls of its own" });
  });
const Line = z.object({ id: z.string(), dataset: z.string(), query: z.string(), tiers: z.record(z.string(), z.unknown()) });

/** What one source said of an answer. */
export interface SourcedConfidence {
  /** Raw, in [0, 1]. */
  readonly value: number;
  readonly cost_usd: number;
  /** `null`: it took calls, and nobody measured how long. */
  readonly latency_ms: number | null;
}
/** One tier's answer to one query. */
export interface TierOutcome {
  /** In [0, 1]. */
  readonly quality: number;
  readonly cost_usd: number;
  readonly verify_cost_usd: number;
  /** Of the calls that produced `confidence`; `null`: it is not known. Absent: counted as 0. */
  readonly verify_latency_ms?: number | null;
  /** Raw, in [0, 1]; `null` when the log has none. */
  readonly confidence: number | null;
  /** By source, where the log has several. */
  readonly confidences?: Readonly<Record<string, SourcedConfidence>>;
  /** Where `confidence` depends on which tier answered before: by its place, and without any. */
  readonly after?: { readonly none: number; readonly places: readonly number[] };
  /** `confidence` is a prior that stands in. */
  readonly lacks_confidence?: boolean;
  /** `null` when it was not measured. */
  readonly latency_ms: number | null;
  /** Its text, where the log has it. */
  readonly answer?: string;
  /** The whole of it, where recorded texts were given. */
  readonly text?: string;
  /** How far it is the baseline's answer, where that was compared already; `null` when it could not be. */
  readonly agreement?: number | null;
}
export interface OutcomeRow {
  readonly id: string;
  readonly dataset: string;
  readonly query: string;
  readonly features: QueryFeatures;
  /** In the order of the tiers that were asked for. */
  readonly tiers: readonly TierOutcome[];
}

/** Throws `EvaluationError` with `<file>:<line>: <what>`. */
export const readOutcomeLog = (file: string, tiers: readonly string[]): Promise<OutcomeRow[]> => readRows(file, (content) => readRow(content, tiers));

/** All models of each row, whichever they are. Throws as `readOutcomeLog` does. */
export const readTrainingLog = (file: string): Promise<TrainingRow[]> => readRows(file, (content) => readTrainingRow(content, file));

/** Models of the first row. Throws as `readOutcomeLog` does. */
export const modelsOf = async (file: string): Promise<string[]> => (await readRows(file, (content) => Object.keys(readLine(content).tiers), 1)).flat();

/** What `read` makes of each line that is not blank, in order. Throws `EvaluationError` with file and line for whatever `read` throws, and when there is no row. */
export async function readRows<Row>(file: string, read: (content: string) => Row, most = Infinity): Promise<Row[]> {
  const rows: Row[] = [];
  let line = 0;
  try {
    const bytes = createReadStream(file);
    const text = file.endsWith(".gz") ? bytes.pipe(createGunzip()) : bytes;
    if (text !== bytes) bytes.on("error", (error) => text.destroy(error));
    for await (const content of createInterface({ input: text, crlfDelay: Infinity })) {
      line++;
      if (content.trim() !== "") rows.push(read(content));
      if (rows.length >= most) break;
    }
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new EvaluationError(line === 0 ? `${file}: ${what}` : `${file}:${line}: ${what}`, { cause: error });
  }
  if (rows.length === 0) throw new EvaluationError(`${file}: there are no rows`);
  return rows;
}

/** Pure. Throws with what is wrong. */
export function readRow(content: string, tiers: readonly string[]): OutcomeRow {
  const { id, dataset, query, tiers: outcomes } = readLine(content);
  return { id, dataset, query, features: queryFeatures(query), tiers: tiers.map((tier) => readOutcome(outcomes, tier)) };
}

function readTrainingRow(content: string, file: string): TrainingRow {
  const { dataset, query, tiers } = readLine(content);
  if (Object.keys(tiers).length === 0) throw new Error("no outcome of any tier");
  const outcomes = Object.fromEntries(Object.keys(tiers).map((tier) => [tier, readOutcome(tiers, tier)]));
  return { source: `${file}#${dataset}`, features: predictorFeatures(query), outcomes };
}

function readLine(content: string): z.infer<typeof Line> {
  const line = Line.safeParse(parseLine(content));
  if (!line.success) throw new Error(issueLines(line.error).join("; "));
  return line.data;
}

/** Throws when it is not JSON. */
export function parseLine(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    throw new Error("not JSON");
  }
}

function readOutcome(outcomes: Readonly<Record<string, unknown>>, tier: string): TierOutcome {
  if (!Object.hasOwn(outcomes, tier)) throw new Error(`no outcome of tier ${tier}; there are ${Object.keys(outcomes).join(", ")}`);
  const outcome = Outcome.safeParse(outcomes[tier]);
  if (!outcome.success) throw new Error(issueLines(outcome.error).map((issue) => `tiers.${tier}.${issue}`).join("; "));
  const { correct, score, cost_usd, verify_cost_usd, verify_latency_ms, confidence = null, confidences, latency_ms = null, answer } = outcome.data;
  return {
    quality: score ?? correct ?? 0, cost_usd, verify_cost_usd, confidence, latency_ms,
    ...(verify_latency_ms === undefined ? {} : { verify_latency_ms }), ...(answer === undefined ? {} : { answer }), ...(confidences === undefined ? {} : { confidences: sourced(confidences) }),
  };
}

/** What takes no call of its own costs nothing and takes no time. */
function sourced(confidences: Readonly<Record<string, z.infer<typeof Confidence> | undefined>>): Record<string, SourcedConfidence> {
  return Object.fromEntries(Object.entries(confidences).flatMap(([source, one]) => {
    if (one === undefined) return [];
    const { value, cost_usd = 0, latency_ms = isPaidMethod(source) || cost_usd > 0 ? null : 0 } = one;
    return [[source, { value, cost_usd, latency_ms }]];
  }));
}

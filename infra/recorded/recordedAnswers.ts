/**
 * What real models answered, read from outcome logs: by the query's text (trimmed) and the model's name. What the log
 * knows of right and wrong is not even read, so nothing of it can get out.
 */
import { createHash } from "node:crypto";

import { z } from "zod";

import { parseLine, readRows } from "#router/evaluation/outcomeLog.ts";
import { issueLines } from "#shared/contracts/describeIssues.ts";
import { Probability } from "#shared/contracts/probability.ts";

const tokens = z.int().nonnegative().max(1e9);
const Outcome = z.object({
  cost_usd: z.number().nonnegative().max(1_000),
  prompt_tokens: tokens.optional(),
  completion_tokens: tokens.optional(),
  confidence: Probability.optional(),
  latency_ms: z.number().nonnegative().max(86_400_000).optional(),
  answer: z.union([z.string(), z.number()]).transform(String).optional(),
});
const Row = z.object({
  id: z.string().min(1).max(500),
  query: z.string().trim().min(1),
  tiers: z.record(z.string(), Outcome).refine((tiers) => Object.keys(tiers).length > 0, "no outcome of any model"),
});
export type RecordedRow = z.infer<typeof Row>;

const name = z.string().min(1).max(256);
const Calls = z.strictObject({ content: z.string().nullable(), tool_calls: z.array(z.strictObject({ id: name.optional(), name, arguments: z.string() })).min(1).max(128) });
const Outputs = z.object({
  id: z.string(),
  outputs: z.record(z.string(), z.union([z.string(), Calls], "must be a text, or {\"content\": <text or null>, \"tool_calls\": [{\"id\"?, \"name\", \"arguments\": \"<JSON>\"}, …]}")),
});

/** A call of a function, its arguments as the model wrote them. */
export interface RecordedCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}
/** What a model said: a text, or calls with or without one. */
export interface RecordedOutput {
  /** `null`: calls alone. */
  readonly text: string | null;
  readonly calls: readonly RecordedCall[];
}

/** One model's answer to one query. `null` is what the log does not have. */
export interface RecordedAnswer {
  readonly rowId: string;
  /** Trimmed. */
  readonly query: string;
  /** Its full text, else the log's short answer; also `null` where it was calls alone. */
  readonly text: string | null;
  readonly calls: readonly RecordedCall[];
  /** Of the whole answer; a call that verified it is not in it. */
  readonly costUsd: number;
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  /** Raw, in [0, 1]. */
  readonly confidence: number | null;
  readonly latencyMs: number | null;
}

/** How many queries a model answered, and for how many of them the log has a text, calls, a confidence, a latency. */
export interface ModelCoverage {
  readonly model: string;
  readonly queries: number;
  readonly texts: number;
  readonly calls: number;
  readonly confidences: number;
  readonly latencies: number;
}

export interface RecordedAnswers {
  readonly models: readonly ModelCoverage[];
  readonly rows: number;
  readonly queries: number;
  /** Answers that nobody can ask for, because a row before has the same query and model. */
  readonly hidden: number;
  readonly hasModel: (model: string) => boolean;
  readonly hasQuery: (query: string) => boolean;
  /** `query` trimmed. Where rows repeat a query, the first that has the model. */
  readonly find: (query: string, model: string) => RecordedAnswer | undefined;
}

/** Full answers by row id, then by model. */
export type RecordedOutputs = ReadonlyMap<string, ReadonlyMap<string, RecordedOutput>>;

/**
 * Reads outcome logs and the full answers that belong to them, JSON lines, plain or .gz. Throws `EvaluationError` with
 * `<file>:<line>: <what>` for a row that cannot be read, an id that stands for two queries, and an answer that is given twice.
 */
export async function readRecordedAnswers(files: readonly string[], outputFiles: readonly string[]): Promise<RecordedAnswers> {
  const rows: RecordedRow[] = [];
  const queryOf = new Map<string, string>();
  for (const file of files) {
    rows.push(...(await readRows(file, (content) => {
      const row = parsed(Row, content);
      if ((queryOf.get(row.id) ?? row.query) !== row.query) throw new Error(`id ${row.id} stands for another query before`);
      queryOf.set(row.id, row.query);
      return row;
    })));
  }
  return recordedAnswers(rows, await readOutputs(outputFiles));
}

/** Full answers, JSON lines, plain or .gz. Throws `EvaluationError` with `<file>:<line>: <what>` for a line that cannot be read, and an answer that is given twice. */
export async function readOutputs(files: readonly string[]): Promise<RecordedOutputs> {
  const outputs = new Map<string, Map<string, RecordedOutput>>();
  for (const file of files) {
    await readRows(file, (content) => {
      const { id, outputs: given } = parsed(Outputs, content);
      const known = outputs.get(id) ?? new Map<string, RecordedOutput>();
      const twice = Object.keys(given).find((model) => known.has(model));
      if (twice !== undefined) throw new Error(`the answer of ${twice} for ${id} was given before`);
      outputs.set(id, new Map([...known, ...Object.entries(given).map(([model, output]) => [model, toOutput(id, model, output)] as const)]));
    });
  }
  return outputs;
}

/** An id that was not recorded is the same each time the answer is asked for, and no other answer's. */
function toOutput(rowId: string, model: string, output: string | z.infer<typeof Calls>): RecordedOutput {
  if (typeof output === "string") return { text: output, calls: [] };
  const madeUp = (index: number) => `call_${createHash("sha256").update(JSON.stringify([rowId, model, index])).digest("hex").slice(0, 24)}`;
  return { text: output.content === "" ? null : output.content, calls: output.tool_calls.map(({ id, ...call }, index) => ({ id: id ?? madeUp(index), ...call })) };
}

/** Pure. */
export function recordedAnswers(rows: readonly RecordedRow[], outputs: RecordedOutputs): RecordedAnswers {
  const byQuery = new Map<string, Map<string, RecordedAnswer>>();
  let hidden = 0;
  for (const { id, query, tiers } of rows) {
    const byModel = byQuery.get(query) ?? new Map<string, RecordedAnswer>();
    byQuery.set(query, byModel);
    for (const [model, outcome] of Object.entries(tiers)) {
      if (byModel.has(model)) hidden++;
      else byModel.set(model, toAnswer(id, query, outcome, outputs.get(id)?.get(model)));
    }
  }
  const models = coverageOf(byQuery);
  const names = new Set(models.map(({ model }) => model));
  return {
    models, rows: rows.length, queries: byQuery.size, hidden,
    hasModel: (model) => names.has(model),
    hasQuery: (query) => byQuery.has(query),
    find: (query, model) => byQuery.get(query)?.get(model),
  };
}

function toAnswer(rowId: string, query: string, outcome: z.infer<typeof Outcome>, output: RecordedOutput | undefined): RecordedAnswer {
  const { cost_usd: costUsd, prompt_tokens: promptTokens = null, completion_tokens: completionTokens = null, confidence = null, latency_ms: latencyMs = null, answer = null } = outcome;
  return { rowId, query, ...(output ?? { text: answer, calls: [] }), costUsd, promptTokens, completionTokens, confidence, latencyMs };
}

/** By name. */
function coverageOf(byQuery: ReadonlyMap<string, ReadonlyMap<string, RecordedAnswer>>): ModelCoverage[] {
  const coverage = new Map<string, ModelCoverage>();
  for (const answers of byQuery.values()) {
    for (const [model, { text, calls: called, confidence, latencyMs }] of answers) {
      const { queries, texts, calls, confidences, latencies } = coverage.get(model) ?? { queries: 0, texts: 0, calls: 0, confidences: 0, latencies: 0 };
      coverage.set(model, { model, queries: queries + 1, texts: texts + Number(text !== null), calls: calls + Number(called.length > 0), confidences: confidences + Number(confidence !== null), latencies: latencies + Number(latencyMs !== null) });
    }
  }
  return [...coverage.values()].sort((a, b) => (a.model < b.model ? -1 : 1));
}

function parsed<T>(schema: z.ZodType<T>, content: string): T {
  const row = schema.safeParse(parseLine(content));
  if (!row.success) throw new Error(issueLines(row.error).join("; "));
  return row.data;
}

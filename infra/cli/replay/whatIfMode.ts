/** `inferctl replay --mode what-if`: what other policies, prices or tiers would have brought, from the log alone. Calls nobody and writes nothing but its page. */
import { writeFileSync } from "node:fs";

import type { Pool } from "pg";
import { z } from "zod";

import { openHome } from "#infra/embedded/homeFolder.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { parseLine, readRows } from "#router/evaluation/outcomeLog.ts";
import { rank } from "#router/evaluation/offPolicy/rank.ts";
import { type Known, toRecordedEvent } from "#router/evaluation/offPolicy/recordedEvent.ts";
import { makeWhatIf, type WhatIf } from "#router/evaluation/offPolicy/whatIf.ts";
import type { AuditBatch } from "#shared/audit/auditSource.ts";
import { issueLines } from "#shared/contracts/describeIssues.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { RequestId } from "#shared/contracts/ids.ts";
import { Probability } from "#shared/contracts/probability.ts";
import { TierName } from "#shared/contracts/tiers.ts";
import { makePool } from "#shared/db/pool.ts";
import { judgedKey, readJudged } from "#shared/db/readJudged.ts";

import { EXIT_USAGE, type ParsedArguments } from "../command.ts";
import { serverUrl } from "../serverUrl.ts";
import { textOf } from "./modeOptions.ts";
import type { ReplayContext, ReplayMode } from "./replayMode.ts";
import { candidatesOf } from "./whatIfCandidates.ts";
import { whatIfPage, whatIfText } from "./whatIfText.ts";

type Values = ParsedArguments["values"];
const wrong = (message: string, cause?: unknown): SetupError => new SetupError(message, "Correct it; options: inferctl replay --help", { exitCode: EXIT_USAGE, ...(cause === undefined ? {} : { cause }) });

export const whatIfMode: ReplayMode = {
  name: "what-if",
  summary: "Estimates what other policies, prices or tiers would have cost and how good their answers would have been: exactly where the log holds it, else off-policy, with intervals; refuses where the log cannot say.",
  details: [
    "--policy         candidates, separated by commas: static, cheapest, cascade, predictive, cascade-routing, random, always-<tier>,",
    "                 or a YAML or JSON file with a list of { name, policy, model, level | lambda_per_usd | floor_steps, accept_confidence: { <tier>: <0..1> }, keep_from }",
    "--models         the routing model of learned policies: a version in the store, or a file",
    "--prices         a price book: costs are computed anew from recorded tokens",
    "--tiers          a tier file: its tiers, thresholds, static routes and prices. Tiers that the log does not know are unknown",
    "--labels         JSON lines { request_id, tier, quality }: how good answers were. Without it: feedback and shadows in Postgres",
    "--no-labels      nothing of quality: cost and latency alone, without Postgres",
    "--feedback       sources of feedback that judge answers whatever they are like; default: label,judge",
    "--shadow-share   of requests that were shadowed, in [0, 1]; default: as many as the first 10,000 requests say",
    "--may-lose       quality points that a candidate may lose and still rank by its cost; default: 1",
    "--html           writes a page with a plot of cost against quality there",
  ],
  example: "inferctl replay --mode what-if --since 7d --policy always-large,cascade,candidates.yaml --html what-if.html",
  options: {
    policy: { type: "string" }, models: { type: "string" }, prices: { type: "string" }, tiers: { type: "string" }, labels: { type: "string" }, "no-labels": { type: "boolean" }, feedback: { type: "string" },
    "shadow-share": { type: "string" }, "may-lose": { type: "string" }, html: { type: "string" },
  },
  async run(values, context) {
    const candidates = await candidatesOf(values, context.environment);
    const mayLose = numberOf(values, "may-lose", 1, 100) / 100;
    const shadowShare = textOf(values, "shadow-share") === undefined ? null : numberOf(values, "shadow-share", 0, 1);
    const knownOf = await judgesFor(values, context);
    try {
      const resumed = readPlace(context.resumed?.found);
      const whatIf = begin(() => makeWhatIf(candidates, { shadowShare, resumed: resumed?.sums ?? null }));
      const counts = { unusable: resumed?.unusable ?? {}, unreadable: resumed?.unreadable ?? {} };
      await readAll(context, resumed === null ? undefined : context.resumed?.cursor, { whatIf, counts, knownOf: knownOf.of });
      if (context.signal.aborted) return 0; // who called says where it had come to
      const { actual, candidates: found } = whatIf.report();
      const result = { source: context.source.name, actual, ranked: rank({ actual, candidates: found }, mayLose), ...counts, mayLose };
      const page = textOf(values, "html");
      if (page !== undefined) write(page, whatIfPage(result));
      context.print(values["json"] === true ? JSON.stringify(toJson(result)) : whatIfText(result));
      return 0;
    } finally {
      await knownOf.end();
    }
  },
};

interface Reading {
  readonly whatIf: WhatIf;
  readonly counts: { readonly unusable: Record<string, number>; readonly unreadable: Record<string, number> };
  readonly knownOf: (batch: AuditBatch) => Promise<(record: AuditBatch["records"][number]) => Known>;
}
async function readAll({ source, signal, keep, progress }: ReplayContext, after: string | undefined, { whatIf, counts, knownOf }: Reading): Promise<void> {
  let read = 0, keptMs = -Infinity, cursor: string | null = null;
  const keepSums = async (): Promise<void> => {
    const sums = whatIf.state();
    if (sums === null || cursor === null) return;
    await keep(cursor, { sums, ...counts });
    keptMs = performance.now();
  };
  for await (const batch of source.batches({ signal, ...(after === undefined ? {} : { after }) })) {
    const known = await knownOf(batch);
    for (const record of batch.records) {
      const event = toRecordedEvent(record.completion, known(record));
      if (typeof event === "string") counts.unusable[event] = (counts.unusable[event] ?? 0) + 1;
      else whatIf.add(event);
    }
    for (const { why } of batch.unreadable) counts.unreadable[why] = (counts.unreadable[why] ?? 0) + 1;
    read += batch.records.length;
    cursor = batch.cursor;
    if (performance.now() - keptMs >= KEEP_EVERY_MS) await keepSums();
    progress.tell?.(`${read.toLocaleString("en")} events`);
  }
  await keepSums(); // the sums go on, so that a place is only right with those of its own moment
}
/** They are hundreds of kilobytes. */
const KEEP_EVERY_MS = 2_000;

const Count = z.record(z.string(), z.int().nonnegative());
const Place = z.object({ sums: z.unknown(), unusable: Count, unreadable: Count });
function readPlace(found: unknown): z.infer<typeof Place> | null {
  if (found === undefined || found === null) return null;
  const read = Place.safeParse(found);
  if (!read.success) throw wrong(`--resume: the file is not of a what-if: ${issueLines(read.error).join("; ")}`);
  return read.data;
}
function begin(make: () => WhatIf): WhatIf {
  try {
    return make();
  } catch (error) {
    throw wrong(`--resume: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

function numberOf(values: Values, name: string, fallback: number, most: number): number {
  const given = textOf(values, name);
  if (given === undefined) return fallback;
  const value = Number(given);
  if (given.trim() === "" || !(value >= 0 && value <= most)) throw wrong(`--${name} must be a number from 0 to ${most}, not ${given}`);
  return value;
}

interface Judges { readonly of: Reading["knownOf"]; readonly end: () => Promise<void> }
const nothing = (): Promise<void> => Promise.resolve();

async function judgesFor(values: Values, { environment }: ReplayContext): Promise<Judges> {
  if (values["no-labels"] === true) return { of: () => Promise.resolve(() => ({})), end: nothing };
  const file = textOf(values, "labels");
  if (file !== undefined) {
    const labels = await readLabels(file);
    return { of: () => Promise.resolve(({ completion }) => ({ labels: labels.get(completion.request_id) })), end: nothing };
  }
  const sources = (textOf(values, "feedback") ?? "label,judge").split(",");
  const pool = makePool(serverUrl("postgres", environment, openHome(environment)), "inferctl", () => undefined);
  return { of: (batch) => fromPostgres(pool, batch, sources), end: () => pool.end() };
}

async function fromPostgres(pool: Pool, { records }: AuditBatch, sources: readonly string[]): ReturnType<Reading["knownOf"]> {
  const judged = await readJudged(pool, records.map(({ completion }) => completion)).catch((error: unknown) => {
    if (!(error instanceof AppError)) throw error;
    throw new SetupError(error.message, "Is Postgres up, and are its tables of this version? inferctl status; inferctl migrate. Without it: --labels <file>, or --no-labels.", { cause: error });
  });
  return ({ completion }) => {
    const one = judged.get(judgedKey(completion));
    const source = sources.find((name) => one !== undefined && Object.hasOwn(one.feedback, name));
    return { ...(one?.shadow == null ? {} : { shadow: one.shadow }), ...(source === undefined ? {} : { score: one?.feedback[source] }) };
  };
}

const Label = z.object({ request_id: RequestId, tier: TierName, quality: Probability });
/** All of them are kept: about 200 bytes each. */
async function readLabels(file: string): Promise<Map<string, Map<string, number>>> {
  const found = new Map<string, Map<string, number>>();
  const rows = await readRows(file, (content) => {
    const label = Label.safeParse(parseLine(content));
    if (!label.success) throw new Error(issueLines(label.error).join("; "));
    const { request_id, tier, quality } = label.data;
    const own = found.get(request_id) ?? new Map<string, number>();
    found.set(request_id, own.set(tier, quality));
    return null;
  }).catch((error: unknown) => { throw wrong(`--labels: ${error instanceof Error ? error.message : String(error)}`, error); });
  if (rows.length === 0) throw wrong(`--labels: ${file} has no labels`);
  return found;
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: "w" });
  } catch (error) {
    throw wrong(`--html: ${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

/** For programs: the same, in one name each. */
const toJson = ({ source, actual, ranked, unusable, unreadable, mayLose }: Parameters<typeof whatIfText>[0]): object => ({
  source, may_lose: mayLose, unusable, unreadable, actual,
  candidates: ranked.map(({ rank: place, candidate, holdsQuality, isOnFrontier }) => ({ rank: place, holds_quality: holdsQuality, is_on_frontier: isOnFrontier, ...candidate })),
});

/** The running system's own shadow labels and feedback, as rows to train on. */
import { createHash } from "node:crypto";

import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import type { TrainedOn } from "#router/evaluation/modelFile.ts";
import { gatherLiveRows, type LiveRecord, type LiveRows } from "#router/evaluation/liveRows.ts";
import type { OutcomeRow } from "#router/evaluation/outcomeLog.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { makePool } from "#shared/db/pool.ts";
import { readShadows, type ShadowsWanted } from "#shared/db/readShadows.ts";

import { serverUrl } from "./serverUrl.ts";

/** Below this nothing can be told from chance; to show that a floor of 97 % holds takes a few hundred. */
const LEAST_ROWS = 30;

export interface AuditWanted extends ShadowsWanted {
  /** In the order in which routers try them. */
  readonly tiers: readonly string[];
  readonly baselineTier: string;
}
export interface AuditRows {
  readonly rows: readonly OutcomeRow[];
  readonly source: TrainedOn;
}

/** Of the database that the environment names or that `inferctl up` started. Says by `note` what it found. Throws a `SetupError` when that is too little. */
export async function readAuditRows(environment: Environment, wanted: AuditWanted, note: (line: string) => void): Promise<AuditRows> {
  const pool = makePool(serverUrl("postgres", environment, openHome(environment)), "inferctl", () => undefined);
  try {
    const found = await gatherLiveRows(recordsOf(readShadows(pool, wanted)), wanted);
    for (const line of describeLiveRows(found, wanted.tiers)) note(line);
    const { rows, span, read } = found;
    if (span === null || rows.length < LEAST_ROWS) throw new SetupError(`too few complete rows: ${rows.length} of ${read} sampled requests, and training takes at least ${LEAST_ROWS}${rows.length === read ? "" : `; what the others lack: ${lackingOf(found)}`}`, HOW_TO_GET_ROWS);
    return { rows, source: { name: `audit ${span.from}..${span.to}`, rows: rows.length, sha256: createHash("sha256").update(JSON.stringify(rows)).digest("hex") } };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new SetupError(error.message, "Is Postgres up, and are its tables of this version? inferctl status; inferctl migrate", { cause: error });
  } finally {
    await pool.end();
  }
}

const HOW_TO_GET_ROWS = "Let the router sample more: INFER_SHADOW_SHARE above 0 and INFER_SHADOW_TIERS=all, e.g. INFER_SHADOW_SHARE=0.1 INFER_SHADOW_TIERS=all inferctl up. Then send requests, or widen --since, --tenant and --max-rows.";

async function* recordsOf(shadows: ReturnType<typeof readShadows>): AsyncGenerator<LiveRecord> {
  for await (const { tenant_id, request_id, ...record } of shadows) yield { id: `${tenant_id}/${request_id}`, ...record };
}

/** For people: how much of it can be used, and what to do about the rest. Pure. */
function describeLiveRows(found: LiveRows, tiers: readonly string[]): string[] {
  const { rows, read, withFeedback, mixedModels } = found;
  const complete = `${rows.length} of ${read} sampled requests have answers of all of ${tiers.join(", ")}; ${withFeedback} of these have feedback, the others are labelled by agreement with the baseline alone`;
  const missing = rows.length === read ? [] : [`the others are left out for what they lack: ${lackingOf(found)}. Set INFER_SHADOW_TIERS=all for the router to get complete rows`];
  return [complete, ...missing, ...[...mixedModels].map(([tier, names]) => `${tier} answered as ${names.join(", ")}: train on rows of one model with --since`)];
}

const lackingOf = ({ lacking }: LiveRows): string => [...lacking].sort(([, a], [, b]) => b - a).map(([what, count]) => `${what} (${count})`).join(", ");

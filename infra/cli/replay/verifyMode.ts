import { SetupError } from "#infra/embedded/setupError.ts";
import { count, countUnreadable, newTally, Tally } from "#router/evaluation/verify/tally.ts";
import { verifyRequest, versionsNeeded } from "#router/evaluation/verify/verifyRequest.ts";
import type { AuditBatch } from "#shared/audit/auditSource.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";

import { sayer, wrongUse } from "../command.ts";
import { openRecordedVersions, type RecordedVersions } from "./recordedVersions.ts";
import type { ReplayMode } from "./replayMode.ts";

const SHOWN = 10;
/** That stay in memory, beside those of one batch. */
const MOST_VERSIONS = 1_000;
const EXIT_DIFFERS = 1;

export const verifyMode: ReplayMode = {
  name: "verify",
  summary: "decides every recorded request again by what it was decided by, and compares value for value",
  details: [
    "--tiers        tier files that requests were decided by, separated by commas (default: those that routers keep in NATS)",
    "--models       routing models as `inferctl train --out` writes them, or folders of such, separated by commas (default: those in NATS)",
    "--show         so many of the requests that differ are shown (default 10)",
    "               With --tiers and --models, and events from a file, no server is needed. Exit code 1 when something differs.",
  ],
  example: "inferctl replay --mode verify audit.jsonl.gz --tiers infra/config/tiers.yaml --models models/",
  options: { tiers: { type: "string" }, models: { type: "string" }, show: { type: "string" } },
  async run(values, context) {
    const { source, resumed, keep, signal, progress, print, environment } = context;
    const shown = shownIn(values["show"]);
    const tally = resumed === null ? newTally() : foundBefore(resumed.found);
    const versions = await openRecordedVersions({ tiers: listOf(values["tiers"]), models: listOf(values["models"]) }, environment, progress.note);
    const known = { tierFiles: new Map<string, TierFile | null>(), models: new Map<string, RoutingModelFile | null>() };
    const startedMs = performance.now();
    const before = tally.requests;
    const rate = () => (1_000 * (tally.requests - before)) / Math.max(1, performance.now() - startedMs);
    try {
      await progress.step(`verify ${source.name}`, async () => {
        for await (const batch of source.batches({ ...(resumed === null ? {} : { after: resumed.cursor }), signal })) {
          await learnVersions(batch, versions, known);
          for (const record of batch.records) count(tally, record, verifyRequest(record.completion, known), shown);
          for (const one of batch.unreadable) countUnreadable(tally, one);
          await keep(batch.cursor, tally);
        }
      }, () => `${tally.requests.toLocaleString("en")} requests, ${Math.round(rate()).toLocaleString("en")}/s`);
    } finally {
      await versions.close();
    }
    const isComplete = !signal.aborted;
    sayer({ values }, { print })({ source: source.name, is_complete: isComplete, ...tally, requests_per_s: Math.round(rate()) }, describe(tally, source.name, isComplete));
    return tally.differing > 0 ? EXIT_DIFFERS : 0;
  },
};

function foundBefore(found: unknown): Tally {
  const read = Tally.safeParse(found);
  if (!read.success) throw new SetupError("what --resume names is not of a run of verify", "Name the file of such a run, or another one to begin anew.");
  return read.data;
}

const listOf = (value: unknown): string[] => (typeof value === "string" ? value.split(",") : []);
function shownIn(value: unknown): number {
  if (typeof value !== "string") return SHOWN;
  if (!/^\d{1,6}$/.test(value)) throw wrongUse("replay", `--show must be a whole number, not ${value}`);
  return Number(value);
}

interface Known {
  readonly tierFiles: Map<string, TierFile | null>;
  readonly models: Map<string, RoutingModelFile | null>;
}
/** Each version is read once, and what was not there then is not looked for again. */
async function learnVersions({ records }: AuditBatch, versions: RecordedVersions, known: Known): Promise<void> {
  for (const kept of [known.tierFiles, known.models]) if (kept.size > MOST_VERSIONS) kept.clear();
  const needed = { tierFiles: new Set<string>(), models: new Set<string>() };
  for (const { completion } of records) {
    versionsNeeded(completion, {
      tierFile: (version) => { if (!known.tierFiles.has(version)) needed.tierFiles.add(version); },
      model: (version) => { if (!known.models.has(version)) needed.models.add(version); },
    });
  }
  for (const version of needed.tierFiles) known.tierFiles.set(version, await versions.tierFile(version));
  for (const version of needed.models) known.models.set(version, await versions.model(version));
}

const MEANING: Readonly<Record<keyof Tally["not_verifiable"], string>> = {
  cache_hit: "answered from the cache, so nothing was decided",
  nothing_decided: "refused, or given up on before a decision",
  older_event: "written by an older version, which did not record enough",
  tier_file_not_kept: "their tier file is not kept; name it with --tiers",
  model_not_kept: "their routing model is not kept; name it with --models",
};
function describe({ requests, decisions, same, differing, differences, not_verifiable, missing, unreadable }: Tally, source: string, isComplete: boolean): string {
  const n = (one: number) => one.toLocaleString("en");
  const reasons = (Object.keys(MEANING) as (keyof typeof MEANING)[]).filter((why) => not_verifiable[why] > 0);
  return [
    `${n(requests)} requests of ${source}${isComplete ? "" : ", interrupted"}: ${n(same)} decided again as they were (${n(decisions)} decisions), ${n(differing)} differ`,
    ...reasons.map((why) => `  ${n(not_verifiable[why])} not verifiable: ${MEANING[why]}`),
    ...(missing.length === 0 ? [] : [`  not kept: ${missing.join(", ")}`]),
    ...Object.entries(unreadable).map(([why, how]) => `  ${n(how)} unreadable: ${why.replaceAll("_", " ")}`),
    ...differences.map(({ tenant_id, request_id, seq, path, recorded, decided }) => `differs: ${tenant_id} ${request_id}${seq === null ? "" : ` (#${seq})`} at ${path}: recorded ${JSON.stringify(recorded)}, decided ${JSON.stringify(decided)}`),
    ...(differing > differences.length ? [`... and ${n(differing - differences.length)} more`] : []),
    ...(differing === 0 ? [] : ["A difference is a bug, or what decided is not what it calls itself: report it with the lines above."]),
  ].join("\n");
}

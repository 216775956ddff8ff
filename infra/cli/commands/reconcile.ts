import type { Redis } from "ioredis";

import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import type { Difference } from "#shared/contracts/difference.ts";
import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { TenantId } from "#shared/contracts/ids.ts";
import { ReportQuery } from "#shared/contracts/report.ts";
import { makePool } from "#shared/db/pool.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { compareBill } from "#shared/reconcile/compareBill.ts";
import type { BilledDay } from "#shared/reconcile/bill.ts";
import { millionths } from "#shared/reconcile/exactAmount.ts";
import type { Places } from "#shared/reconcile/places.ts";
import { readDays } from "#shared/reconcile/readBooks.ts";
import { reconcile as reconcileAll, type ReconcileOptions } from "#shared/reconcile/reconcile.ts";
import { pick } from "#shared/runtime/loadConfig.ts";

import { readBillFrom } from "../billSource.ts";
import { type Command, EXIT_UNAVAILABLE, wrongUse } from "../command.ts";
import { openRedis } from "../redis.ts";
import { type BillPart, differenceText, MOST_PRINTED, reconcileJson, reconcileText } from "../reconcileText.ts";
import { loginFor } from "../loginFor.ts";
import { progressBar } from "../progressBar.ts";
import { serverUrl } from "../serverUrl.ts";

const EXIT_DIFFERENCES = 1;
const DEFAULT_TOLERANCE = "0.5%";

export const reconcile: Command = {
  summary: "Compares requests, outcomes, audit, ledger, budget counters and a provider's bill, and names every difference.",
  usage: "[--from <day or time>] [--to <day or time>] [--tenant <tenant>] [--bill <file or URL> [--tolerance <share>]] [--json]",
  details: [
    "--from, --to   by when NATS stored it (2026-11-28 or 2026-11-28T08:00:00Z; a day is of UTC; without --to itself); default: all that COMPLETIONS holds",
    "--tenant       of this tenant alone; not with --bill, which is of all",
    "--bill         what the provider charged: CSV with a line of names, or JSON lines, with date (UTC), model and cost_usd; or the /bill of",
    "               inferctl serve-recorded. Held against all lines of the ledger by day and model. --from and --to choose its days too",
    "--tolerance    share of a day's amount by which the bill may differ: 0.5% (default) or 0.005",
    "--json         JSON lines: every difference, and a summary at the end",
    `Ends with 0 when all agree, 1 when something differs (the first ${MOST_PRINTED} are printed), ${EXIT_UNAVAILABLE} when a server cannot be reached. It changes nothing.`,
    "What is under way, or not written yet, is no difference: it is counted as pending. docs/reconcile.md says what each difference means.",
  ],
  example: "inferctl reconcile --from 2026-11-27 --to 2026-11-28 --bill openai-november.csv --tolerance 0.5%",
  options: { from: { type: "string" }, to: { type: "string" }, tenant: { type: "string" }, bill: { type: "string" }, tolerance: { type: "string" }, json: { type: "boolean" } },
  maxPositionals: 0,
  run: async ({ values }, { environment, print, progress }) => {
    const text = (name: string): string | undefined => (typeof values[name] === "string" ? values[name] : undefined);
    const { fromMs, toMs } = timesOf(text("from"), text("to"));
    const tenantId = tenantOf(text("tenant"));
    const [billName, toleranceText] = [text("bill"), text("tolerance") ?? DEFAULT_TOLERANCE];
    const tolerance = millionths(toleranceText);
    if (tolerance === null) throw wrongUse("reconcile", "--tolerance: must be a share as 0.5% or 0.005");
    if (billName === undefined && text("tolerance") !== undefined) throw wrongUse("reconcile", "--tolerance is of a --bill");
    if (billName !== undefined && tenantId !== undefined) throw wrongUse("reconcile", "--bill and --tenant exclude each other: a provider bills all tenants together");
    const bill = billName === undefined ? null : (await readBillFrom(billName)).filter(isWithin(fromMs, toMs));

    const isJson = values["json"] === true;
    const counts = new Map<Difference["kind"], number>();
    const first: Difference[] = [];
    const onDifference = (difference: Difference) => {
      counts.set(difference.kind, (counts.get(difference.kind) ?? 0) + 1);
      if (isJson) print(JSON.stringify(difference));
      else if (first.length < MOST_PRINTED) first.push(difference);
    };
    const onProgress: ReconcileOptions["onProgress"] = (what, done, of) => { progress.tell?.(`${what} ${progressBar(done, of)}`); };
    const { all, billed } = await progress.step("comparing", () => withPlaces(environment, async ({ places, options }) => {
      const all = await reconcileAll(places, { ...options, fromMs, toMs, tenantId, onDifference, onProgress });
      return { all, billed: bill === null ? null : await ofBill(places, bill, { tolerance, toleranceText, onDifference }) };
    }));
    if (isJson) print(JSON.stringify({ summary: reconcileJson(all, billed, counts) }));
    else print([reconcileText(all, billed, counts), ...differenceText(first, counts)].join("\n"));
    return counts.size === 0 ? 0 : EXIT_DIFFERENCES;
  },
};

function timesOf(from: string | undefined, to: string | undefined): { readonly fromMs: number | undefined; readonly toMs: number | undefined } {
  const query = ReportQuery.pick({ from: true, to: true }).safeParse({ from, to });
  if (!query.success) throw wrongUse("reconcile", inOneLine(issueLines(query.error)));
  const [fromMs, toMs] = [query.data.from, query.data.to].map((moment) => (moment === undefined ? undefined : Date.parse(moment))); // of a day: its beginning in UTC
  if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs) throw wrongUse("reconcile", "--to: must be after --from");
  return { fromMs, toMs };
}

function tenantOf(text: string | undefined): string | undefined {
  if (text !== undefined && !TenantId.safeParse(text).success) throw wrongUse("reconcile", "--tenant: is no id of a tenant");
  return text;
}

/** A day that begins in the window. */
const isWithin = (fromMs = -Infinity, toMs = Infinity) => ({ day }: BilledDay): boolean => Date.parse(day) >= fromMs && Date.parse(day) < toMs;

async function ofBill({ pool }: Places, bill: readonly BilledDay[], { tolerance, toleranceText, onDifference }: { readonly tolerance: bigint; readonly toleranceText: string; readonly onDifference: (difference: Difference) => void }): Promise<BillPart> {
  const days = bill.map(({ day }) => day).sort();
  const [from, to] = [days[0], days.at(-1)];
  const compared = compareBill(bill, from === undefined || to === undefined ? [] : await readDays(pool, { from, to }), tolerance);
  for (const one of compared.differences) onDifference(one);
  return { ...compared, from: from ?? null, to: to ?? null, tolerance: toleranceText };
}

const Environment = pick("INFER_DEFAULT_DEADLINE_MS", "INFER_MAX_DEADLINE_MS", "INFER_SWEEP_GRACE_MS", "INFER_AUDIT_RETENTION_DAYS", "INFER_LEDGER_RETENTION_DAYS").transform((env) => ({
  days: { auditDays: env.INFER_AUDIT_RETENTION_DAYS, ledgerDays: env.INFER_LEDGER_RETENTION_DAYS },
  promised: { defaultDeadlineMs: env.INFER_DEFAULT_DEADLINE_MS, maxDeadlineMs: env.INFER_MAX_DEADLINE_MS, sweepGraceMs: env.INFER_SWEEP_GRACE_MS },
}));
type Connected = { readonly places: Places; readonly options: Pick<ReconcileOptions, "days" | "promised" | "redis"> };

/** The servers that the environment names, or that `inferctl up` started. */
async function withPlaces<T>(environment: Environment, use: (connected: Connected) => Promise<T>): Promise<T> {
  const home = openHome(environment);
  const { prefix } = readSettings(environment, home);
  const settings = Environment.parse(Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""))); // readSettings has shown what is wrong
  const [natsUrl, databaseUrl, redisUrl] = [serverUrl("nats", environment, home), serverUrl("postgres", environment, home), serverUrl("redis", environment, home)];
  const nats = await connectNats({ url: natsUrl, name: "inferctl", ...loginFor(environment, home) }).catch((error: unknown) => { throw unreachable("NATS", error); });
  const pool = makePool(databaseUrl, "inferctl", () => undefined, { statementTimeoutMs: 120_000 }); // the query that it breaks says so
  let redis: Redis | undefined;
  try {
    redis = await openRedis(redisUrl).catch((error: unknown) => { throw unreachable("Redis", error); });
    const { jsm, streams, acks } = await brokerOver(nats, prefix).catch((error: unknown) => { throw unreachable("JetStream", error); });
    try {
      return await use({ places: { jsm, streams, pool, prefix, now: Date.now }, options: { ...settings, redis } });
    } finally {
      await acks.close();
    }
  } catch (error) {
    if (error instanceof AppError && error.isOutage) throw unreachable(error.message, error.cause ?? error);
    throw error;
  } finally {
    redis?.disconnect();
    await Promise.all([pool.end(), nats.close()]);
  }
}

const unreachable = (what: string, cause: unknown) =>
  new SetupError(`cannot compare: ${what} (${cause instanceof Error ? cause.message : String(cause)})`, "Are all servers up, with their tables and streams? See: inferctl status; inferctl migrate; inferctl topology", { exitCode: EXIT_UNAVAILABLE, cause });

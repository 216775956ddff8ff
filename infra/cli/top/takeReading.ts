/** Reads what `inferctl top` shows: metrics of the roles, live state of tiers and outcomes from NATS, money from Postgres and Redis. */
import { pino } from "pino";

import { Completion } from "#shared/contracts/events.ts";
import { servedBy } from "#shared/contracts/tiers.ts";
import { type BudgetState, budgetStatesOf } from "#shared/ledger/budgetStates.ts";
import { readCounters } from "#shared/ledger/readCounters.ts";
import { readReport } from "#shared/ledger/report.ts";
import { readSequences } from "#shared/messaging/readRange.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import { type HeardStatus, readStatuses } from "#shared/messaging/tierStatusStore.ts";
import { batchWorkerSource, workerSource } from "#shared/messaging/topology.ts";
import type { TierStatus } from "#shared/contracts/tierStatus.ts";
import type { State } from "#infra/embedded/stateFile.ts";

import { tenantsOf } from "../commands/budgets.ts";
import type { NatsPlace, Place } from "../place.ts";
import { parsePrometheusText } from "./prometheusText.ts";
import type { Latest, Money, Reading, ScrapedRole } from "./topView.ts";

const SCRAPE_TIMEOUT_MS = 1_500;
/** Of one part of a reading; what takes longer is left out of it. */
const PART_TIMEOUT_MS = 3_000;
/** Sums of the books and accounts of budgets are looked at this often. */
const MONEY_EVERY_MS = 10_000;
const MOST_LATEST = 20;
const REPORT_TIMEOUT_MS = 8_000;

export interface Address { readonly role: string; readonly url: string }
/** Where each role has its metrics: the gateway's admin listener has none. */
export const metricsAddresses = ({ roles }: Pick<State, "roles">): Address[] => roles.flatMap(({ addresses }) => addresses).filter(({ role }) => role !== "gateway-admin");

/** Resolves to a reading whatever cannot be read. */
export function makeTakeReading(place: Place, addresses: readonly Address[]): () => Promise<Reading> {
  const money = everySoOften(() => readMoney(place));
  const budgets = everySoOften(() => readBudgets(place));
  const known = new Map<number, Latest>();
  return async () => {
    const problems: string[] = [];
    const part = <T>(read: Promise<T>): Promise<T | null> => within(PART_TIMEOUT_MS, read).catch((error: unknown) => {
      problems.push(error instanceof Error ? error.message : String(error));
      return null;
    });
    const tierNames = place.settings === null ? [] : servedBy(place.settings.tiers).map(({ name }) => name);
    const [roles, tiers, latest, moneyNow, budgetsNow] = await Promise.all([
      Promise.all(addresses.map((address) => scrape(address, problems))),
      part(place.nats().then((nats) => readTiers(nats, place.prefix, tierNames))), part(place.nats().then((nats) => readLatest(nats, known))), part(money()), part(budgets()),
    ]);
    return {
      atMs: performance.now(), at: new Date().toISOString(), roles, tiers: tiers?.statuses ?? null, tierNames, waiting: tiers?.waiting ?? new Map<string, number>(), latest, money: moneyNow, budgets: budgetsNow,
      problems: [...new Set(problems)],
    };
  };
}

async function scrape({ role, url }: Address, problems: string[]): Promise<ScrapedRole> {
  try {
    const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(SCRAPE_TIMEOUT_MS) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${url}/metrics answers ${response.status}`);
    return { role, samples: parsePrometheusText(text, "infer_") };
  } catch (error) {
    if (error instanceof Error && error.message.includes("/metrics answers")) problems.push(error.message);
    if (error instanceof Error && error.message.includes("no sample of a metric")) problems.push(`${url}/metrics: ${error.message}`);
    return { role, samples: null };
  }
}

async function readTiers({ nats, jsm }: NatsPlace, prefix: string, tierNames: readonly string[]): Promise<{ readonly statuses: TierStatus[]; readonly waiting: Map<string, number> }> {
  const heard = new Map<string, HeardStatus>();
  await readStatuses(nats, prefix, heard, pino({ level: "silent" }));
  const statuses = [...heard.values()].map(({ status }) => status).sort((a, b) => (a.tier < b.tier ? -1 : 1));
  const waiting = await Promise.all([...new Set([...tierNames, ...statuses.map(({ tier }) => tier)])].map(async (name) => {
    const lanes = await Promise.all([workerSource, batchWorkerSource].map((source) => source(prefix, { name, slots: 1 })).map(({ stream, durable }) => jsm.consumers.info(stream, durable)));
    return [name, lanes.reduce((sum, { num_pending }) => sum + num_pending, 0)] as const;
  }));
  return { statuses, waiting: new Map(waiting) };
}

/** The latest outcomes, the newest first. `known`: those that were read before. */
async function readLatest({ jsm, streams }: NatsPlace, known: Map<number, Latest>): Promise<Latest[]> {
  const { state: { last_seq, first_seq } } = await jsm.streams.info("COMPLETIONS");
  const from = Math.max(first_seq, last_seq - MOST_LATEST + 1, 1);
  const wanted = Array.from({ length: Math.max(0, last_seq - from + 1) }, (_, i) => from + i).filter((seq) => !known.has(seq));
  for (const message of (await readSequences(streams, "COMPLETIONS", wanted)).messages) {
    const completion = readStored(Completion, message);
    if (completion !== null) known.set(message.seq, latestOf(completion));
  }
  for (const seq of known.keys()) if (seq < from || seq > last_seq) known.delete(seq);
  return [...known].sort(([a], [b]) => b - a).map(([, one]) => one);
}
const latestOf = ({ tenant_id, request_id, outcome, tier, latency_ms, cost_nano_usd, baseline_cost_nano_usd, completed_at_ms }: Completion): Latest =>
  ({ tenant_id, request_id, outcome, tier, latency_ms, cost_nano_usd, baseline_cost_nano_usd, ended_at: new Date(completed_at_ms).toISOString() });

/** Of this day, UTC. */
async function readMoney(place: Place): Promise<Money> {
  const { pool } = await place.postgres();
  const from = new Date().toISOString().slice(0, 10);
  const { total } = await readReport({ pool, tenantId: null }, { by: "tenant", from, to: undefined, tz: "UTC", limit: 1 }, { nowMs: Date.now(), timeoutMs: REPORT_TIMEOUT_MS });
  return { requests: total.requests, total_nano_usd: total.total_nano_usd, baseline_nano_usd: total.baseline_nano_usd, net_saving_nano_usd: total.net_saving_nano_usd };
}

async function readBudgets(place: Place): Promise<BudgetState[]> {
  const [{ pool }, { redis }] = await Promise.all([place.postgres(), place.redis()]);
  const tenants = (await tenantsOf({ pool, tenantId: null }, undefined)).filter(({ settings: { budgets: { tenant, user, key } } }) => [tenant, user, key].some((windows) => Object.values(windows).length > 0));
  if (tenants.length === 0) return [];
  const { counters } = await readCounters(redis, { prefix: place.prefix });
  return tenants.flatMap(({ tenant_id, settings }) => budgetStatesOf(tenant_id, settings.budgets, counters, Date.now()));
}

/** What was read last, read anew where that is old: then whoever asks does not wait for it, but for the first. */
function everySoOften<T>(read: () => Promise<T>): () => Promise<T> {
  let last: Promise<T> | undefined, next: Promise<unknown> | undefined, readAtMs = -Infinity;
  return () => {
    if (next === undefined && performance.now() - readAtMs >= MONEY_EVERY_MS) {
      readAtMs = performance.now();
      const reading = read();
      next = reading.then(() => { last = reading; }, () => { last = reading; }).finally(() => { next = undefined; });
      last ??= reading;
    }
    return last ?? Promise.reject(new Error("not read yet")); // it was, just above
  };
}

async function within<T>(timeoutMs: number, reading: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => { timer = setTimeout(() => { reject(new Error("a server took too long to answer")); }, timeoutMs); });
  try {
    return await Promise.race([reading, late]);
  } finally {
    clearTimeout(timer);
  }
}

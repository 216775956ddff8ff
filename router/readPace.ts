/** What pacing goes by, of one tenant's budget: what is left (the ledger, or the books where that does not know), what came by hour, and what the latest requests cost. */
import type { Pool } from "pg";

import { nanoUsd, sumToUsd } from "#shared/contracts/money.ts";
import { type Balance, type BudgetedAccount, leftIn } from "#shared/ledger/accounts.ts";
import { windowOf } from "#shared/ledger/windows.ts";

import { forecastDemand, HOUR_MS, type SeenDemand } from "./policy/demandForecast.ts";
import { type PaceFacts, RECENT_REQUESTS, type RecentSpend } from "./policy/pacing.ts";

export interface ReadPaceDeps {
  readonly pool: Pick<Pool, "query">;
  /** `null`: the ledger does not know it now. */
  readonly balanceOf: (account: BudgetedAccount) => Promise<Balance | null>;
}
const HISTORY_MS = 35 * 24 * HOUR_MS;
/** Hours that are over change only while the audit is behind: they are read again, all of them now and then. */
const AGAIN_MS = 2 * HOUR_MS;
const ALL_AGAIN_MS = HOUR_MS;
const MOST_TENANTS = 1_000;

interface KeptHours {
  readonly counts: Map<number, number>;
  allReadAtMs: number;
}

/** What it returns throws what Postgres throws. */
export function makeReadPace({ pool, balanceOf }: ReadPaceDeps): (account: BudgetedAccount, nowMs: number) => Promise<PaceFacts> {
  const kept = new Map<string, KeptHours>();
  /** Days and months of a tenant are asked for at once, and look at the same. */
  const reading = new Map<string, Promise<SeenDemand>>();
  function demandOf(tenantId: string, nowMs: number): Promise<SeenDemand> {
    const running = reading.get(tenantId) ?? readDemand(tenantId, nowMs).finally(() => { reading.delete(tenantId); });
    reading.set(tenantId, running);
    return running;
  }
  async function readDemand(tenantId: string, nowMs: number): Promise<SeenDemand> {
    const hours = kept.get(tenantId) ?? { counts: new Map<number, number>(), allReadAtMs: -Infinity };
    const isAll = nowMs - hours.allReadAtMs >= ALL_AGAIN_MS;
    const fromMs = Math.floor((nowMs - (isAll ? HISTORY_MS : AGAIN_MS)) / HOUR_MS) * HOUR_MS;
    const { rows } = await pool.query<{ hour: number; requests: number }>(BY_HOUR, [tenantId, new Date(fromMs)]);
    if (isAll) {
      hours.counts.clear();
      hours.allReadAtMs = nowMs;
    }
    for (const { hour, requests } of rows) hours.counts.set(hour, requests);
    kept.delete(tenantId);
    kept.set(tenantId, hours);
    for (const oldest of kept.keys()) {
      if (kept.size <= MOST_TENANTS) break;
      kept.delete(oldest);
    }
    return seenDemand(hours.counts, nowMs);
  }
  return async (account, nowMs) => {
    const { tenantId, window, timeZone } = account;
    const day = windowOf("day", nowMs, timeZone);
    const [demand, recent, balance] = await Promise.all([demandOf(tenantId, nowMs), recentOf(pool, tenantId, nowMs), balanceOf(account).catch(() => null)]);
    const spent = balance ?? { spentNanoUsd: await spentIn(pool, account), reservedNanoUsd: 0 };
    return {
      leftUsd: sumToUsd(leftIn(account, spent)), recent,
      forecast: forecastDemand(demand, { fromMs: nowMs, untilMs: window.endsAtMs, offsetMs: Date.parse(`${day.id}T00:00:00Z`) - day.startsAtMs }),
    };
  };
}

/** From the first hour with a request on. */
function seenDemand(counts: ReadonlyMap<number, number>, nowMs: number): SeenDemand {
  const last = Math.floor(nowMs / HOUR_MS);
  const oldest = last - Math.floor(HISTORY_MS / HOUR_MS);
  let first = last + 1;
  for (const hour of counts.keys()) if (hour >= oldest && hour < first) first = hour;
  return { fromMs: first * HOUR_MS, untilMs: nowMs, requests: Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => counts.get(first + i) ?? 0) };
}

const BY_HOUR = `SELECT floor(extract(epoch FROM at) / 3600)::int AS hour, count(*)::int AS requests FROM ledger_requests
  WHERE tenant_id = $1 AND at >= $2 GROUP BY 1`;

const LATEST = `SELECT cost_nano_usd::text AS cost, decisions #>> '{0,learned,lambda_per_usd}' AS lambda FROM requests
  WHERE tenant_id = $1 AND completed_at >= $2 ORDER BY completed_at DESC LIMIT ${RECENT_REQUESTS}`;
/** Of all requests, also those that no λ decided: the forecast counts them, too. */
async function recentOf(pool: Pick<Pool, "query">, tenantId: string, nowMs: number): Promise<RecentSpend> {
  const { rows } = await pool.query<{ cost: string; lambda: string | null }>(LATEST, [tenantId, new Date(nowMs - HISTORY_MS)]);
  return { requests: rows.length, meanCostUsd: sumToUsd(rows.reduce((sum, { cost }) => sum + Number(cost), 0)) / Math.max(1, rows.length), lambdas: rows.flatMap(({ lambda }) => (lambda === null ? [] : [Number(lambda)])) };
}

async function spentIn(pool: Pick<Pool, "query">, { tenantId, window }: BudgetedAccount): Promise<number> {
  const sql = "SELECT coalesce(sum(cost_nano_usd), 0)::text AS spent FROM ledger WHERE tenant_id = $1 AND is_charged AND at >= $2 AND at < $3";
  const { rows: [row] } = await pool.query<{ spent: string }>(sql, [tenantId, new Date(window.startsAtMs), new Date(window.endsAtMs)]);
  return nanoUsd(Number(row?.spent ?? 0));
}

/**
 * Sums of the books over any time: whole hours from `request_hours` and `line_hours`, the rest from the rows. All exact, so they are what
 * `shared/ledger/report.ts` says of the same time.
 */
import type { ClientBase } from "pg";

import { LINE_COLUMNS, lineSums, REQUEST_COLUMNS, requestSums } from "#shared/ledger/hourSums.ts";
import { latencyColumns } from "#shared/ledger/latencyBuckets.ts";

import { partsOf, type TimeSpan } from "./timeSpan.ts";

/** Whose rows: one tenant's, or all of them. */
export interface Scope {
  readonly span: TimeSpan;
  readonly tenantId: string | null;
  /** That gave the answer, or was paid. */
  readonly tier: string | null;
}

const REQUESTS = { hours: "request_hours", rows: "ledger_requests", columns: REQUEST_COLUMNS, sums: requestSums } as const;
const LINES = { hours: "line_hours", rows: "ledger", columns: [...LINE_COLUMNS], sums: (rows: string, key: readonly string[]): string => lineSums(rows, key) } as const;
type Kept = typeof REQUESTS | typeof LINES;

export const iso = (epochMs: number): string => new Date(epochMs).toISOString();

/** What to sum by: a column, or a step of time. */
export type Key = "tier" | "policy" | "path" | "baseline_tier" | { readonly stepMs: number; readonly firstMs: number };
const NAMED = "step";
const nameOf = (key: Key): string => (typeof key === "string" ? key : NAMED);
const expressionOf = (key: Key, time: "at" | "hour"): string =>
  (typeof key === "string" ? key : `floor((extract(epoch FROM ${time}) * 1000 - ${key.firstMs}) / ${key.stepMs})::int`);

interface Query {
  readonly sql: string;
  readonly values: readonly unknown[];
}

function queryOf(kept: Kept, { span, tenantId, tier }: Scope, keys: readonly Key[], columns: readonly string[], areHoursTooLong: boolean): Query {
  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const own = (isOfHours: boolean): string => [
    ...(tenantId === null ? (isOfHours ? ["tenant_id = ''"] : []) : [`tenant_id = ${bind(tenantId)}`]),
    ...(tier === null ? [] : [`tier = ${bind(tier)}`]),
  ].map((one) => ` AND ${one}`).join("");
  const { hours, rest } = areHoursTooLong ? { hours: null, rest: [span] } : partsOf(span);
  const named = (time: "at" | "hour") => keys.map((key) => `${expressionOf(key, time)} AS ${nameOf(key)}`);
  const parts = rest.map(({ fromMs, toMs }) => `(${kept.sums(`(SELECT * FROM ${kept.rows} WHERE at >= ${bind(iso(fromMs))} AND at < ${bind(iso(toMs))}${own(false)})`, named("at"), columns)})`);
  if (hours !== null) parts.push(`(SELECT ${[...named("hour"), ...columns].join(", ")} FROM ${kept.hours} WHERE hour >= ${bind(iso(hours.fromMs))} AND hour < ${bind(iso(hours.toMs))}${own(true)})`);
  const names = keys.map(nameOf);
  const sums = columns.map((name) => `${name === "slowest_ms" ? "max" : "sum"}(${name})::text AS ${name}`);
  return { sql: `SELECT ${[...names, ...sums].join(", ")} FROM (${parts.join(" UNION ALL ")}) AS parts${names.length === 0 ? "" : ` GROUP BY ${names.join(", ")}`}`, values };
}

/** By name; a sum of nothing is 0. */
export interface Sums {
  readonly key: Readonly<Record<string, string | number>>;
  readonly sum: (column: string) => bigint;
}
async function read(client: ClientBase, query: Query): Promise<Sums[]> {
  const { rows } = await client.query<Record<string, string | number | null>>(query.sql, [...query.values]);
  return rows.map((row) => ({ key: row as Record<string, string | number>, sum: (column) => BigInt(row[column] ?? 0) }));
}

/** `lessThanHours`: of steps that are shorter than an hour, so that kept sums do not do. */
interface ReadOptions {
  readonly columns?: readonly string[];
  readonly lessThanHours?: boolean;
}
const MONEY = REQUEST_COLUMNS.filter((name) => !(latencyColumns as readonly string[]).includes(name) && name !== "slowest_ms");

/** Without latencies, unless they are named. */
export const readRequestSums = (client: ClientBase, scope: Scope, keys: readonly Key[], { columns = MONEY, lessThanHours = false }: ReadOptions = {}): Promise<Sums[]> =>
  read(client, queryOf(REQUESTS, scope, keys, columns, lessThanHours));
export const WITH_LATENCIES: readonly string[] = [...MONEY, ...latencyColumns];
export const readLineSums = (client: ClientBase, scope: Scope, keys: readonly Extract<Key, "tier" | object>[], { lessThanHours = false }: ReadOptions = {}): Promise<Sums[]> =>
  read(client, queryOf(LINES, scope, keys, LINES.columns, lessThanHours));

export const latenciesOf = ({ sum }: Sums): number[] => latencyColumns.map((name) => Number(sum(name)));
export const addCounts = (all: readonly (readonly number[])[]): number[] => latencyColumns.map((_, i) => all.reduce((total, one) => total + (one[i] ?? 0), 0));
export const requestsOf = ({ sum }: Sums): bigint => sum("completed") + sum("degraded") + sum("failed") + sum("rejected");
export const addUp = (all: readonly Sums[], of: (one: Sums) => bigint): bigint => all.reduce((total, one) => total + of(one), 0n);

/** All that the page shows is named by its address: the view by its path, the filters by its query, in the names of the API. */
import type { Outcome } from "#shared/contracts/events.ts";

import { isZone } from "./zone.ts";

export type View =
  | { readonly name: "overview" | "requests" | "tiers" | "budgets" }
  | { readonly name: "request"; readonly tenantId: string; readonly requestId: string }
  | { readonly name: "unknown" };

/** Time that ends now, by its length in hours. */
const LASTS = { "1h": 1, "24h": 24, "7d": 168, "30d": 720 } as const;
export type Last = keyof typeof LASTS;

const OUTCOMES: readonly string[] = ["completed", "degraded", "failed", "rejected"] satisfies Outcome[];

export interface Filters {
  readonly tenant_id?: string;
  readonly tier?: string;
  /** Instead of `from` and `to`. */
  readonly last?: Last;
  readonly from?: string;
  readonly to?: string;
  readonly tz?: string;
  readonly outcome?: Outcome;
  readonly policy?: string;
  readonly escalated?: "true" | "false";
  readonly slo?: "within" | "missed";
  readonly request_id?: string;
  readonly min_latency_ms?: string;
  readonly before?: string;
}
/** Of every view; the rest is of the list alone. */
const COMMON = ["tenant_id", "tier", "last", "from", "to", "tz"] as const;
const ORDER = [...COMMON, "outcome", "policy", "escalated", "slo", "request_id", "min_latency_ms", "before"] as const satisfies (keyof Filters)[];

export interface Place {
  readonly view: View;
  readonly filters: Filters;
}

const isTime = (value: string) => !Number.isNaN(Date.parse(value));
const READS: { readonly [Name in keyof Filters]-?: (value: string) => boolean } = {
  tenant_id: isToken, tier: (value) => /^[a-z][a-z0-9-]{0,30}$/.test(value), last: (value) => Object.hasOwn(LASTS, value), from: isTime, to: isTime, tz: isZone,
  outcome: (value) => OUTCOMES.includes(value), policy: (value) => value.length <= 64, escalated: (value) => value === "true" || value === "false", slo: (value) => value === "within" || value === "missed",
  request_id: isToken, min_latency_ms: (value) => /^\d{1,9}$/.test(value), before: (value) => value.length <= 200,
};

function isToken(value: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}$/.test(value);
}

/** What is not known or cannot be is left out, so that an old link still shows something. */
export function placeOf(pathname: string, search: string): Place {
  const query = new URLSearchParams(search);
  const filters = Object.fromEntries(ORDER.flatMap((name) => {
    const value = query.get(name);
    return value !== null && value !== "" && READS[name](value) ? [[name, value]] : [];
  })) as Filters;
  return { view: viewOf(pathname), filters };
}

function viewOf(pathname: string): View {
  const [, root, page, ...rest] = pathname.replace(/\/$/, "").split("/").map(decode);
  if (root !== "console") return { name: "unknown" };
  if (page === undefined) return { name: "overview" };
  const [tenantId, requestId, more] = rest;
  if (page === "requests" && tenantId !== undefined && requestId !== undefined && more === undefined) return { name: "request", tenantId, requestId };
  if (rest.length === 0 && (page === "requests" || page === "tiers" || page === "budgets")) return { name: page };
  return { name: "unknown" };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function hrefOf({ view, filters }: Place): string {
  const query = new URLSearchParams(ORDER.flatMap((name) => (filters[name] === undefined ? [] : [[name, filters[name]]]))).toString();
  return `${pathOf(view)}${query === "" ? "" : `?${query}`}`;
}

function pathOf(view: View): string {
  switch (view.name) {
    case "overview":
    case "unknown": return "/console";
    case "requests":
    case "tiers":
    case "budgets": return `/console/${view.name}`;
    case "request": return `/console/requests/${encodeURIComponent(view.tenantId)}/${encodeURIComponent(view.requestId)}`;
  }
}

/** What goes from one view to the next. */
export const commonOf = (filters: Filters): Filters => Object.fromEntries(COMMON.flatMap((name) => (filters[name] === undefined ? [] : [[name, filters[name]]])));

/** A link to the requests behind a number: the filters of the view, and what the number is of. */
export function requestsHref(filters: Filters, narrowed: { readonly [Name in keyof Filters]?: Filters[Name] | undefined } = {}): string {
  const { last, from, to, ...rest } = commonOf(filters);
  const time = narrowed.from === undefined ? { last, from, to } : {};
  const wanted = Object.fromEntries(Object.entries({ ...rest, ...time, ...narrowed }).filter(([, value]) => value !== undefined));
  return hrefOf({ view: { name: "requests" }, filters: wanted });
}

/** The same for the API, which knows moments only. */
export function apiQuery(filters: Filters, zone: string, nowMs: number): URLSearchParams {
  const { last, tz, ...rest } = filters;
  const query = new URLSearchParams(Object.entries<string>(rest));
  if (last !== undefined && rest.from === undefined && rest.to === undefined) query.set("from", new Date(nowMs - LASTS[last] * 3_600_000).toISOString());
  query.set("tz", tz ?? zone);
  return query;
}

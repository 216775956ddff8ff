/**
 * Rate limits as token buckets: which of them one call takes from, how much, and what is told of them. Pure. A bucket holds
 * `burst` at most and is refilled all the time, so over any T it gives `burst + rate x T` and no more.
 */
import { type Input, isEmbed } from "#shared/contracts/chat.ts";
import { AppError } from "#shared/contracts/errors.ts";
import type { RateLimit, TenantSettings } from "#shared/contracts/tenant.ts";

const LIMIT_SCOPES = ["tenant", "user", "key"] as const;
export const LIMIT_KINDS = ["requests", "tokens"] as const;
export type LimitScope = (typeof LIMIT_SCOPES)[number];
export type LimitKind = (typeof LIMIT_KINDS)[number];

/** One bucket, and what a call takes from it. */
export interface Bucket {
  readonly scope: LimitScope;
  readonly kind: LimitKind;
  /** Whose it is: an id of its scope. */
  readonly owner: string;
  readonly limit: RateLimit;
  readonly ratePerS: number;
  readonly amount: number;
  /** Nobody waits for the call: it leaves a reserve to those who do. */
  readonly isBatch: boolean;
}
/** Of a bucket, after a decision. */
export interface Level {
  readonly bucket: Bucket;
  readonly remaining: number;
  /** Until what the call asks for is there; 0 when it is. */
  readonly waitMs: number;
  /** Until it is full, should nobody take any more. */
  readonly fullInMs: number;
}
export interface Verdict {
  /** Taken from every bucket, or from none. */
  readonly isAdmitted: boolean;
  readonly levels: readonly Level[];
}

export interface Taker {
  readonly tenant_id: string;
  readonly user_id: string;
  /** `null`: no key was asked for. */
  readonly key_id: string | null;
}
export interface Demand {
  readonly requests: number;
  /** Asked only where tokens are limited. */
  readonly tokens: () => number;
  readonly isBatch: boolean;
}
const SECONDS = { second: 1, minute: 60 } as const;

/** Empty where the tenant has no limit. */
export function bucketsOf(limits: TenantSettings["limits"], { tenant_id, user_id, key_id }: Taker, demand: Demand): Bucket[] {
  const owners = { tenant: tenant_id, user: user_id, key: key_id };
  let counted: number | undefined; // once for all scopes: it takes a while
  const tokens = () => (counted ??= demand.tokens());
  return LIMIT_SCOPES.flatMap((scope) => LIMIT_KINDS.flatMap((kind): Bucket[] => {
    const limit = limits[scope][kind], owner = owners[scope];
    if (limit === undefined || owner === null) return [];
    return [{ scope, kind, owner, limit, ratePerS: limit.rate / SECONDS[limit.per], amount: kind === "requests" ? demand.requests : tokens(), isBatch: demand.isBatch }];
  }));
}

/**
 * What must be left after the call, so that those who wait find something whatever nobody waits for. Half of what the bucket holds, less for a
 * call that takes more than the other half: it needs a full one, and is not shut out. `burst`: of a share of the bucket, the share's.
 */
export const reserveOf = ({ isBatch, amount, limit }: Bucket, burst = limit.burst): number =>
  isBatch && amount > 0 ? Math.max(0, Math.min(burst / 2, burst - amount)) : 0;

export const levelOf = (bucket: Bucket, remaining: number, { ratePerS, burst }: { readonly ratePerS: number; readonly burst: number } = { ratePerS: bucket.ratePerS, burst: bucket.limit.burst }): Level => ({
  bucket, remaining,
  waitMs: (Math.max(0, bucket.amount + reserveOf(bucket, burst) - remaining) * 1_000) / ratePerS,
  fullInMs: (Math.max(0, burst - remaining) * 1_000) / ratePerS,
});

/** Counted for what a model may write when the request does not say it. */
const UNNAMED_OUTPUT_TOKENS = 1_024;
/** What a request counts as: its prompt, as counted or estimated, and the most that may be written. Nothing is given back for a shorter answer. */
export function tokensAskedFor(input: Input, promptTokens: number): number {
  const output = isEmbed(input) ? 0 : ((typeof input === "string" ? undefined : input.max_output_tokens) ?? UNNAMED_OUTPUT_TOKENS);
  return promptTokens + output;
}

const OWNERS: Readonly<Record<LimitScope, (owner: string) => string>> = { tenant: (id) => `tenant ${id}`, user: (id) => `user ${JSON.stringify(id)}`, key: (id) => `key ${id}` };

/** For a call that no wait would help: it asks for more than a bucket ever holds. `null`: for none. */
export function neverFits(buckets: readonly Bucket[]): AppError | null {
  const small = buckets.find(({ amount, limit }) => amount > limit.burst);
  if (small === undefined) return null;
  const { scope, kind, owner, amount, limit } = small;
  const advice = kind === "tokens" ? ": send less, or ask for fewer with max_output_tokens (max_tokens)" : "";
  return new AppError("exceeds_limit", `this call counts as ${amount} ${kind}, and ${OWNERS[scope](owner)} may take ${limit.burst} at once, however long it waits${advice}`);
}

export const secondsUp = (ms: number): number => Math.max(1, Math.ceil(ms / 1_000));

/** The bucket that a refused call would wait for longest. `null` for one that was admitted. */
export function refusedBy({ isAdmitted, levels }: Verdict): Level | null {
  return isAdmitted ? null : (levels.toSorted((a, b) => b.waitMs - a.waitMs || a.remaining - b.remaining)[0] ?? null);
}

/** As whoever asked is told. */
export function rateLimited({ bucket, remaining, waitMs }: Level): AppError {
  const { scope, kind, owner, limit, amount } = bucket;
  const reserve = reserveOf(bucket);
  const counts = `${kind === "tokens" ? `, and this call counts as ${amount}` : ""}${reserve > 0 ? `, and what nobody waits for leaves ${Math.ceil(reserve)} of them to others` : ""}`;
  const message = `${OWNERS[scope](owner)} may ask for ${limit.rate} ${kind} per ${limit.per} and ${limit.burst} at once: ${Math.floor(remaining)} are left${counts}; try again in ${secondsUp(waitMs)} s`;
  return new AppError("rate_limited", message, { limit: { kind, waitMs } });
}

/** What an answer says of its tenant's rate limits. */
import type { FastifyReply } from "fastify";

import { LIMIT_KINDS, type Level, secondsUp } from "#shared/limits/buckets.ts";

/** The most that a number in a structured field may be (RFC 9651). */
const MOST_INTEGER = 999_999_999_999_999;
const whole = (value: number): string => String(Math.min(MOST_INTEGER, Math.max(0, Math.floor(value))));
const inSeconds = (ms: number): string => whole(Math.ceil(ms / 1_000));

export const showLimits = (reply: FastifyReply) => (levels: readonly Level[]): void => void reply.headers(limitHeadersOf(levels));

/**
 * Pure. OpenAI's headers, of the scope that has least left of each kind, and the IETF draft's fields, of all. What both call the limit is
 * what the bucket holds: that is what is there again after the reset. Empty without a limit.
 */
export function limitHeadersOf(levels: readonly Level[]): Record<string, string> {
  if (levels.length === 0) return {};
  const tightest = LIMIT_KINDS.flatMap((kind) => levels.filter(({ bucket }) => bucket.kind === kind).toSorted((a, b) => a.remaining - b.remaining || b.fullInMs - a.fullInMs).slice(0, 1));
  const ofOpenAi = tightest.flatMap(({ bucket: { kind, limit }, remaining, fullInMs }) => [
    [`x-ratelimit-limit-${kind}`, whole(limit.burst)], [`x-ratelimit-remaining-${kind}`, whole(remaining)], [`x-ratelimit-reset-${kind}`, durationOf(fullInMs)],
  ]);
  const named = levels.map((level) => ({ ...level, name: `"${level.bucket.scope}-${level.bucket.kind}"` }));
  return {
    ...(Object.fromEntries(ofOpenAi) as Record<string, string>),
    "ratelimit-policy": named.map(({ name, bucket: { kind, limit, ratePerS } }) => `${name};q=${whole(limit.burst)};w=${whole(secondsUp((limit.burst / ratePerS) * 1_000))}${kind === "tokens" ? ';qu="tokens"' : ""}`).join(", "),
    ratelimit: named.map(({ name, remaining, fullInMs }) => `${name};r=${whole(remaining)};t=${inSeconds(fullInMs)}`).join(", "),
  };
}

/** Pure. As OpenAI writes it: `20ms`, `1s`, `8.64s`, `6m0s`, `1h0m0s`. Rounded up to milliseconds. */
export function durationOf(ms: number): string {
  const up = Math.min(MOST_INTEGER, Math.ceil(ms));
  if (up === 0) return "0s";
  if (up < 1_000) return `${up}ms`;
  const minutes = Math.floor(up / 60_000), hours = Math.floor(minutes / 60);
  const seconds = `${(up % 60_000) / 1_000}s`;
  if (minutes === 0) return seconds;
  return hours === 0 ? `${minutes}m${seconds}` : `${hours}h${minutes % 60}m${seconds}`;
}

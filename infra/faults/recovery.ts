/** How latencies behaved around a fault. Pure. */
import type { SentRequest } from "./load.ts";

export interface Recovery {
  readonly p99BeforeMs: number | null;
  readonly p99DuringMs: number | null;
  readonly p99AfterMs: number | null;
  /** From healing to the first answer of a request that was sent after it. */
  readonly firstSuccessMs: number | null;
  /** From healing until p99 stays within 1.5 times what it was before, or within 100 ms of it, which a busy machine takes. `null`: it did not while it was watched. */
  readonly calmAfterMs: number | null;
}
/** `performance.now()`. */
export interface Times {
  readonly struckAtMs: number;
  readonly healedAtMs: number;
}

const WITHIN = 1.5;
const NOISE_MS = 100;
const SECOND_MS = 1_000;
type Timed = Pick<SentRequest, "sentAtMs" | "answeredAtMs">;

export function recoveryOf(sent: readonly Timed[], { struckAtMs, healedAtMs }: Times): Recovery {
  const before = sent.filter(({ sentAtMs }) => sentAtMs < struckAtMs - SECOND_MS / 2);
  const during = sent.filter(({ sentAtMs }) => sentAtMs >= struckAtMs && sentAtMs < healedAtMs);
  const after = sent.filter(({ sentAtMs }) => sentAtMs >= healedAtMs);
  const p99BeforeMs = p99Of(before);
  const answered = after.flatMap(({ answeredAtMs }) => (answeredAtMs === null ? [] : [answeredAtMs - healedAtMs]));
  const seconds = Math.ceil(Math.max(0, ...after.map(({ sentAtMs }) => sentAtMs - healedAtMs)) / SECOND_MS);
  const isCalmFrom = (second: number) => {
    const p99 = p99Of(after.filter(({ sentAtMs }) => sentAtMs >= healedAtMs + second * SECOND_MS));
    return p99 !== null && p99BeforeMs !== null && p99 <= Math.max(WITHIN * p99BeforeMs, p99BeforeMs + NOISE_MS);
  };
  const calm = Array.from({ length: seconds }, (_, second) => second).find(isCalmFrom);
  return { p99BeforeMs, p99DuringMs: p99Of(during), p99AfterMs: p99Of(after), firstSuccessMs: answered.length === 0 ? null : Math.min(...answered), calmAfterMs: calm === undefined ? null : calm * SECOND_MS };
}

/** Of those that were answered; `null`: none was. */
function p99Of(sent: readonly Timed[]): number | null {
  const latencies = sent.flatMap(({ sentAtMs, answeredAtMs }) => (answeredAtMs === null ? [] : [answeredAtMs - sentAtMs])).sort((a, b) => a - b);
  return latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * 0.99))] ?? null;
}

/** What happened to a request one after the other, in milliseconds since it was accepted. */
import type { Completion } from "#shared/contracts/events.ts";

export interface Span {
  readonly label: string;
  /** `wait`: nothing ran for it. Else the tier that ran. */
  readonly kind: "wait" | "run" | "failed";
  readonly tier: string | null;
  readonly startMs: number;
  readonly endMs: number;
}

/** Clocks of several machines took part: what seems to begin before the span ahead of it begins with its end. */
export function timelineOf({ accepted_at_ms, completed_at_ms, attempts, cache }: Pick<Completion, "accepted_at_ms" | "completed_at_ms" | "attempts" | "cache">): Span[] {
  const spans: Span[] = [];
  let reachedMs = 0;
  const waitUntil = (startMs: number, label: string) => {
    if (startMs > reachedMs) spans.push({ label, kind: "wait", tier: null, startMs: reachedMs, endMs: startMs });
    reachedMs = Math.max(reachedMs, startMs);
  };
  for (const { attempt, tier, started_at_ms, latency_ms, outcome } of attempts) {
    waitUntil(started_at_ms - accepted_at_ms, attempt === 1 ? "routed and queued" : "routed on and queued");
    const endMs = Math.max(reachedMs, started_at_ms - accepted_at_ms + latency_ms);
    spans.push({ label: `attempt ${attempt}: ${tier}`, kind: outcome.kind === "failed" ? "failed" : "run", tier, startMs: reachedMs, endMs });
    reachedMs = endMs;
  }
  waitUntil(completed_at_ms - accepted_at_ms, attempts.length > 0 ? "outcome stored" : cache === undefined ? "no attempt" : "kept answer found");
  return spans;
}

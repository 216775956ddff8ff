/** Audit events that are as large and as various as real ones, each made from its number alone: for tests and benchmarks. */
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };

const EXAMPLE = Completion.parse(fixture);
const BEGIN_MS = Date.parse("2026-11-01T00:00:00.000Z");
const TENANTS = 20;

/** A third escalate twice and have the size of the fixture; the others were kept at the first tier. */
export function generatedEvent(i: number): Completion {
  const acceptedAtMs = BEGIN_MS + i * 250;
  const isEscalated = i % 3 === 0;
  const attempts = isEscalated ? EXAMPLE.attempts : EXAMPLE.attempts.slice(-1).map((attempt) => ({ ...attempt, attempt: 1, tier: "small" }));
  return {
    ...EXAMPLE, tenant_id: `tenant-${i % TENANTS}`, request_id: `r-${i}`, user_id: `user-${i % 997}`, attempts, decisions: isEscalated ? EXAMPLE.decisions : EXAMPLE.decisions.slice(0, 1),
    metadata: { ticket: `T-${i}` }, accepted_at_ms: acceptedAtMs, completed_at_ms: acceptedAtMs + EXAMPLE.latency_ms,
  };
}

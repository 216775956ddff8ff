/** What the streams say of a request that has no outcome yet. */
import type { Found } from "#producers/gateway/findRequest.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { requestSubject, stepSubjects } from "#shared/messaging/topology.ts";

export interface UnderWay {
  readonly tenant_id: string;
  readonly request_id: string;
  /** ISO 8601. `null`: REQUESTS holds it no more. */
  readonly accepted_at: string | null;
  /** Attempts in their order: to which tier, and whether it has a result. */
  readonly attempts: readonly { readonly attempt: number; readonly tier: string; readonly has_result: boolean }[];
}

/** Throws `broker_unavailable`. */
export async function readUnderWay(streams: StoredMessages, prefix: string, { id }: Extract<Found, { kind: "pending" }>): Promise<UnderWay> {
  const stored = await streams.last("REQUESTS", requestSubject(prefix, id));
  const filters = stepSubjects(prefix, id);
  const subjects = await Promise.all(filters.map((filter, i) => streams.subjects(i === filters.length - 1 ? "RESULTS" : "JOBS", filter)));
  const ended = new Set((subjects.at(-1) ?? []).map((subject) => Number(subject.split(".").at(-1))));
  return { ...id, accepted_at: stored?.time.toISOString() ?? null, attempts: attemptsIn(subjects.slice(0, -1).flat(), ended) };
}

/** Subjects of jobs end in tier, tenant, request and attempt. */
export const attemptsIn = (jobs: readonly string[], ended: ReadonlySet<number>): UnderWay["attempts"] =>
  jobs.map((subject) => {
    const [tier = "", , , attempt = ""] = subject.split(".").slice(-4);
    return { attempt: Number(attempt), tier, has_result: ended.has(Number(attempt)) };
  }).sort((a, b) => a.attempt - b.attempt);

export function underWayText({ tenant_id, request_id, accepted_at, attempts }: UnderWay, nowMs: number): string {
  return [
    `${request_id} of tenant ${tenant_id} is under way${accepted_at === null ? "" : `: accepted ${accepted_at}, ${((nowMs - Date.parse(accepted_at)) / 1_000).toFixed(1)} s ago`}`,
    ...(attempts.length === 0 ? ["  not given to a tier yet"] : attempts.map(({ attempt, tier, has_result }) => `  attempt ${attempt} on ${tier}: ${has_result ? "has a result, the router decides" : "waits or runs"}`)),
  ].join("\n");
}

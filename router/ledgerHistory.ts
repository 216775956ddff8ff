/** What Redis does not know of an account, from what is durable: the audit in Postgres, COMPLETIONS after what the audit holds, and JOBS for what is under way. */
import type { Pool } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import { Completion, Job } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { type Account, accountsOf, type Spender } from "#shared/ledger/accounts.ts";
import type { History, LedgerDeps, OpenReservation } from "#shared/ledger/ledger.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { readAll } from "#shared/messaging/readAll.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { anyIdOf, completionSubject, jobsOfTenant, sourcesOf, tokens } from "#shared/messaging/topology.ts";
import { type SagaContext, spentOn } from "#shared/saga/inferenceMachine.ts";
import { readSaga } from "#shared/saga/messagesAfter.ts";

export interface HistoryDeps {
  readonly js: Broker["js"];
  readonly jsm: Broker["jsm"];
  readonly streams: Pick<StoredMessages, "last">;
  readonly pool: Pool;
  readonly prefix: string;
  /** No request is open longer, in milliseconds. */
  readonly longestMs: number;
  /** When the reservation of a request with this deadline is freed at the latest (epoch milliseconds). */
  readonly leaseEndOf: (deadlineAtMs: number) => number;
  /** Epoch milliseconds. */
  readonly now: () => number;
}
const COMPLETIONS = "COMPLETIONS";
/** Clocks differ. */
const SLACK_MS = 60_000;

/** All of these throw outages: `broker_unavailable`, `database_unavailable`. */
export function makeHistory({ js, jsm, streams, pool, prefix, longestMs, leaseEndOf, now }: HistoryDeps): Pick<LedgerDeps, "stream" | "historyOf" | "endOf"> {
  const stateOf = async () => {
    const { created, state } = await jsm.streams.info(COMPLETIONS);
    return { created, lastSeq: state.last_seq };
  };
  /** Up to here all is in Postgres: what is acked below it, by however many sinks, and without a gap. */
  const auditedUpTo = async (): Promise<number> => (await jsm.consumers.info(COMPLETIONS, sourcesOf(prefix).auditCompletions.durable)).ack_floor.stream_seq;

  return {
    stream: stateOf,
    endOf: async (id) => (await streams.last(COMPLETIONS, completionSubject(prefix, id)))?.seq ?? null,
    async historyOf(account, markSeq) {
      const [{ created }, audited] = await Promise.all([stateOf(), auditedUpTo()]);
      const upTo = Math.min(audited, markSeq);
      let spent = await spentInAudit(pool, account, { upTo, streamCreatedAt: created });
      const endedAt = new Map<string, number>();
      await readAll(js, { stream: COMPLETIONS, filters: [completionSubject(prefix, anyIdOf(account.tenantId))], from: { seq: upTo + 1 } }, (message) => {
        const completion = readStored(Completion, message);
        if (completion === null) return;
        endedAt.set(tokens(completion), message.seq);
        if (message.seq <= markSeq && countsIn(account, completion, completion.accepted_at_ms)) spent += completion.cost_nano_usd;
      });
      return { spentNanoUsd: nanoUsd(spent), open: await openIn(account, endedAt, markSeq) } satisfies History;
    },
  };

  async function openIn(account: Account, endedAt: ReadonlyMap<string, number>, markSeq: number): Promise<OpenReservation[]> {
    const latest = new Map<string, OpenReservation>();
    await readAll(js, { stream: "JOBS", filters: jobsOfTenant(prefix, account.tenantId), from: { atMs: now() - longestMs - SLACK_MS } }, (message) => {
      const job = readStored(Job, message);
      if (job === null || !countsIn(account, job.request, job.request.accepted_at_ms)) return;
      const context = contextOf(job);
      if (context === null) return;
      const most = context.decisions.at(-1)?.facts.quotes.find(({ tier }) => tier === job.tier)?.max_cost_nano_usd ?? nanoUsd(0);
      const { tenant_id, request_id } = job;
      const before = latest.get(tokens(job));
      if (before !== undefined && before.step >= job.attempt) return;
      latest.set(tokens(job), { tenant_id, request_id, step: job.attempt, amountNanoUsd: nanoUsd(spentOn(context) + most), leaseEndsAtMs: leaseEndOf(job.request.deadline_at_ms), endedAtSeq: null });
    });
    const open: OpenReservation[] = [];
    for (const [key, one] of latest) {
      const endedAtSeq = endedAt.get(key) ?? (await streams.last(COMPLETIONS, completionSubject(prefix, one)))?.seq ?? null;
      if (endedAtSeq === null || endedAtSeq > markSeq) open.push({ ...one, endedAtSeq });
    }
    return open;
  }
}

/** `null`: of a version that cannot be read here; no router of this version takes it further either. */
function contextOf(job: Job): SagaContext | null {
  try {
    return readSaga(job.saga).context;
  } catch {
    return null;
  }
}

function countsIn(account: Account, { tenant_id, user_id, key_id = null }: Omit<Spender, "key_id"> & { readonly key_id?: string | null | undefined }, acceptedAtMs: number): boolean {
  return accountsOf({ tenant_id, user_id, key_id }, account.timeZone, acceptedAtMs).some(({ scope, owner, window }) => scope === account.scope && owner === account.owner && window.id === account.window.id && window.kind === account.window.kind);
}

const OWNER_COLUMN = { tenant: "tenant_id", user: "user_id", key: "key_id" } as const;
/** What ended before it was accepted is in no window: `completed_at` has the index. Rows of a stream before this one count whatever their sequence is. */
async function spentInAudit(pool: Pool, { scope, tenantId, owner, window }: Account, { upTo, streamCreatedAt }: { readonly upTo: number; readonly streamCreatedAt: string }): Promise<number> {
  const sql = `SELECT coalesce(sum(cost_nano_usd), 0)::text AS spent FROM requests
    WHERE tenant_id = $1 AND ${OWNER_COLUMN[scope]} = $2 AND completed_at >= $3 AND accepted_at >= $3 AND accepted_at < $4 AND (stream_seq <= $5 OR completed_at < $6)`;
  try {
    const { rows: [row] } = await pool.query<{ spent: string }>(sql, [tenantId, owner, new Date(window.startsAtMs), new Date(window.endsAtMs), upTo, streamCreatedAt]);
    return Number(row?.spent ?? 0);
  } catch (cause) {
    throw new AppError("database_unavailable", "what was spent cannot be read", { cause });
  }
}

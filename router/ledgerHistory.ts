/**
 * What Redis does not know of an account, from what is durable: the books in Postgres, COMPLETIONS after what these hold, and the latest jobs of
 * the requests that are open. Reads take longer the longer the audit sink is behind, and not the more a tenant has asked.
 */
import type { Pool } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import { Completion, Job } from "#shared/contracts/events.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import { inTransaction } from "#shared/db/transaction.ts";
import { type Account, accountsOf, globalAccountsOf, type Spender } from "#shared/ledger/accounts.ts";
import type { History, LedgerDeps, OpenReservation } from "#shared/ledger/ledger.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { readAll } from "#shared/messaging/readAll.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { anyIdOf, anyJob, completionSubject, type Id, idOf, sourcesOf, tokens } from "#shared/messaging/topology.ts";
import { type SagaContext, spentOn } from "#shared/saga/inferenceMachine.ts";
import { readSaga } from "#shared/saga/messagesAfter.ts";

export interface HistoryDeps {
  readonly js: Broker["js"];
  readonly jsm: Broker["jsm"];
  readonly streams: StoredMessages;
  /** Whose queries may take long: a month may have millions of lines. */
  readonly pool: Pool;
  readonly prefix: string;
  /** Requests of a tenant, or of all (`*`), without an outcome: all that are in REQUESTS by now, and perhaps some that have just ended. */
  readonly openOf: (tenantId: string) => Promise<readonly Id[]>;
  /** When the reservation of a request with this deadline is freed at the latest (epoch milliseconds). */
  readonly leaseEndOf: (deadlineAtMs: number) => number;
}
const COMPLETIONS = "COMPLETIONS";
const MOST_READS_AT_ONCE = 64;

/** All of these throw outages: `broker_unavailable`, `database_unavailable`. */
export function makeHistory({ js, jsm, streams, pool, prefix, openOf, leaseEndOf }: HistoryDeps): Pick<LedgerDeps, "stream" | "outcomeAt" | "historiesOf" | "endOf"> {
  const stateOf = async () => {
    const { created, state } = await jsm.streams.info(COMPLETIONS);
    return { created, firstSeq: state.first_seq, lastSeq: state.last_seq };
  };
  /** Up to here all is in Postgres: what is acked below it, by however many sinks, and without a gap. A sink that was made anew reads all again. */
  const auditedUpTo = async (): Promise<number> => (await jsm.consumers.info(COMPLETIONS, sourcesOf(prefix).auditCompletions.durable)).ack_floor.stream_seq;

  return {
    stream: stateOf,
    async outcomeAt(seq) {
      const message = await streams.bySequence(COMPLETIONS, seq);
      return message === null ? null : idOf(prefix, message.subject);
    },
    endOf: async (id) => (await streams.last(COMPLETIONS, completionSubject(prefix, id)))?.seq ?? null,
    async historiesOf(claimed) {
      const [first] = claimed;
      if (first === undefined) return [];
      const tenantId = first.account.scope === "global" ? "*" : first.account.tenantId;
      // Before the outcomes are read: what is not open any more is among them, or in the books.
      const ids = await openOf(tenantId);
      const [{ created, firstSeq, lastSeq }, audited] = await Promise.all([stateOf(), auditedUpTo()]);
      const upTo = Math.max(Math.min(audited, ...claimed.map(({ markSeq }) => markSeq)), firstSeq - 1);
      const later: Later[] = [];
      if (lastSeq > upTo) {
        await readAll(js, { stream: COMPLETIONS, filters: [completionSubject(prefix, anyIdOf(tenantId))], from: { seq: upTo + 1 } }, (message) => {
          const completion = readStored(Completion, message);
          if (completion !== null) later.push({ seq: message.seq, ...spendingOf(completion) });
        });
      }
      const ended = new Set(later.map(tokens));
      const jobs = await jobsOf(ids.filter((id) => !ended.has(tokens(id))));
      const inBooks = await spentInBooks(pool, claimed.map(({ account }) => account), { upTo, streamCreatedAt: created, except: [...ended] });
      return claimed.map(({ account, markSeq }, i): History => {
        const mine = later.filter((one) => countsIn(account, one));
        const spent = mine.filter(({ seq }) => seq <= markSeq).reduce((sum, { cost_nano_usd }) => sum + cost_nano_usd, inBooks[i] ?? NaN);
        // Ended and not booked yet: held as what it cost, until it is.
        const held = mine.filter(({ seq, cost_nano_usd }) => seq > markSeq && cost_nano_usd > 0)
          .map(({ seq, tenant_id, request_id, cost_nano_usd, attempt_count, completed_at_ms }): OpenReservation => ({ tenant_id, request_id, step: attempt_count, amountNanoUsd: cost_nano_usd, leaseEndsAtMs: leaseEndOf(completed_at_ms), endedAtSeq: seq }));
        return { spentNanoUsd: nanoUsd(spent), open: [...held, ...jobs.filter(({ request }) => countsIn(account, request)).map(({ reservation }) => reservation)] };
      });
    },
  };

  async function jobsOf(ids: readonly Id[]): Promise<RunningJob[]> {
    const jobs: RunningJob[] = [];
    for (let i = 0; i < ids.length; i += MOST_READS_AT_ONCE) {
      const found = await Promise.all(ids.slice(i, i + MOST_READS_AT_ONCE).map(reservedFor));
      jobs.push(...found.filter((one) => one !== null));
    }
    return jobs;
  }
  /** `null`: nothing has been reserved for it, as far as its jobs say. */
  async function reservedFor(id: Id): Promise<RunningJob | null> {
    const message = await streams.last("JOBS", anyJob(prefix, id, "*"));
    const job = message === null ? null : readStored(Job, message);
    const context = job === null ? null : contextOf(job);
    if (job === null || context === null) return null;
    const most = context.decisions.at(-1)?.facts.quotes.find(({ tier }) => tier === job.tier)?.max_cost_nano_usd ?? nanoUsd(0);
    return { request: spenderOf(job.request), reservation: { ...id, step: job.attempt, amountNanoUsd: nanoUsd(spentOn(context) + most), leaseEndsAtMs: leaseEndOf(job.request.deadline_at_ms), endedAtSeq: null } };
  }
}

type Request = Spender & { readonly accepted_at_ms: number };
interface RunningJob {
  readonly request: Request;
  readonly reservation: OpenReservation;
}
/** An outcome, without its texts. */
interface Later extends Request {
  readonly seq: number;
  readonly request_id: string;
  readonly cost_nano_usd: NanoUsd;
  readonly attempt_count: number;
  readonly completed_at_ms: number;
}
const spenderOf = ({ tenant_id, user_id, key_id = null, accepted_at_ms }: Omit<Request, "key_id"> & { readonly key_id?: string | null | undefined }): Request => ({ tenant_id, user_id, key_id, accepted_at_ms });
const spendingOf = (completion: Completion): Omit<Later, "seq"> => {
  const { request_id, cost_nano_usd, attempts, completed_at_ms } = completion;
  return { ...spenderOf(completion), request_id, cost_nano_usd, attempt_count: attempts.length, completed_at_ms };
};

/** `null`: of a version that cannot be read here; no router of this version takes it further either. */
function contextOf(job: Job): SagaContext | null {
  try {
    return readSaga(job.saga).context;
  } catch {
    return null;
  }
}

function countsIn(account: Account, { accepted_at_ms, ...spender }: Request): boolean {
  const all = account.scope === "global" ? globalAccountsOf(account.timeZone, accepted_at_ms) : accountsOf(spender, account.timeZone, accepted_at_ms);
  return all.some(({ scope, owner, window }) => scope === account.scope && owner === account.owner && window.id === account.window.id && window.kind === account.window.kind);
}

const OWNED = { global: "$1 = $2", tenant: "tenant_id = $1 AND tenant_id = $2", user: "tenant_id = $1 AND user_id = $2", key: "tenant_id = $1 AND key_id = $2" } as const;
/**
 * What the books have charged to each account. Lines of a stream before this one count whatever their sequence is: those of requests that were accepted before it was made, but for `except`
 * (as `tokens` has them), which it has all the same.
 */
async function spentInBooks(pool: Pool, accounts: readonly Account[], { upTo, streamCreatedAt, except }: { readonly upTo: number; readonly streamCreatedAt: string; readonly except: readonly string[] }): Promise<number[]> {
  try {
    return await inTransaction(pool, async (client) => {
      const sums: number[] = [];
      for (const { scope, tenantId, owner, window } of accounts) {
        const sql = `SELECT coalesce(sum(cost_nano_usd), 0)::text AS spent FROM ledger
          WHERE ${OWNED[scope]} AND at >= $3 AND at < $4 AND is_charged AND stream = '${COMPLETIONS}' AND (stream_seq <= $5 OR (at < $6 AND tenant_id || '.' || request_id <> ALL($7)))`;
        const { rows: [row] } = await client.query<{ spent: string }>(sql, [tenantId, owner, new Date(window.startsAtMs), new Date(window.endsAtMs), upTo, streamCreatedAt, except]);
        sums.push(Number(row?.spent ?? 0));
      }
      return sums;
    });
  } catch (cause) {
    throw new AppError("database_unavailable", "what was spent cannot be read", { cause });
  }
}

/** Where reconciliation looks, and how far each place has come. */
import type { Pool } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import type { Source } from "#shared/messaging/topology.ts";

import type { KeptSince } from "./compareOutcomes.ts";
import type { TenantRules } from "./readBooks.ts";

export interface Places {
  readonly jsm: Broker["jsm"];
  readonly streams: Broker["streams"];
  readonly pool: Pool;
  readonly prefix: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
}
/** For how many days rows are kept. */
export interface KeptDays {
  readonly auditDays: number;
  readonly ledgerDays: number;
}

export interface Stand {
  /** What tells a stream from one that was made anew. */
  readonly created: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
}
export async function standOf({ jsm }: Pick<Places, "jsm">, stream: string): Promise<Stand> {
  try {
    const { created, state } = await jsm.streams.info(stream);
    return { created, firstSeq: Math.max(1, state.first_seq), lastSeq: state.last_seq };
  } catch (cause) {
    throw new AppError("broker_unavailable", `cannot see how far ${stream} has come`, { cause });
  }
}

/** Up to here whoever reads this durable has acked everything, without a gap. */
export async function ackFloorOf({ jsm }: Pick<Places, "jsm">, { stream, durable }: Source): Promise<number> {
  try {
    return (await jsm.consumers.info(stream, durable)).ack_floor.stream_seq;
  } catch (cause) {
    throw new AppError("broker_unavailable", `cannot see how far ${durable} has read`, { cause });
  }
}

const DAY_MS = 86_400_000;
/** Rows are deleted by the hour, by another clock. */
const SLACK_MS = 2 * 3_600_000;
export const keptSince = ({ auditDays, ledgerDays }: KeptDays, { days, erasures }: TenantRules, nowMs: number): KeptSince => ({
  audit: (tenantId) => nowMs - (days.get(tenantId) ?? auditDays) * DAY_MS + SLACK_MS,
  ledger: nowMs - ledgerDays * DAY_MS + SLACK_MS,
  erasures,
});

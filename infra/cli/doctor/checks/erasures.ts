import type { AskedErasure } from "#shared/erasure/askErasure.ts";
import { listErasures } from "#shared/erasure/askErasure.ts";
import { countKeys } from "#shared/erasure/eraseKeys.ts";
import { countRows } from "#shared/erasure/eraseRows.ts";
import { streamNamesOf } from "#shared/messaging/topology.ts";

import type { Place } from "../../place.ts";
import { type Check, type Finding, ok, problem, warning } from "../finding.ts";

export interface ErasureLooked extends Pick<AskedErasure, "reply"> {
  /** Rows and keys that are left, by table and area. */
  readonly left: Readonly<Record<string, number>>;
}
export interface ErasuresLooked {
  readonly erasures: readonly ErasureLooked[];
  /** When the oldest message of each stream was stored, in epoch milliseconds; of an empty one, none. */
  readonly oldest: ReadonlyMap<string, number>;
  readonly nowMs: number;
}

/** Of the latest ones: each takes a look at the tables. */
const MOST_LOOKED = 20;

/** Proves what was erased: 0 rows and 0 keys, and once the streams are clear 0 messages. */
export const erasures: Check<Place> = {
  title: "erasures",
  run: async (place) => {
    const { pool } = await place.postgres();
    const asked = await listErasures({ pool, tenantId: null });
    if (asked.length === 0) return [ok("nobody was erased")];
    const { redis } = await place.redis();
    const { jsm } = await place.nats();
    const signal = new AbortController().signal;
    const looked: ErasureLooked[] = [];
    for (const { reply, erasure } of asked.slice(0, MOST_LOOKED)) looked.push({ reply, left: { ...(await countRows(pool, erasure)), ...(await countKeys(redis, place.prefix, erasure, signal)) } });
    const infos = await Promise.all(streamNamesOf(place.prefix).map((name) => jsm.streams.info(name)));
    const oldest = new Map(infos.filter(({ state }) => state.messages > 0).map(({ config, state }) => [config.name, Date.parse(state.first_ts)]));
    return judgeErasures({ erasures: looked, oldest, nowMs: Date.now() });
  },
};

/** The audit sink and the router look every 10 s; a large tenant takes minutes. */
const DUE_AFTER_MS = 3_600_000;
/** Late feedback and the like is deleted every 10 minutes. */
const AGAIN_MS = 20 * 60_000;

export function judgeErasures({ erasures, oldest, nowMs }: ErasuresLooked): Finding[] {
  const findings = erasures.flatMap(({ reply, left }): Finding[] => {
    const who = reply.subject === null ? `tenant ${reply.tenant_id}` : `${reply.subject} of tenant ${reply.tenant_id}`;
    const isLate = nowMs - Date.parse(reply.asked_at) > DUE_AFTER_MS;
    const isDone = reply.rows_done_at !== null && reply.keys_done_at !== null;
    if (!isDone) return isLate ? [problem(`${who} was to be erased at ${reply.asked_at} and is not`, "Are an audit sink and a router up? inferctl status; or do it now: inferctl tenants erase")] : [warning(`${who} is being erased`, "inferctl tenants erasures says when it is done.")];
    const rest = Object.entries(left).map(([what, count]) => `${what} (${count})`).join(", ");
    const isFresh = nowMs - Math.max(Date.parse(reply.asked_at), Date.parse(reply.covers_until)) < AGAIN_MS;
    if (rest !== "") return [isFresh ? warning(`of ${who}, which was erased, some came since: ${rest}`, "It is deleted again every 10 minutes.") : problem(`of ${who}, which was erased, is left: ${rest}`, "Is an audit sink up? Or erase again: inferctl tenants erase")];
    const holding = [...oldest].filter(([, storedAtMs]) => storedAtMs <= Date.parse(reply.covers_until)).map(([stream]) => stream);
    if (nowMs > Date.parse(reply.streams_clear_at) && holding.length > 0) return [problem(`of ${who} the streams were to be clear at ${reply.streams_clear_at}, and ${holding.join(", ")} still ${holding.length === 1 ? "holds" : "hold"} what is older than it`, "Was a stream's max_age made longer? inferctl topology says how it should be.")];
    return [];
  });
  return findings.length > 0 ? findings : [ok(`${erasures.length} done: no row and no key is left, and no stream holds what should have left it`)];
}

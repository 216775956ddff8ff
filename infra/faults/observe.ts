/** Waits until the system has settled after a fault, and reads everything that the oracle needs. What does not settle in time is read as it is. */
import { DeliverPolicy } from "@nats-io/jetstream";

import { isDrained } from "#infra/embedded/isDrained.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { Completion } from "#shared/contracts/events.ts";
import { readCounters } from "#shared/ledger/readCounters.ts";

import { CANARIES, type Load } from "./load.ts";
import { type Key, keyOf, type Observed } from "./oracle.ts";
import { BUDGETED, PREFIX, type Rig } from "./rig.ts";

/** Where the streams ended when the load began, and what was sent to clients since. */
export interface Watch {
  readonly wire: readonly Completion[];
  readonly since: ReadonlyMap<string, number>;
  readonly end: () => void;
}
const STREAMS = ["REQUESTS", "JOBS", "COMPLETIONS"] as const;

export async function startWatch({ broker }: Rig): Promise<Watch> {
  const wire: Completion[] = [];
  const subscription = broker.nats.subscribe(`${PREFIX}.reply.>`, { callback: (error, message) => { if (error === null) wire.push(Completion.parse(message.json())); } });
  const since = new Map<string, number>();
  for (const stream of STREAMS) since.set(stream, (await broker.jsm.streams.info(stream)).state.last_seq);
  return { wire, since, end: () => { subscription.unsubscribe(); } };
}

export interface SettleOptions {
  /** For outcomes, and then for each consumer and table. */
  readonly deadlineMs: number;
  readonly note: (line: string) => void;
}

/** Call it when the load has stopped. */
export async function observe(rig: Rig, { sent }: Pick<Load, "sent">, watch: Watch, { deadlineMs, note }: SettleOptions): Promise<Observed> {
  const settled = async (what: string, isSettled: () => Promise<boolean>) => {
    const probe = async () => ((await isSettled().catch(() => false)) ? true : undefined);
    await waitUntil(probe, { deadlineMs, everyMs: 200, describe: () => what }).catch((error: unknown) => { note(String(error)); });
  };
  const { broker, audit } = rig;
  const expected = () => requestsOf(rig, watch).then((keys) => new Set([...keys, ...sent.filter(({ isAccepted }) => isAccepted).map(({ tenant, id }) => `${tenant}/${id}`)]));
  await settled("requests have no outcome", async () => {
    const ended = new Set((await completionsOf(rig, watch)).map(keyOf));
    return [...(await expected())].every((key) => ended.has(key));
  });
  await settled("consumers have not read all", () => isIdle(broker));
  const completions = await completionsOf(rig, watch);
  const ids = [...new Set([...sent.map(({ id }) => id), ...completions.map(({ request_id }) => request_id)])];
  await settled("the audit lacks rows", async () => (await auditRowsOf(rig, ids)).length >= completions.length);
  await settled("something stays reserved", async () => (await reservationsOf(rig, ids)).length === 0);
  await settled("Redis and ledger do not agree", async () => (await spentOf(rig)).every(({ inRedis, inLedger }) => inRedis === inLedger));
  const attempts = await audit.rows<{ tenant_id: string; request_id: string; attempt: number }>("SELECT tenant_id, request_id, attempt FROM attempts WHERE request_id = ANY($1)", ids);
  const lines = await audit.rows<{ tenant_id: string; request_id: string; cost: number; is_charged: boolean }>("SELECT tenant_id, request_id, cost_nano_usd::float8 AS cost, is_charged FROM ledger WHERE request_id = ANY($1)", ids);
  return {
    sent, canaries: CANARIES, completions, wire: watch.wire,
    requests: await requestsOf(rig, watch),
    jobs: await jobsOf(rig, watch),
    auditRows: await auditRowsOf(rig, ids),
    attemptRows: attempts.map((row) => `${keyOf(row)} ${row.attempt}`),
    lines: lines.map(({ cost, is_charged, ...row }) => ({ key: keyOf(row), cost, isCharged: is_charged })),
    calls: rig.backend.calls(),
    reservations: await reservationsOf(rig, ids), spent: await spentOf(rig),
  };
}

/** Of those that a role of this system reads: there is no metrics sink. */
async function isIdle({ jsm }: Rig["broker"]): Promise<boolean> {
  for (const stream of READ) {
    for await (const { name, config } of jsm.consumers.list(stream)) {
      if (config.durable_name !== undefined && name !== UNREAD && !(await isDrained(jsm, stream, name))) return false;
    }
  }
  return true;
}
const READ = ["REQUESTS", "JOBS", "RESULTS", "COMPLETIONS", "DEAD_LETTERS"];
const UNREAD = "sink-metrics";

async function messagesSince<T>({ broker: { js, jsm } }: Rig, { since }: Watch, stream: (typeof STREAMS)[number], read: (subject: string, json: () => unknown) => T): Promise<T[]> {
  const from = (since.get(stream) ?? 0) + 1;
  const { last_seq } = (await jsm.streams.info(stream)).state;
  const found: T[] = [];
  if (last_seq < from) return found;
  const consumer = await js.consumers.get(stream, { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from });
  for (let lastSeq = 0; lastSeq < last_seq; ) {
    for await (const message of await consumer.fetch({ max_messages: 500, expires: 2_000 })) {
      lastSeq = message.seq;
      if (lastSeq <= last_seq) found.push(read(message.subject, () => message.json()));
      if (lastSeq >= last_seq) break;
    }
  }
  await consumer.delete();
  return found;
}

/** `<prefix>.request.<tenant>.<id>`. */
const requestsOf = (rig: Rig, watch: Watch): Promise<Key[]> => messagesSince(rig, watch, "REQUESTS", (subject) => subject.split(".").slice(2).join("/"));
const completionsOf = (rig: Rig, watch: Watch): Promise<Completion[]> => messagesSince(rig, watch, "COMPLETIONS", (_subject, json) => Completion.parse(json()));
/** `<prefix>.job.<tier>.<tenant>.<id>.<attempt>`. */
const jobsOf = (rig: Rig, watch: Watch): Promise<string[]> =>
  messagesSince(rig, watch, "JOBS", (subject) => {
    const [, , , tenant = "", id = "", attempt = ""] = subject.split(".");
    return `${tenant}/${id} ${attempt}`;
  });

async function auditRowsOf({ audit }: Rig, ids: readonly string[]) {
  const rows = await audit.rows<{ tenant_id: string; request_id: string; cost: number; output: string | null }>("SELECT tenant_id, request_id, cost_nano_usd::float8 AS cost, output FROM requests WHERE request_id = ANY($1)", ids);
  return rows.map(({ cost, output, ...row }) => ({ key: keyOf(row), cost, output }));
}

/** Of these requests: what an earlier case left is its own. */
async function reservationsOf({ redis }: Rig, ids: readonly string[]): Promise<Key[]> {
  const mine = new Set(ids);
  return (await readCounters(redis, { prefix: PREFIX })).reservations.filter(({ request_id }) => mine.has(request_id)).map(keyOf);
}

async function spentOf({ redis, audit }: Rig) {
  const { counters } = await readCounters(redis, { prefix: PREFIX });
  const rows = await audit.rows<{ tenant_id: string; spent: number }>("SELECT tenant_id, sum(cost_nano_usd)::float8 AS spent FROM ledger WHERE is_charged GROUP BY tenant_id");
  return BUDGETED.flatMap((tenant) => {
    const mine = counters.filter(({ scope, tenantId, isLoading }) => scope === "tenant" && tenantId === tenant && !isLoading);
    const inLedger = rows.find(({ tenant_id }) => tenant_id === tenant)?.spent ?? 0;
    return mine.length === 0 ? [] : [{ tenant, inRedis: mine.reduce((sum, { spentNanoUsd }) => sum + spentNanoUsd, 0), inLedger }];
  });
}

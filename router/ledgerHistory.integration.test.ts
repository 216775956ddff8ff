/** Against real streams and a real database: what is told of an account is what has been spent and is open, wherever each of it is kept. */
import type { Pool } from "pg";
import { pino } from "pino";
import { afterAll, beforeAll, expect, inject, it, vi } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { Completion, Job } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import requestFixture from "#shared/contracts/fixtures/request.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { makePool } from "#shared/db/pool.ts";
import { type Account, accountsOf, globalAccountsOf } from "#shared/ledger/accounts.ts";
import { requestSubject, sourcesOf } from "#shared/messaging/topology.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";

import { makeHistory } from "./ledgerHistory.ts";
import { makeOpenOf } from "./openOf.ts";
import type { OpenRequests } from "./openRequests.ts";
import { makeSnapshots } from "./snapshots.ts";
import { runSweeper } from "./sweeper.ts";

const FILE = TierFile.parse(tierFixture);
const NOW_MS = Date.now();
const DAY_MS = 86_400_000;
let test: TestBroker;
let broker: TestBroker["broker"];
let pool: Pool;
let dropDatabase: () => Promise<void>;
let history: ReturnType<typeof makeHistory>;
const historyOf = async (account: Account, markSeq: number) => {
  const [one] = await history.historiesOf([{ account, markSeq }]);
  if (one === undefined) throw new Error("one was asked for");
  return one;
};
let sweeper: Promise<void>;
const shutdown = new AbortController();
beforeAll(async () => {
  test = await startTestBroker(FILE.tiers);
  broker = test.broker;
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "ledger_history");
  dropDatabase = database.drop;
  pool = makePool(database.url, "test", () => undefined);
  let fold: OpenRequests | null = null;
  const limits = { defaultDeadlineMs: 30_000, maxDeadlineMs: 300_000, tierFile: FILE };
  sweeper = runSweeper({ ...broker, snapshots: makeSnapshots({ keys: [], streams: broker.streams, prefix: "infer" }), prefix: "infer", limits, graceMs: 5_000, tracer: startTracing(undefined, "test").tracer, log: pino({ level: "silent" }), now: Date.now, signal: shutdown.signal }, (made) => { fold = made; });
  history = makeHistory({ ...broker, pool, prefix: "infer", openOf: makeOpenOf({ fold: () => fold, streams: broker.streams, prefix: "infer", signal: shutdown.signal }), leaseEndOf: (deadlineAtMs) => deadlineAtMs + 1_000 });
});
afterAll(async () => {
  shutdown.abort();
  await sweeper;
  await pool.end();
  await dropDatabase();
  await test.remove();
});

const of = (tenant_id: string, request_id: string) => ({ tenant_id, request_id });
const renamed = <T extends object>(event: T, { tenant_id, request_id }: ReturnType<typeof of>): T => JSON.parse(JSON.stringify(event).replaceAll('"r-1"', `"${request_id}"`).replaceAll('"t1"', `"${tenant_id}"`)) as T;
const accept = (id: ReturnType<typeof of>) => broker.acks.publish(requestSubject("infer", id), new TextEncoder().encode(JSON.stringify({ ...renamed(requestFixture, id), deadline_ms: 240_000 })), newTraceparent());
/** As if it had just been accepted. Its cost is one attempt's. */
const ended = async (id: ReturnType<typeof of>, cost: number, over: Partial<Completion> = {}) => {
  const event = Completion.parse({ ...renamed(completionFixture, id), accepted_at_ms: NOW_MS, completed_at_ms: NOW_MS + 5, ...over, cost_nano_usd: cost });
  await broker.publisher.emit(event, newTraceparent());
  return (await history.endOf(id)) ?? NaN;
};
const running = async (id: ReturnType<typeof of>) => {
  const job = Job.parse(renamed(jobFixture, id));
  await broker.publisher.emit({ ...job, request: { ...job.request, accepted_at_ms: NOW_MS, deadline_at_ms: NOW_MS + 240_000 } }, newTraceparent());
};
const booked = (id: ReturnType<typeof of>, cost: number, seq: number, over: { user?: string; atMs?: number; stream?: string } = {}) => pool.query(
  `INSERT INTO ledger (tenant_id, request_id, kind, part, user_id, tier, model, cost_nano_usd, is_charged, cost_is_partial, is_to_answer_tier, is_to_answer_model, at, stream, stream_seq) VALUES ($1, $2, 'attempt', '1', $3, 'small', 's', $4, true, false, false, false, $5, $6, $7)`,
  [id.tenant_id, id.request_id, over.user ?? "u-1", cost, new Date(over.atMs ?? NOW_MS), over.stream ?? "COMPLETIONS", seq]);
/** The audit sink has read all up to here. */
const audited = async () => {
  const consumer = await broker.js.consumers.get("COMPLETIONS", sourcesOf("infer").auditCompletions.durable);
  for (let message = await consumer.next({ expires: 1_000 }); message !== null; message = await consumer.next({ expires: 1_000 })) await message.ackAck();
};
const account = (tenantId: string, scope: Account["scope"] = "tenant", kind = "month"): Account => {
  const found = accountsOf({ tenant_id: tenantId, user_id: "u-1", key_id: null }, "UTC", NOW_MS).find((one) => one.scope === scope && one.window.kind === kind);
  if (found === undefined) throw new Error("every scope and window is there");
  return found;
};

it("adds what the books say to what ended after them, once each, and holds what ended after the mark as what it cost", async () => {
  const first = await ended(of("sums", "in-books"), 100);
  await booked(of("sums", "in-books"), 100, first);
  await ended(of("other", "somebody"), 7);
  await audited();
  const second = await ended(of("sums", "not-yet"), 20);
  await booked(of("sums", "not-yet"), 20, second); // written, and not acked yet
  await ended(of("sums", "another-user"), 3, { user_id: "u-2" });
  const mark = await ended(of("sums", "at-the-mark"), 1);
  const late = await ended(of("sums", "after-the-mark"), 50);
  expect(await historyOf(account("sums"), mark)).toEqual({ spentNanoUsd: 124, open: [{ ...of("sums", "after-the-mark"), step: 3, amountNanoUsd: 50, leaseEndsAtMs: NOW_MS + 1_005, endedAtSeq: late }] });
  const together = await history.historiesOf([{ account: account("sums", "user"), markSeq: mark }, { account: account("sums", "user", "day"), markSeq: first }]);
  expect(together.map(({ spentNanoUsd, open }) => [spentNanoUsd, open.map(({ amountNanoUsd }) => amountNanoUsd)])).toEqual([[121, [50]], [100, [20, 1, 50]]]);
  expect([await history.outcomeAt(first), await history.outcomeAt(999)]).toEqual([of("sums", "in-books"), null]);
});

it("knows each window and scope apart, and of the books no line of a shadow or of waste", async () => {
  const month = account("windows").window;
  await booked(of("windows", "before"), 1, 1, { atMs: month.startsAtMs - 1 });
  await booked(of("windows", "begins"), 10, 1, { atMs: month.startsAtMs });
  await booked(of("windows", "ends"), 100, 1, { atMs: month.endsAtMs });
  await booked(of("windows", "shadow"), 1_000, 1, { stream: "SHADOWS" });
  await booked(of("windows", "other"), 10_000, 1, { user: "u-2" });
  await booked(of("windows", "older stream"), 100_000, 999_999_999, { atMs: Math.max(month.startsAtMs, NOW_MS - DAY_MS) });
  const spent = async (scope: Account["scope"]) => (await historyOf(account("windows", scope), 1_000_000)).spentNanoUsd;
  expect([await spent("tenant"), await spent("user")]).toEqual([110_010, 100_010]);
});

it("holds the most that the latest step of an open request can cost, with what it has spent; and nothing for one that has no job or has ended", async () => {
  for (const name of ["runs", "waits", "over"]) await accept(of("open", name));
  await accept(of("else", "runs"));
  for (const id of [of("open", "runs"), of("open", "over"), of("else", "runs")]) await running(id);
  const mark = await ended(of("open", "over"), 0);
  const { open, spentNanoUsd } = await historyOf(account("open"), mark);
  expect([spentNanoUsd, open.map(({ request_id }) => request_id)]).toEqual([0, ["runs"]]);
  const { context } = Job.parse(jobFixture).saga as { context: { finished: { cost_nano_usd: number }[]; decisions: { facts: { quotes: { tier: string; max_cost_nano_usd: number }[] } }[] } };
  const most = context.decisions.at(-1)?.facts.quotes.find(({ tier }) => tier === jobFixture.tier)?.max_cost_nano_usd ?? NaN;
  expect(open[0]).toEqual({ ...of("open", "runs"), step: jobFixture.attempt, amountNanoUsd: nanoUsd(most + context.finished.reduce((sum, one) => sum + one.cost_nano_usd, 0)), leaseEndsAtMs: NOW_MS + 241_000, endedAtSeq: null });
  expect(await historyOf(account("nobody"), mark)).toEqual({ spentNanoUsd: 0, open: [] });
});

it("of all tenants together adds up what each has spent, and holds what is open of any", async () => {
  const [month] = globalAccountsOf("UTC", NOW_MS).filter(({ window }) => window.kind === "month");
  if (month === undefined) throw new Error("both windows are there");
  const mark = await ended(of("late-comer", "one"), 500);
  const { rows: [row] } = await pool.query<{ sum: string }>("SELECT sum(cost_nano_usd)::text FROM ledger WHERE stream = 'COMPLETIONS' AND at >= $1 AND at < $2", [new Date(month.window.startsAtMs), new Date(month.window.endsAtMs)]);
  const inStreamAlone = 3 + 1 + 50 + 500; // what is acked is in the books, as far as the ledger knows
  const { spentNanoUsd, open } = await historyOf(month, mark);
  expect([spentNanoUsd, open.map(({ tenant_id }) => tenant_id).sort()]).toEqual([Number(row?.sum) + inStreamAlone, ["else", "open"]]);
});

it("is an outage where a place does not answer", async () => {
  await pool.query("ALTER TABLE ledger RENAME TO ledger_away");
  await expect(historyOf(account("sums"), 1)).rejects.toMatchObject({ code: "database_unavailable", isOutage: true });
  await pool.query("ALTER TABLE ledger_away RENAME TO ledger");
  const unread = makeOpenOf({ fold: () => null, streams: broker.streams, prefix: "infer", signal: AbortSignal.abort() });
  await expect(unread("open")).rejects.toMatchObject({ code: "broker_unavailable", isOutage: true });
  await vi.waitFor(async () => { expect(await unread("nobody")).toEqual([]); });
});

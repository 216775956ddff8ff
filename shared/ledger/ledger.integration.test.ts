/** The ledger against a real Redis, which loses all it has from time to time. What really happened is kept by the test. */
import fc from "fast-check";
import type { Redis } from "ioredis";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";

import { startTestServer } from "#infra/embedded/testServers.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import { DEFAULT_SETTINGS, TenantSettings } from "#shared/contracts/tenant.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";

import { type Account, accountsOf, type Balance, type BudgetedAccount, budgetedAccountsOf, budgetedGlobalAccountsOf } from "./accounts.ts";
import { type Ledger, makeLedger, type Outcome } from "./ledger.ts";

let server: Awaited<ReturnType<typeof startTestServer>>;
const connections: Redis[] = [];
let n = 0;
beforeAll(async () => { server = await startTestServer("redis"); });
afterAll(async () => {
  for (const redis of connections) redis.disconnect();
  await server.remove();
});
beforeEach(() => { n += 1; });
async function connect(): Promise<Redis> {
  const redis = connectRedis(server.url, "ledger", pino({ level: "silent" }), { meanwhile: "test", mostWaitMs: 500 });
  connections.push(redis);
  await vi.waitFor(() => { expect(redis.status).toBe("ready"); }, { timeout: 10_000, interval: 10 });
  return redis;
}

/** Of now: Redis ends keys by its own clock, some time after the leases in them. */
const AT_MS = Date.now();
const HOUR_MS = 3_600_000;
const BUDGETS = TenantSettings.parse({ budgets: { tenant: { month: { usd: 1_000e-9 }, day: { usd: 700e-9 } }, user: { day: { usd: 400e-9 } } } }).budgets;

/** COMPLETIONS and JOBS, as far as the ledger sees them. */
function makeStreams() {
  const ended: Outcome[] = [];
  const jobs = new Map<string, { tenant_id: string; request_id: string; step: number; amountNanoUsd: NanoUsd; leaseEndsAtMs: number; userId: string }>();
  const nameOf = (account: Account) => `${account.scope} ${account.owner} ${account.window.id}`;
  const isIn = (account: Account, accounts: readonly Account[]) => accounts.some((one) => nameOf(one) === nameOf(account));
  const all = (userId: string, timeZone = "UTC") => accountsOf({ tenant_id: "t", user_id: userId, key_id: null }, timeZone, AT_MS);
  const seqOf = (id: string) => ended.findIndex(({ request_id }) => request_id === id) + 1 || null;
  return {
    ended, jobs, nameOf, all,
    spent: (account: Account, upTo = ended.length) => ended.slice(0, upTo).filter(({ spentBy }) => isIn(account, all(spentBy?.user_id ?? "", account.timeZone))).reduce((sum, { costNanoUsd }) => sum + costNanoUsd, 0),
    open: (account: Account, markSeq = ended.length) => [...jobs.values()].filter(({ request_id, userId }) => (seqOf(request_id) ?? Infinity) > markSeq && isIn(account, all(userId, account.timeZone))),
    seqOf,
  };
}
/** As a router asks: again when what was spent before is known. */
type Asking = Omit<Ledger, "reserve"> & { reserve: (...asked: Parameters<Ledger["reserve"]>) => Promise<{ isReserved: boolean; balances: readonly Balance[] }> };
const failures: unknown[] = [];
async function ledgerOn(streams: ReturnType<typeof makeStreams>, beforeHistory: () => Promise<void> = async () => undefined): Promise<Asking> {
  const ledger = makeLedger({
    redis: await connect(), prefix: `l${n}`, observeUnloaded: (error) => { failures.push(error); }, quietS: 0, // a step and its job are one here
    stream: async () => ({ created: "2026-11-01T00:00:00Z", lastSeq: streams.ended.length }),
    outcomeAt: async (seq) => streams.ended[seq - 1] ?? null,
    async historiesOf(claimed) {
      const histories = claimed.map(({ account, markSeq }) => ({ spentNanoUsd: nanoUsd(streams.spent(account, markSeq)), open: streams.open(account, markSeq).map((one) => ({ ...one, endedAtSeq: streams.seqOf(one.request_id) })) }));
      await beforeHistory();
      return histories;
    },
    endOf: async ({ request_id }) => streams.seqOf(request_id),
  });
  return {
    ...ledger,
    async reserve(...args) {
      for (;;) {
        const reserved = await ledger.reserve(...args);
        if (reserved.kind !== "loading") return { isReserved: reserved.kind === "reserved", balances: reserved.balances };
        if (!(await reserved.loaded)) {
          if (failures.length > 0) throw failures.shift();
          await new Promise((resolve) => setTimeout(resolve, 20)); // another process is at it, or it failed just now
        }
      }
    },
  };
}
const budgeted = (userId = "u"): BudgetedAccount[] => budgetedAccountsOf(BUDGETS, { tenant_id: "t", user_id: userId, key_id: null }, AT_MS);
const asked = (request_id: string, amount: number, step = 1) => ({ tenant_id: "t", request_id, step, amountNanoUsd: nanoUsd(amount), leaseEndsAtMs: AT_MS + HOUR_MS });
const outcome = (request_id: string, cost: number, userId = "u"): Outcome => ({ tenant_id: "t", request_id, costNanoUsd: nanoUsd(cost), spentBy: { user_id: userId, key_id: null, acceptedAtMs: AT_MS } });
const balance = (spentNanoUsd: number, reservedNanoUsd: number) => ({ spentNanoUsd, reservedNanoUsd });

describe("a reservation", () => {
  it("is in all accounts or in none, and says what each of them has left", async () => {
    const ledger = await ledgerOn(makeStreams());
    expect(await ledger.reserve(asked("r1", 300), budgeted("u1"))).toEqual({ isReserved: true, balances: [balance(0, 0), balance(0, 0), balance(0, 0)] });
    expect(await ledger.reserve(asked("r2", 300), budgeted("u2"))).toMatchObject({ isReserved: true });
    expect(await ledger.reserve(asked("r3", 101), budgeted("u3"))).toMatchObject({ isReserved: false, balances: [balance(0, 600), balance(0, 600), balance(0, 0)] });
    expect(await ledger.reserve(asked("r4", 100), budgeted("u3"))).toMatchObject({ isReserved: true });
  });

  it("made again is the same, is raised with the next step, and never falls back to an earlier one", async () => {
    const ledger = await ledgerOn(makeStreams());
    const others = async () => (await ledger.reserve(asked("probe", 0), budgeted())).balances[0]?.reservedNanoUsd;
    for (const [amount, step, held] of [[100, 1, 100], [100, 1, 100], [350, 2, 350], [100, 1, 350], [200, 3, 200]] as const) {
      await ledger.reserve(asked("r", amount, step), budgeted());
      expect(await others()).toBe(held);
    }
    expect(await ledger.reserve(asked("r", 401, 4), budgeted())).toMatchObject({ isReserved: false });
    expect(await others()).toBe(200);
  });

  it("of a soft budget is made whatever is left, and says how far it is overdrawn", async () => {
    const ledger = await ledgerOn(makeStreams());
    const soft = budgetedAccountsOf(TenantSettings.parse({ budgets: { tenant: { day: { usd: 100e-9, kind: "soft" } } } }).budgets, { tenant_id: "t", user_id: "u", key_id: null }, AT_MS);
    await ledger.reserve(asked("r1", 90), soft);
    expect(await ledger.reserve(asked("r2", 90), soft)).toEqual({ isReserved: true, balances: [balance(0, 90)] });
  });

  it("becomes what was spent, once, whoever books it and in whatever order they come", async () => {
    const streams = makeStreams();
    const [a, b] = [await ledgerOn(streams), await ledgerOn(streams)];
    await a.reserve(asked("r1", 300), budgeted());
    const done = [outcome("r1", 120)];
    expect(await Promise.all([a.settle(done, { after: 0, upTo: 1 }), b.settle(done, { after: 0, upTo: 1 }), a.settle(done, { after: 0, upTo: 1 })])).toEqual([1, 1, 1]);
    expect(await b.settle([outcome("r9", 5)], { after: 5, upTo: 6 })).toBe(1); // it has not seen what lies between
    expect((await b.reserve(asked("r2", 0), budgeted())).balances).toEqual([balance(120, 0), balance(120, 0), balance(120, 0)]);
  });

  it("that was made after its request's outcome was booked is freed at once, and one made before by the booking", async () => {
    const streams = makeStreams();
    const ledger = await ledgerOn(streams);
    await ledger.reserve(asked("r1", 300), budgeted());
    await ledger.freeIfBooked(asked("r1", 300), 1);
    expect((await ledger.reserve(asked("r2", 0), budgeted())).balances[0]).toEqual(balance(0, 300)); // its booking is to come
    await ledger.settle([outcome("r1", 120)], { after: 0, upTo: 1 });
    await ledger.reserve(asked("r1", 200), budgeted()); // of a router that was blocked meanwhile
    expect((await ledger.reserve(asked("r2", 0), budgeted())).balances[0]).toEqual(balance(120, 200));
    await ledger.freeIfBooked(asked("r1", 200), 1);
    await ledger.freeIfBooked(asked("r1", 200), 1);
    expect((await ledger.reserve(asked("r2", 0), budgeted())).balances[0]).toEqual(balance(120, 0));
  });

  it("that nobody settled is freed after its lease", async () => {
    const ledger = await ledgerOn(makeStreams());
    await ledger.reserve(asked("r1", 300), budgeted());
    expect([await ledger.expire(AT_MS + HOUR_MS - 1), await ledger.expire(AT_MS + HOUR_MS), await ledger.expire(AT_MS + HOUR_MS)]).toEqual([0, 1, 0]);
    expect((await ledger.reserve(asked("r2", 0), budgeted())).balances[0]).toEqual(balance(0, 0));
  });

  it("becomes what was spent in every time zone that its tenant's budgets are known by, whichever they have now", async () => {
    const streams = makeStreams();
    const [a, b] = [await ledgerOn(streams), await ledgerOn(streams)];
    const inZone = (time_zone: string) => budgetedAccountsOf({ ...BUDGETS, time_zone }, { tenant_id: "t", user_id: "u", key_id: null }, AT_MS);
    const end = async (id: string, ledger: Asking) => {
      streams.ended.push(outcome(id, 50));
      await ledger.settle([outcome(id, 50)], { after: streams.ended.length - 1, upTo: streams.ended.length });
    };
    await a.reserve(asked("r1", 50), inZone("UTC"));
    await end("r1", a);
    await b.reserve(asked("r2", 50), inZone("Asia/Tokyo")); // loads accounts of its own
    await end("r2", a); // whose settlement has not seen Tokyo before
    await end("r3", b);
    for (const zone of ["UTC", "Asia/Tokyo"]) expect((await a.reserve(asked("probe", 0), inZone(zone))).balances).toEqual(inZone(zone).map(() => balance(150, 0)));
  });

  it("becomes what was spent in the account of all tenants together, too", async () => {
    const ledger = await ledgerOn(makeStreams());
    const all = budgetedGlobalAccountsOf({ timeZone: "UTC", budgets: { day: { usd: 500e-9, kind: "hard" } } }, AT_MS);
    expect(await ledger.reserve(asked("r1", 300), all)).toMatchObject({ isReserved: true });
    expect(await ledger.reserve({ ...asked("r2", 201), tenant_id: "other" }, all)).toMatchObject({ isReserved: false, balances: [balance(0, 300)] });
    await ledger.settle([outcome("r1", 120), { ...outcome("r2", 30), tenant_id: "other" }], { after: 0, upTo: 2 });
    expect((await ledger.reserve(asked("probe", 0), all)).balances).toEqual([balance(150, 0)]);
  });

  it("is not believed where the stream has lost outcomes that were booked: all is looked up again", async () => {
    const streams = makeStreams();
    const ledger = await ledgerOn(streams);
    await ledger.reserve(asked("r1", 300), budgeted());
    for (const id of ["r1", "r2"]) streams.ended.push(outcome(id, 100));
    await ledger.settle(streams.ended, { after: 0, upTo: 2 });
    expect((await ledger.reserve(asked("probe", 0), budgeted())).balances[0]).toEqual(balance(200, 0));
    streams.ended.pop();
    expect(await ledger.begin()).toBe(1);
    expect((await ledger.reserve(asked("probe", 0), budgeted())).balances[0]).toEqual(balance(100, 0));
  });

  it("is for nobody without a budget", () => {
    expect(budgetedAccountsOf(DEFAULT_SETTINGS.budgets, { tenant_id: "t", user_id: "u", key_id: "k" }, AT_MS)).toEqual([]);
  });
});

describe("an account that Redis does not know", () => {
  it("is loaded with what was spent and what is open, once for all who ask", async () => {
    const streams = makeStreams();
    streams.ended.push(outcome("old", 250));
    streams.jobs.set("open", { ...asked("open", 100), userId: "u" });
    const ledger = await ledgerOn(streams);
    const all = await Promise.all(["r1", "r2", "r3"].map((id) => ledger.reserve(asked(id, 20), budgeted())));
    expect(all.map(({ isReserved }) => isReserved).sort()).toEqual([false, true, true]);
    expect(all.map(({ balances }) => balances[2]?.spentNanoUsd)).toEqual([250, 250, 250]);
  });

  it("holds nothing back for a request that ended while it was loaded", async () => {
    const streams = makeStreams();
    streams.jobs.set("open", { ...asked("open", 300), userId: "u" });
    const other = await ledgerOn(streams);
    await other.begin();
    const ledger = await ledgerOn(streams, async () => {
      if (streams.ended.length > 0) return;
      streams.ended.push(outcome("open", 70));
      await other.settle([outcome("open", 70)], { after: 0, upTo: 1 });
    });
    const { balances } = await ledger.reserve(asked("r1", 0), budgeted());
    expect(balances.map(({ reservedNanoUsd }) => reservedNanoUsd)).toEqual([0, 0, 0]);
    expect(new Set(balances.map(({ spentNanoUsd }) => spentNanoUsd))).toEqual(new Set([70]));
  });

  it("throws an outage where its history cannot be read, and is loaded at the next try", async () => {
    const streams = makeStreams();
    let isAway = true;
    const ledger = await ledgerOn(streams, async () => { if (isAway) throw new Error("Postgres is away"); });
    await expect(ledger.reserve(asked("r1", 1), budgeted())).rejects.toMatchObject({ code: "budget_unknown", isOutage: true });
    isAway = false;
    expect(await ledger.reserve(asked("r1", 1), budgeted())).toMatchObject({ isReserved: true });
  });
});

describe("any interleaving", () => {
  const USERS = ["u1", "u2", "u3"];
  const Step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("reserve" as const), who: fc.nat(2), amount: fc.integer({ min: 1, max: 200 }) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("next" as const), at: fc.nat(50), amount: fc.integer({ min: 1, max: 150 }) }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant("end" as const), at: fc.nat(50), part: fc.double({ min: 0, max: 1, noNaN: true }) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("settle" as const), most: fc.integer({ min: 1, max: 5 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("lose" as const) }) },
  );

  it("of steps, outcomes and losses keeps spent + reserved within each limit, and books what was spent to the nano-dollar", async () => {
    await fc.assert(fc.asyncProperty(fc.array(Step, { minLength: 20, maxLength: 80 }), async (steps) => {
      n += 1;
      const streams = makeStreams();
      const both = [await ledgerOn(streams), await ledgerOn(streams)] as const;
      const admin = connections.at(-1) as Redis;
      const truth = (account: BudgetedAccount) => streams.spent(account) + streams.open(account).reduce((sum, { amountNanoUsd }) => sum + amountNanoUsd, 0);
      const settleAll = async (ledger: Asking, most = Infinity) => {
        for (let mark = await ledger.begin(); mark < streams.ended.length && most > 0; most--) mark = (await ledger.settle(streams.ended.slice(mark, mark + 1), { after: mark, upTo: mark + 1 })) ?? (await ledger.begin());
      };
      for (const [i, step] of steps.entries()) {
        const ledger = both[i % 2 as 0 | 1];
        const open = [...streams.jobs.values()].filter(({ request_id }) => streams.seqOf(request_id) === null);
        const one = "at" in step ? open[step.at % Math.max(1, open.length)] : undefined;
        if (step.do === "reserve") {
          const userId = USERS[step.who] ?? "u1", request = asked(`r${i}`, step.amount);
          if ((await ledger.reserve(request, budgeted(userId))).isReserved) streams.jobs.set(request.request_id, { ...request, userId });
        } else if (step.do === "next" && one !== undefined) {
          const request = asked(one.request_id, one.amountNanoUsd + step.amount, one.step + 1);
          if ((await ledger.reserve(request, budgeted(one.userId))).isReserved) streams.jobs.set(request.request_id, { ...request, userId: one.userId });
        } else if (step.do === "end" && one !== undefined) {
          streams.ended.push(outcome(one.request_id, Math.floor(step.part * one.amountNanoUsd), one.userId));
        } else if (step.do === "settle") await settleAll(ledger, step.most);
        else if (step.do === "lose") await admin.flushall();
        for (const userId of USERS) for (const account of budgeted(userId)) expect(truth(account)).toBeLessThanOrEqual(account.limitNanoUsd);
      }
      await settleAll(both[0]);
      for (const userId of USERS) {
        const { balances } = await both[1].reserve(asked("probe", 0), budgeted(userId));
        expect(balances).toEqual(budgeted(userId).map((account) => balance(streams.spent(account), streams.open(account).reduce((sum, { amountNanoUsd }) => sum + amountNanoUsd, 0))));
      }
      for (const redis of connections.splice(0)) redis.disconnect();
    }), { numRuns: 25 });
  });
});

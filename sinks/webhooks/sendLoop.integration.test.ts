/** Senders on a real Postgres, to a real receiver. Waits are short; what they are is in `afterTry.test.ts`. */
import type { LookupFunction } from "node:net";

import { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startWebhookReceiver, type WebhookReceiver } from "#infra/testWebhookReceiver.ts";
import type { WebhookDelivery } from "#shared/contracts/webhook.ts";
import { inTransaction, inTransactionOf } from "#shared/db/transaction.ts";
import { readAdminAudit } from "#shared/tenancy/adminAudit.ts";
import { subkey } from "#shared/tenancy/keyText.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";
import { insertDeliveries, listDeliveries, retryDelivery } from "#shared/webhooks/deliveries.ts";
import { createEndpoint, listEndpoints, removeEndpoint, rotateEndpoint, setEndpointStatus } from "#shared/webhooks/endpoints.ts";
import { newSecret, seal } from "#shared/webhooks/secrets.ts";
import { type Allowance, allowanceOf } from "#shared/reach/target.ts";

import { claimDue, noteTry } from "./claims.ts";
import { makeGuardedAgent } from "#shared/reach/guardedAgent.ts";
import { makeWebhookMetrics } from "./metrics.ts";
import { runSendLoop, type SendTimes } from "./sendLoop.ts";
import { sendTry } from "./sendTry.ts";

const KEY = subkey("s".repeat(32), "webhooks");
const ACTOR = { kind: "inferctl" } as const;
const TIMES: SendTimes = { most: 8, mostPerEndpoint: 2, mostPerTenant: 4, leaseMs: 30_000, pollMs: 20 };
const WANTED = { limit: 8, mostPerEndpoint: 2, mostPerTenant: 4, underWay: [], leaseMs: 30_000 };
const loopback: LookupFunction = (_name, _options, callback) => { callback(null, [{ address: "127.0.0.1", family: 4 }]); };
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let receiver: WebhookReceiver;
const stops: (() => Promise<void>)[] = [];
let n = 0;
beforeAll(async () => {
  [database, receiver] = await Promise.all([makeTestDatabase(inject("adminDatabaseUrl"), "webhooks"), startWebhookReceiver()]);
  pool = new Pool({ connectionString: database.url, max: 10 });
});
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
  await pool.query("UPDATE webhook_deliveries SET status = 'dead'");
});
afterAll(async () => {
  await pool.end();
  await Promise.all([database.drop(), receiver.close()]);
});

/** `patience`: how much shorter all waits are. */
function startSender({ allowance = allowanceOf("", { isKeyless: true }), lookup = loopback, times = {}, timeoutMs = 5_000, drainMs = 2_000 }: { allowance?: Allowance; lookup?: LookupFunction; times?: Partial<SendTimes>; timeoutMs?: number; drainMs?: number } = {}) {
  const registry = new Registry();
  const agent = makeGuardedAgent({ allowance, lookup }, 4_000);
  const stop = new AbortController();
  const loop = runSendLoop({
    pool, key: KEY, metrics: makeWebhookMetrics(registry), log: pino({ level: "silent" }), signal: stop.signal, drainMs, now: Date.now, random: Math.random, times: { ...TIMES, ...times },
    send: (one, signal) => sendTry(one, { agent, timeoutMs, now: Date.now, signal }),
  });
  const end = async () => {
    stop.abort();
    await loop;
    await agent.destroy();
  };
  stops.push(end);
  return { end, registry };
}

/** A tenant of its own, with an endpoint at a path of its own. */
async function tenantAt(url?: string) {
  const tenant = `t${++n}`, path = `/${tenant}`;
  const rights = { pool, tenantId: null };
  await createTenant(rights, ACTOR, { tenant_id: tenant, settings: undefined });
  const endpoint = await createEndpoint(rights, ACTOR, KEY, tenant, url ?? receiver.url(path));
  return {
    tenant, path, rights, endpoint,
    tell: (...occurrences: string[]) => inTransaction(pool, (client) => insertDeliveries(client, occurrences.map((occurrence) => ({ tenant_id: tenant, type: "request.completed" as const, occurrence, payload: JSON.stringify({ occurrence }) })))),
    /** Once all of its deliveries are as wanted. */
    until: (wanted: (one: WebhookDelivery) => boolean) => waitUntil(async () => {
      const deliveries = await listDeliveries(rights, tenant, { limit: 1_000 });
      return deliveries.length > 0 && deliveries.every(wanted) ? deliveries : undefined;
    }, { deadlineMs: 15_000, describe: () => `deliveries of ${tenant} are not as wanted` }),
    /** Lets what waits for its next try have it now. */
    hurry: () => pool.query("UPDATE webhook_deliveries SET next_at = now() WHERE tenant_id = $1 AND status = 'pending' AND last_error IS NOT NULL", [tenant]),
  };
}
const isDelivered = ({ status }: WebhookDelivery) => status === "delivered";
const isDead = ({ status }: WebhookDelivery) => status === "dead";
const hasTried = (tries: number) => (one: WebhookDelivery) => one.status === "pending" && one.tries === tries && one.last_error !== null;
const occurrencesAt = (path: string) => receiver.received(path).map(({ body }) => (JSON.parse(body) as { occurrence: string }).occurrence);

describe("a webhook", () => {
  it("is delivered once, signed so that the standard's library verifies it", async () => {
    const { tell, until, path, endpoint } = await tenantAt();
    startSender();
    await tell("a");
    const [delivery] = await until(isDelivered);
    const [got] = receiver.received(path);
    expect(new Webhook(endpoint.secret).verify(got?.body ?? "", got?.headers as Record<string, string>)).toEqual({ occurrence: "a" });
    expect(got?.headers).toMatchObject({ "webhook-id": delivery?.webhook_id, "content-type": "application/json", "user-agent": expect.stringMatching(/^cost-aware-inference-optimizer\//) as string });
    expect(delivery).toMatchObject({ tries: 1, last_status: 204, last_error: null, next_at: null });
    expect(receiver.received(path)).toHaveLength(1);
  });

  it("is sent again until it is taken, under the same id, each time with a signature of its own", async () => {
    const { tell, until, hurry, path, endpoint } = await tenantAt();
    receiver.answer(path, (res, nth) => nth < 3 ? res.writeHead(nth === 1 ? 500 : 404).end("secret words") : res.writeHead(200).end("thanks"));
    startSender();
    await tell("a");
    const [first] = await until(hasTried(1));
    expect(first).toMatchObject({ last_status: 500, last_error: "HTTP status 500", delivered_at: null });
    const waitMs = Date.parse(first?.next_at ?? "") - Date.now();
    expect([waitMs > 0, waitMs <= 5_000]).toEqual([true, true]);
    await hurry();
    await until((one) => hasTried(2)(one) && one.last_status === 404); // a try that is under way has its number already
    await hurry();
    expect(await until(isDelivered)).toMatchObject([{ tries: 3, last_status: 200 }]);
    const got = receiver.received(path);
    expect(new Set(got.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    for (const { body, headers } of got) expect(new Webhook(endpoint.secret).verify(body, headers as Record<string, string>)).toEqual({ occurrence: "a" });
  });

  it("waits as long as retry-after says", async () => {
    const { tell, until, path } = await tenantAt();
    receiver.answer(path, (res) => res.writeHead(429, { "retry-after": "600" }).end());
    startSender();
    await tell("a");
    const [one] = await until(hasTried(1));
    const waitS = (Date.parse(one?.next_at ?? "") - Date.now()) / 1_000;
    expect([waitS > 590, waitS < 661]).toEqual([true, true]);
  });

  it("does not follow a redirect, and does not wait for the end of an answer", async () => {
    const there = await tenantAt(), from = await tenantAt(), endless = await tenantAt();
    receiver.answer(from.path, (res) => res.writeHead(307, { location: receiver.url(there.path) }).end());
    receiver.answer(endless.path, (res) => { res.writeHead(200); res.write("x".repeat(1_000_000)); });
    startSender();
    await Promise.all([from.tell("a"), endless.tell("a")]);
    expect(await from.until(hasTried(1))).toMatchObject([{ last_status: 307 }]);
    expect(await endless.until(isDelivered)).toMatchObject([{ tries: 1 }]);
    expect(receiver.received(there.path)).toEqual([]);
  });

  it("that nobody answers in time has failed", async () => {
    const { tell, until, path } = await tenantAt();
    receiver.answer(path, () => undefined);
    startSender({ timeoutMs: 200 });
    await tell("a");
    expect(await until(hasTried(1))).toMatchObject([{ last_status: null, last_error: "no answer in time" }]);
  });

  it("is dead after its last try, and goes out again from the first when somebody says so", async () => {
    const { tell, until, path, tenant, rights } = await tenantAt();
    receiver.answer(path, (res, nth) => res.writeHead(nth === 1 ? 500 : 200).end());
    await tell("a");
    await pool.query("UPDATE webhook_deliveries SET tries = 14 WHERE tenant_id = $1", [tenant]);
    const { registry } = startSender();
    const [dead] = await until(isDead);
    expect([dead?.tries, await listDeliveries(rights, tenant, { status: "dead", limit: 10 })]).toEqual([15, [dead]]);
    expect(await registry.metrics()).toContain('infer_webhook_dead_total{reason="exhausted"} 1');
    expect(await retryDelivery(rights, ACTOR, tenant, dead?.webhook_id ?? "")).toMatchObject({ status: "pending", tries: 0 });
    expect(await until(isDelivered)).toMatchObject([{ webhook_id: dead?.webhook_id, tries: 1 }]);
    await expect(retryDelivery(rights, ACTOR, tenant, dead?.webhook_id ?? "")).rejects.toMatchObject({ code: "conflict" });
    await expect(retryDelivery(rights, ACTOR, tenant, `msg_${"0".repeat(32)}`)).rejects.toMatchObject({ code: "not_found" });
  });

  it("of an event that is read twice goes out once, and to each endpoint of its tenant alone", async () => {
    const one = await tenantAt(), other = await tenantAt();
    await createEndpoint(one.rights, ACTOR, KEY, one.tenant, receiver.url(`${one.path}/second`));
    startSender();
    await Promise.all([one.tell("a", "b", "a"), one.tell("b")]);
    await one.tell("a");
    await one.until(isDelivered);
    expect([occurrencesAt(one.path).sort(), occurrencesAt(`${one.path}/second`).sort(), receiver.received(other.path)]).toEqual([["a", "b"], ["a", "b"], []]);
    const ids = (await listDeliveries(one.rights, one.tenant, { limit: 10 })).map(({ webhook_id }) => webhook_id);
    expect(new Set(ids).size).toBe(4);
  });
});

describe("an endpoint", () => {
  it("that answers 410 is disabled, its webhook dead, and nothing more is sent until it is enabled", async () => {
    const { tell, until, path, tenant, rights, endpoint } = await tenantAt();
    receiver.answer(path, (res, nth) => res.writeHead(nth === 1 ? 410 : 200).end());
    startSender();
    await tell("a");
    const [dead] = await until(isDead);
    expect(await listEndpoints(rights, tenant)).toMatchObject([{ status: "disabled" }]);
    expect((await readAdminAudit(rights, { tenantId: tenant, limit: 1 }))[0]).toMatchObject({ actor: "webhook-sender", action: "webhook.disable", object: endpoint.endpoint_id });
    await tell("b");
    expect(await listDeliveries(rights, tenant, { limit: 10 })).toHaveLength(1);
    await expect(retryDelivery(rights, ACTOR, tenant, dead?.webhook_id ?? "")).rejects.toMatchObject({ code: "conflict" });
    await setEndpointStatus(rights, ACTOR, tenant, endpoint.endpoint_id, "active");
    await retryDelivery(rights, ACTOR, tenant, dead?.webhook_id ?? "");
    await until(isDelivered);
  });

  it("that was removed gets nothing of what was still to be sent", async () => {
    const { tell, until, path, tenant, rights, endpoint } = await tenantAt();
    await tell("a");
    await removeEndpoint(rights, ACTOR, tenant, endpoint.endpoint_id);
    startSender();
    expect(await until(isDead)).toMatchObject([{ last_error: "its endpoint is removed" }]);
    expect([receiver.received(path), await listEndpoints(rights, tenant)]).toEqual([[], []]);
    await expect(removeEndpoint(rights, ACTOR, tenant, endpoint.endpoint_id)).rejects.toMatchObject({ code: "not_found" });
  });

  it("whose secret rotates is told with both signatures, and after that with the new one", async () => {
    const { tell, until, path, tenant, rights, endpoint } = await tenantAt();
    const { secret } = await rotateEndpoint(rights, ACTOR, KEY, tenant, endpoint.endpoint_id);
    startSender();
    await tell("a");
    await until(isDelivered);
    await pool.query("UPDATE webhook_endpoints SET former_until = now() WHERE tenant_id = $1", [tenant]);
    await tell("b");
    await until(isDelivered);
    const [during, after] = receiver.received(path).map(({ body, headers }) => [endpoint.secret, secret].map((one) => {
      try {
        return new Webhook(one).verify(body, headers as Record<string, string>) !== undefined;
      } catch {
        return false;
      }
    }));
    expect([during, after]).toEqual([[true, true], [false, true]]);
  });

  it("that is slow holds up no other, and has no more at once than its share", async () => {
    const slow = await tenantAt(), quick = await tenantAt();
    let open = 0, mostOpen = 0;
    const held: (() => void)[] = [];
    receiver.answer(slow.path, (res) => {
      mostOpen = Math.max(mostOpen, ++open);
      held.push(() => { open--; res.writeHead(204).end(); });
    });
    const letGo = setInterval(() => { if (receiver.received(quick.path).length === 30) held.splice(0).forEach((answer) => { answer(); }); }, 10);
    await slow.tell(...Array.from({ length: 20 }, (_, i) => `s${i}`));
    await quick.tell(...Array.from({ length: 30 }, (_, i) => `q${i}`));
    startSender();
    await quick.until(isDelivered);
    await slow.until(isDelivered);
    clearInterval(letGo);
    expect([mostOpen, occurrencesAt(quick.path).length, occurrencesAt(slow.path).length]).toEqual([TIMES.mostPerEndpoint, 30, 20]);
  });
});

describe("a claim", () => {
  const claimedAt = (claimed: readonly { endpoint_id: string }[], endpointId: string) => claimed.filter(({ endpoint_id }) => endpoint_id === endpointId).length;
  it("has of a tenant with many slow endpoints no more than its share, what is under way included, and all that is due of others", async () => {
    const slow = await tenantAt(), quick = await tenantAt();
    for (let i = 0; i < 5; i++) await createEndpoint(slow.rights, ACTOR, KEY, slow.tenant, receiver.url(`${slow.path}/${i}`));
    await slow.tell("a", "b", "c"); // 18 deliveries, all due before the others
    await quick.tell("a", "b");
    const first = await claimDue(pool, WANTED);
    expect([first.filter(({ tenant_id }) => tenant_id === slow.tenant).length, claimedAt(first, quick.endpoint.endpoint_id)]).toEqual([4, 2]);
    const open = first.filter(({ tenant_id }) => tenant_id === slow.tenant);
    expect(await claimDue(pool, { ...WANTED, underWay: open })).toEqual([]);
    const more = await claimDue(pool, { ...WANTED, underWay: open.slice(1) });
    expect([more.length, more[0]?.tenant_id]).toEqual([1, slow.tenant]);
  });

  it("reads no endpoint that nothing waits for, however many there are", async () => {
    const { tell, tenant } = await tenantAt();
    await pool.query("INSERT INTO webhook_endpoints (endpoint_id, tenant_id, url, status, secret_sealed) SELECT 'idle-' || n, $1, 'https://hooks.example/', 'removed', '' FROM generate_series(1, 5000) AS n", [tenant]);
    await pool.query("ANALYZE webhook_endpoints");
    await tell("a");
    await inTransaction(pool, async (client) => {
      const reads = async () => (await client.query<{ n: number }>("SELECT (seq_tup_read + idx_tup_fetch)::int AS n FROM pg_stat_xact_user_tables WHERE relname = 'webhook_endpoints'")).rows[0]?.n ?? 0;
      const before = await reads();
      const [claimed] = await claimDue(client as unknown as Pool, WANTED);
      expect([claimed?.tenant_id, await reads() - before]).toEqual([tenant, 1]);
    });
  });
});

describe("several senders", () => {
  it("send each webhook once", async () => {
    const { tell, until, path } = await tenantAt();
    const all = Array.from({ length: 300 }, (_, i) => `o${i}`);
    await tell(...all);
    for (let i = 0; i < 4; i++) startSender();
    await until(isDelivered);
    expect(occurrencesAt(path).sort()).toEqual(all.sort());
  });

  it("take over from one that died between sending and noting: the same id comes again", async () => {
    const { tell, until, path } = await tenantAt();
    await tell("a");
    const wanted = { ...WANTED, leaseMs: 300 };
    const [claimed] = await claimDue(pool, wanted);
    expect([claimed?.tries, await claimDue(pool, wanted)]).toEqual([1, []]);
    startSender();
    expect(await until(isDelivered)).toMatchObject([{ webhook_id: claimed?.webhook_id, tries: 2 }]);
    expect(receiver.received(path)).toHaveLength(1);
  });

  it("cannot note over another one's try", async () => {
    const { tell, tenant, rights } = await tenantAt();
    await tell("a");
    const [late] = await claimDue(pool, { ...WANTED, leaseMs: 0 });
    const [present] = await claimDue(pool, { ...WANTED, leaseMs: 60_000 });
    if (late === undefined || present === undefined) throw new Error("not claimed");
    await noteTry(pool, late, { status: 410, error: null }, { kind: "gone" });
    expect([late.tries, present.tries, (await listDeliveries(rights, tenant, { limit: 1 }))[0]?.status, (await listEndpoints(rights, tenant))[0]?.status]).toEqual([1, 2, "pending", "active"]);
    await noteTry(pool, present, { status: 200, error: null }, { kind: "delivered" });
    expect(await listDeliveries(rights, tenant, { limit: 1 })).toMatchObject([{ status: "delivered" }]);
  });

  it("that are told to end let what is under way finish, and leave the rest", async () => {
    const quick = await tenantAt(), hanging = await tenantAt();
    let finish = (): void => undefined;
    receiver.answer(quick.path, (res) => { finish = () => { res.writeHead(200).end(); }; });
    receiver.answer(hanging.path, () => undefined);
    const { end } = startSender({ drainMs: 500 });
    await Promise.all([quick.tell("a"), hanging.tell("a")]);
    await Promise.all([receiver.until(quick.path, 1), receiver.until(hanging.path, 1)]);
    const ended = end();
    finish();
    await ended;
    await quick.until(isDelivered);
    expect(await listDeliveries(hanging.rights, hanging.tenant, { limit: 1 })).toMatchObject([{ status: "pending", tries: 1, last_error: null }]);
  });
});

describe("what an endpoint resolves to", () => {
  const nothing = allowanceOf("", { isKeyless: false });
  it.each<[string, string, string, Allowance, LookupFunction]>([
    ["an address of this machine", "https://127.0.0.1:1/", "the URL is not a public address", nothing, loopback],
    ["a number that is one", "https://2130706433/", "the URL is not a public address", nothing, loopback],
    ["a mapped one", "https://[::ffff:127.0.0.1]/", "the URL is not a public address", nothing, loopback],
    ["a name that has come to mean this machine", "https://hooks.example/", "the URL's host is not a public address", nothing, loopback],
    ["a name with one bad address among good ones", "https://hooks.example/", "the URL's host is not a public address", nothing, (_name, _options, callback) => { callback(null, [{ address: "93.184.216.34", family: 4 }, { address: "169.254.169.254", family: 4 }]); }],
    ["http to a public address", "http://hooks.example/", "the URL's host must be https", nothing, (_name, _options, callback) => { callback(null, [{ address: "93.184.216.34", family: 4 }]); }],
    ["a name that is not there", "https://hooks.example/", "no connection (ENOTFOUND)", nothing, (_name, _options, callback) => { callback(Object.assign(new Error("x"), { code: "ENOTFOUND" }), []); }],
    ["another network than the allowed one", "http://127.0.0.1:1/", "the URL is not a public address", allowanceOf("10.0.0.0/8", { isKeyless: false }), loopback],
  ])("is refused when it is %s", async (_name, url, error, allowance, lookup) => {
    const { tell, until } = await tenantAt(url); // made without being judged, as if it had been harmless then
    startSender({ allowance, lookup });
    await tell("a");
    expect(await until(hasTried(1))).toMatchObject([{ last_status: null, last_error: error }]);
  });

  it("is looked up for each connection: a name that was good a moment ago is refused", async () => {
    const path = "/rebinding";
    const { tell, until } = await tenantAt(receiver.url(path).replace("127.0.0.1", "hooks.example"));
    let address = "127.0.0.1";
    startSender({ lookup: (_name, _options, callback) => { callback(null, [{ address, family: 4 }]); } });
    receiver.answer(path, (res) => res.writeHead(200, { connection: "close" }).end());
    await tell("a");
    await until(isDelivered);
    address = "169.254.169.254";
    await tell("b");
    expect((await until(({ status, last_error }) => status === "delivered" || last_error !== null)).map(({ last_error }) => last_error).sort()).toEqual(["the URL's host is not a public address", null].sort());
    expect(receiver.received(path)).toHaveLength(1);
  });

  it("is reached where its network is allowed", async () => {
    const { tell, until } = await tenantAt();
    startSender({ allowance: allowanceOf("127.0.0.0/8", { isKeyless: false }) });
    await tell("a");
    await until(isDelivered);
  });
});

it("a secret that was sealed under another INFER_SECRET is said to be so, and retried like any failure", async () => {
  const { tell, until, tenant, rights, path } = await tenantAt();
  await removeEndpoint(rights, ACTOR, tenant, (await listEndpoints(rights, tenant))[0]?.endpoint_id ?? "");
  await createEndpoint(rights, ACTOR, subkey("other".repeat(8), "webhooks"), tenant, receiver.url(path));
  startSender();
  await tell("a");
  expect(await until(hasTried(1))).toMatchObject([{ last_error: expect.stringMatching(/^its secret cannot be opened/) as string }]);
});

it("after a change of INFER_SECRET a rotation is all that an endpoint needs, and others are not held up meanwhile", async () => {
  const other = await tenantAt(), before = await tenantAt();
  const { endpoint_id } = before.endpoint;
  await pool.query("UPDATE webhook_endpoints SET secret_sealed = $2 WHERE endpoint_id = $1", [endpoint_id, seal(subkey("other".repeat(8), "webhooks"), endpoint_id, newSecret())]);
  const { secret } = await rotateEndpoint(before.rights, ACTOR, KEY, before.tenant, endpoint_id);
  startSender();
  await Promise.all([before.tell("a"), other.tell("b")]);
  await Promise.all([before.until(isDelivered), other.until(isDelivered)]);
  const [got] = receiver.received(before.path);
  expect(new Webhook(secret).verify(got?.body ?? "", got?.headers as Record<string, string>)).toEqual({ occurrence: "a" });
});

it("row-level security shows a tenant its own endpoints and deliveries alone, and lets it send none", async () => {
  const own = await tenantAt(), other = await tenantAt();
  await Promise.all([own.tell("a"), other.tell("a")]);
  const seen = (table: string) => inTransactionOf(pool, own.tenant, async (client) => (await client.query<{ tenant_id: string }>(`SELECT tenant_id FROM ${table}`)).rows.map(({ tenant_id }) => tenant_id));
  expect([await seen("webhook_endpoints"), await seen("webhook_deliveries")]).toEqual([[own.tenant], [own.tenant]]);
  const asOwn = { pool, tenantId: own.tenant };
  await expect(setEndpointStatus(asOwn, ACTOR, other.tenant, other.endpoint.endpoint_id, "disabled")).rejects.toMatchObject({ code: "not_found" });
  expect(await rotateEndpoint(asOwn, ACTOR, KEY, own.tenant, own.endpoint.endpoint_id)).toMatchObject({ tenant_id: own.tenant });
  await expect(inTransactionOf(pool, own.tenant, (client) => insertDeliveries(client, [{ tenant_id: own.tenant, type: "request.completed", occurrence: "forged", payload: "{}" }]))).rejects.toThrow(/permission denied/);
});

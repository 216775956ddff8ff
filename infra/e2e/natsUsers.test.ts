/** The system where everybody shows who they are: API keys over HTTP, users over NATS, and each role with a user of its own at NATS, Postgres and Redis. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import type { NatsConnection } from "@nats-io/transport-node";
import { Pool } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { Completion } from "#shared/contracts/events.ts";
import { createKey } from "#shared/tenancy/keys.ts";
import { subkey } from "#shared/tenancy/keyText.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";

import { type Audit, body, type Broker, connectBroker, connectPlain, getText, openAudit, postJson, recordOf } from "./callers.ts";
import { jsonIn, startSystem, type System } from "./system.ts";

const TENANT = "tenant-1";
const UNSURE = "test";
const CLEAR = "Subject: You have won! Click here to claim your prize";
let system: System, broker: Broker, audit: Audit, pool: Pool, tenant: NatsConnection;
let authorization: string;

beforeAll(async () => {
  system = await startSystem({ env: { INFER_AUTH: "keys", INFER_SHADOW_SHARE: "1", INFER_SHADOW_TIERS: "all" } });
  pool = new Pool({ connectionString: system.ownerUrl("postgres"), max: 2 });
  pool.on("error", () => undefined);
  const owner = { pool, tenantId: null };
  await createTenant(owner, { kind: "inferctl" }, { tenant_id: TENANT, settings: undefined });
  const { key } = await createKey(owner, { kind: "inferctl" }, subkey(system.secret(), "api-keys"), TENANT, { role: "infer", name: "e2e" });
  authorization = `Bearer ${key}`;
  broker = await connectBroker(system.url("nats"), { seed: system.natsSeed("admin"), inboxPrefix: "_INBOX.admin" });
  audit = openAudit(system.ownerUrl("postgres"));
  tenant = await connectPlain(system.url("nats"), { seed: (await addUser(TENANT)).seed, inboxPrefix: `_INBOX.${TENANT}` });
});
afterAll(async () => {
  await Promise.all([tenant.close(), broker.close(), audit.close(), pool.end()]);
  await system.remove();
});

const addUser = async (tenantId: string) => jsonIn(await system.inferctl("nats-users", "add", "--tenant", tenantId, "--json")) as { seed: string; user: { public_key: string }; is_audited: boolean; is_in_effect: boolean };
const overHttp = async (id: string, input: string) => recordOf(await postJson(`${system.url("gateway")}/infer`, body(id, input), { headers: { authorization } }));
/** As a tenant does it: publish, wait for the reply, read what is stored. */
async function overNats(id: string, input: string, via = tenant): Promise<Completion> {
  const replies = via.subscribe(`infer.reply.direct.${TENANT}.>`);
  await via.flush();
  expect((await via.request(`infer.request.${TENANT}.${id}`, JSON.stringify({ user_id: "user-1", input, budget: 5 }))).json()).toMatchObject({ stream: "REQUESTS" });
  for await (const message of replies) if (message.subject.endsWith(`.${id}`)) break;
  return Completion.parse((await via.request(`$JS.API.DIRECT.GET.COMPLETIONS.infer.completion.${TENANT}.${id}`)).json());
}
const tiersOf = ({ attempts }: { attempts: readonly { tier: string }[] }) => attempts.map(({ tier }) => tier);

test("a request climbs all tiers, by HTTP with a key and by NATS with a tenant's user", async () => {
  const [http, nats] = [await overHttp("http-1", UNSURE), await overNats("nats-1", UNSURE)];
  expect([http.outcome, nats.outcome]).toEqual(["completed", "completed"]);
  expect([tiersOf(http), tiersOf(nats)]).toEqual([["small", "medium", "large"], ["small", "medium", "large"]]);
  await Promise.all(["http-1", "nats-1"].map((id) => audit.awaitRow(id)));
  expect(await broker.completion(TENANT, "nats-1")).toEqual(nats);
});

test("without a key, without a user, and with a user that was removed, nobody gets in", async () => {
  expect((await postJson(`${system.url("gateway")}/infer`, body("no-key", UNSURE))).status).toBe(401);
  await expect(connectPlain(system.url("nats"))).rejects.toThrow(/Authorization Violation/);
  const { seed, user, is_audited, is_in_effect } = await addUser(TENANT);
  expect([is_audited, is_in_effect]).toEqual([true, true]);
  const nats = await connectPlain(system.url("nats"), { seed, inboxPrefix: `_INBOX.${TENANT}` });
  expect((await overNats("second-user", CLEAR, nats)).outcome).toBe("completed");
  const closed = nats.closed();
  await system.inferctl("nats-users", "remove", user.public_key);
  await closed; // the server ends it, and refuses it when it connects again
  await expect(connectPlain(system.url("nats"), { seed, inboxPrefix: `_INBOX.${TENANT}` })).rejects.toThrow(/Authorization Violation/);
  const lines = await audit.rows<{ action: string }>("SELECT action FROM admin_audit WHERE object = $1 ORDER BY seq", user.public_key);
  expect(lines.map(({ action }) => action)).toEqual(["nats_user.create", "nats_user.remove"]);
});

test("sampled answers are compared by workers that may do no more than that", async () => {
  await waitUntil(() => broker.jsm.consumers.info("COMPLETIONS", "router-shadow").then(() => true as const, () => undefined), { deadlineMs: 20_000, describe: () => "the router does not sample" });
  await overNats("sampled", CLEAR);
  const label = () => audit.rows<{ agreement: number }>("SELECT agreement FROM shadows WHERE request_id = 'sampled' AND agreement IS NOT NULL");
  const others = () => audit.rows("SELECT 1 FROM shadow_tiers WHERE request_id = 'sampled'");
  await waitUntil(async () => ((await label()).length === 1 && (await others()).length === 1 ? true : undefined), { deadlineMs: 20_000, describe: () => "no labels" });
});

test("a tenant's feedback is kept", async () => {
  await tenant.request(`infer.feedback.${TENANT}.nats-1`, JSON.stringify({ score: 1, source: "user" }));
  await waitUntil(async () => ((await audit.rows("SELECT 1 FROM feedback WHERE request_id = 'nats-1'")).length === 1 ? true : undefined), { deadlineMs: 10_000, describe: () => "no feedback" });
});

test("killed roles come back with their users, and so does a killed server", async () => {
  for (const name of ["router", "worker-small", "gateway", "nats", "redis", "postgres"]) await system.signal(name, "SIGKILL");
  const { lines } = await system.up();
  expect(lines.filter(({ state }) => state !== "ready")).toEqual([]);
  expect((await overHttp("after-kill", UNSURE)).outcome).toBe("completed");
  await waitUntil(() => tenant.flush().then(() => true as const, () => undefined), { deadlineMs: 10_000, describe: () => "the tenant does not connect again" });
  expect((await overNats("after-kill-nats", CLEAR)).outcome).toBe("completed");
});

test("what has ended is exported from the stream and from the audit, by a user that may only read it", async () => {
  const exported = async (...from: string[]) => jsonIn(await system.inferctl("export", "--out", join(system.folder, `events${from.join("")}.jsonl.gz`), "--json", ...from)) as { events: number; not_read: object };
  const stream = await exported();
  const { state } = await broker.jsm.streams.info("COMPLETIONS");
  expect(stream).toMatchObject({ events: state.messages, not_read: {} });
  await audit.awaitRow("after-kill-nats");
  expect(await exported("--from-audit", "--tenant", TENANT)).toMatchObject({ events: state.messages, not_read: {} });
});

test("what has ended is asked again, live and as shadows, by users that may do no more than that", async () => {
  const replay = async (...options: string[]) => jsonIn(await system.inferctl("replay", "--limit", "3", "--json", ...options)) as { requests: number };
  expect(await replay("--mode", "live", "--max", "--run", "users", "--confirm", "3 requests")).toMatchObject({ end: "all", requests: 3, unanswered: 0, now: { outcomes: { completed: 3 } } });
  expect((await broker.completion(TENANT, "replay-users-http-1")).metadata).toEqual({ replay_run: "users", replay_of: "http-1" });
  expect(await replay("--mode", "shadow", "--budget", "1", "--tiers", "all")).toMatchObject({ end: "all", unanswered: 0 });
});

test("the command line works as admin, and what it makes is in the audit", async () => {
  expect(await system.inferctl("models", "list")).toContain("no model yet");
  const { findings } = jsonIn(await system.inferctl("doctor", "--json")) as { findings: readonly { check: string; level: string; what: string }[] };
  expect(findings.filter(({ level }) => level === "problem")).toEqual([]);
  expect(findings.find(({ check, what }) => check === "permissions" && what.includes("logins"))?.what).toMatch(/^(\d+) of \1 logins are let in and may do what they must$/);
  for (const password of [...system.passwords(), system.secret()]) expect(JSON.stringify(findings)).not.toContain(password);
  await system.inferctl("topology");
  expect(jsonIn(await system.inferctl("status", "--json"))).toMatchObject({ lines: expect.arrayContaining([expect.objectContaining({ name: "nats", state: "ready" })]) as unknown });
  const made = await audit.rows<{ role: string }>("SELECT change->>'role' AS role FROM admin_audit WHERE action = 'nats_user.create' AND tenant_id IS NULL");
  expect(made.map(({ role }) => role).sort()).toEqual(["admin", "audit-sink", "console", "gateway", "metrics-sink", "replay", "replay-live", "replay-shadow", "router", "worker-large", "worker-medium", "worker-small"]);
});

test("no role was refused anything in all this, and no seed and no password is in a log, in the list of what runs or in the note of it", async () => {
  expect((await getText(`${system.url("router")}/readyz`)).status).toBe(200);
  const logs = [...system.logs().entries()];
  const refused = logs.flatMap(([, text]) => [...text.matchAll(/nats\.js:([a-z-]+?)-?[0-9a-f]*" .*(?:Publish|Subscription) Violation - (.*)/g)].map(([, role, what]) => `${role}: ${what}`));
  // The client asks to delete a broken ordered consumer before it makes the next one, and does without.
  expect([...new Set(refused)].filter((line) => !/^router: Subject "\$JS\.API\.CONSUMER\.DELETE\.(REQUESTS|COMPLETIONS|KV_infer-tiers)\.\w+"$/.test(line))).toEqual([]);
  for (const role of ["admin", "gateway", "router", "worker-small"]) expect(logs.filter(([, text]) => text.includes(system.natsSeed(role)))).toEqual([]);
  expect(logs.flatMap(([file, text]) => [...text.matchAll(/.*(?:NOPERM|WRONGPASS|NOAUTH|permission denied|is append-only|password authentication failed).*/g)].map(([line]) => `${file}: ${line}`))).toEqual([]);
  const passwords = [...system.passwords()];
  expect(passwords.length).toBeGreaterThan(8);
  const shown = [...logs, ["state.json", readFileSync(join(system.folder, "home", "state.json"), "utf8")], ["status", await system.inferctl("status", "--json")], ["up", await system.inferctl("up", "--json")]];
  expect(shown.filter(([, text]) => passwords.some((password) => text?.includes(password))).map(([name]) => name)).toEqual([]);
});

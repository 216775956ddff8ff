/** Whatever comes in at either door: each bad input has the answer that docs/bad-inputs.md says, the next good request is served, and nothing of it is in a log or a metric. */
import { spawn } from "node:child_process";
import { connect as connectSocket } from "node:net";

import { headers, type NatsConnection } from "@nats-io/transport-node";
import { Pool } from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";

import { CANARY } from "#infra/badInputs/badInput.ts";
import { BAD_BODIES, goodBody, isForNats, natsCodeOf } from "#infra/badInputs/httpBodies.ts";
import { BAD_REQUESTS, type BadRequest } from "#infra/badInputs/httpRequests.ts";
import { BAD_PUBLISHES, subjectOfCase } from "#infra/badInputs/natsPublishes.ts";
import { type RawAnswer, sendRaw } from "#infra/badInputs/rawHttp.ts";
import { projectFolder } from "#infra/embedded/homeFolder.ts";
import { isAtLeast } from "#infra/embedded/serverVersion.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { type Violations, watchViolations } from "#infra/nats/testViolations.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { createKey } from "#shared/tenancy/keys.ts";
import { subkey } from "#shared/tenancy/keyText.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";

import { type Broker, connectBroker, connectPlain, getText, postJson, recordOf } from "./callers.ts";
import { type ModelServer, startModelServer } from "./modelServer.ts";
import { jsonIn, startSystem, type System } from "./system.ts";

const ROLES = ["gateway", "router", "worker-small", "worker-large", "audit-sink", "metrics-sink"];
let models: ModelServer, system: System, admin: Broker, pool: Pool;
let tenant: NatsConnection, other: NatsConnection, service: NatsConnection, violations: Violations;
let key: string, gateway: string;
let dropDatabase: () => Promise<void>;
/** Time-outs of the server end them: they are sent first, and looked at last. */
let slow: { request: BadRequest; answer: Promise<RawAnswer> }[];
/** A thousand connections that say nothing, from the first test on. Each resolves when the server has ended it. */
let idle: Promise<void>[];
let count = 0;
const nextId = (id: string): string => `${id}-${++count}`;

beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_bad_inputs");
  dropDatabase = database.drop;
  pool = new Pool({ connectionString: database.url, max: 2 });
  system = await startSystem({ tiers: { serverUrl: models.url, tiers: [{ name: "small" }, { name: "large" }] }, env: { INFER_AUTH: "keys", DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/7`, INFER_BACKEND_ALLOW: "127.0.0.1", LOG_LEVEL: "debug" } });
  gateway = system.url("gateway");
  const owner = { pool, tenantId: null };
  for (const tenant_id of ["t1", "t2"]) await createTenant(owner, { kind: "inferctl" }, { tenant_id, settings: undefined });
  ({ key } = await createKey(owner, { kind: "inferctl" }, subkey(system.secret(), "api-keys"), "t1", { role: "infer", name: "e2e" }));
  slow = BAD_REQUESTS.filter(({ isLeftOpen }) => isLeftOpen === true).map((request) => ({ request, answer: send(request, 30_000) }));
  for (const { answer } of slow) answer.catch(() => undefined); // awaited last
  idle = await openIdle(1_000);
  admin = await connectBroker(system.url("nats"), { seed: system.natsSeed("admin"), inboxPrefix: "_INBOX.admin" });
  service = await connectPlain(system.url("nats"), { seed: system.natsSeed("gateway"), inboxPrefix: "_INBOX.gateway" });
  [tenant, other] = [await connectTenant("t1"), await connectTenant("t2")];
  violations = watchViolations(tenant);
});
afterAll(async () => {
  await Promise.all([tenant.close(), other.close(), service.close(), admin.close(), pool.end()]);
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});
afterEach(async () => { await expectGood(); });

async function connectTenant(tenantId: string): Promise<NatsConnection> {
  const { seed } = jsonIn(await system.inferctl("nats-users", "add", "--tenant", tenantId, "--json")) as { seed: string };
  return connectPlain(system.url("nats"), { seed, inboxPrefix: `_INBOX.${tenantId}` });
}
const send = ({ id, bytes }: BadRequest, deadlineMs?: number) => sendRaw(gateway, [bytes({ host: new URL(gateway).host, key, requestId: nextId(id) })], deadlineMs);
/** Of whichever shape. */
function codeIn(body: string): string | null {
  try {
    return (JSON.parse(body) as { error?: { code?: string } | null }).error?.code ?? null;
  } catch {
    return null;
  }
}
async function openIdle(many: number): Promise<Promise<void>[]> {
  const { hostname, port } = new URL(gateway);
  const sockets = Array.from({ length: many }, () => connectSocket(Number(port), hostname).on("error", () => undefined).resume());
  const ended = sockets.map((socket) => new Promise<void>((resolve) => { socket.once("close", () => { resolve(); }); }));
  await Promise.all(sockets.map((socket) => new Promise<void>((resolve, reject) => { socket.once("connect", resolve).once("error", reject); })));
  return ended;
}
async function expectGood(): Promise<void> {
  const answer = await postJson(`${gateway}/infer`, goodBody(nextId("good")), { headers: { authorization: `Bearer ${key}` } });
  expect([answer.status, recordOf(answer).outcome]).toEqual([200, "completed"]);
}

describe("a body by HTTP", () => {
  it.each(BAD_BODIES)("$id $input", async ({ id, body, path = "/infer", isChunked = false, http: [status, code], tiers = ["small"] }) => {
    const requestId = nextId(id), content = Buffer.from(body(requestId));
    const head = (length: string) => `POST ${path} HTTP/1.1\r\nHost: ${new URL(gateway).host}\r\nConnection: close\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\n${length}\r\n\r\n`;
    const parts = isChunked ? [head("Transfer-Encoding: chunked"), ...chunksOf(content)] : [head(`Content-Length: ${content.length}`), content];
    const answer = await sendRaw(gateway, parts);
    expect([answer.status, codeIn(answer.body)]).toEqual([status, code]);
    if (status === 200 && path === "/infer") expect(recordOf({ text: answer.body }).attempts.map(({ tier }) => tier)).toEqual(tiers);
    if (status !== 200) expect(answer.body.length).toBeLessThan(4_000);
  });
});

function chunksOf(content: Buffer): (string | Buffer)[] {
  const half = content.length >> 1;
  return [content.subarray(0, half), content.subarray(half)].flatMap((part) => [`${part.length.toString(16)}\r\n`, part, "\r\n"]).concat("0\r\n\r\n");
}

describe("a body by NATS", () => {
  it.each(BAD_BODIES.filter(isForNats))("$id $input", async (bad) => {
    const id = nextId(bad.id);
    const ack = (await tenant.request(subjectOfCase(id), Buffer.from(bad.body(id)))).json<{ stream?: string }>();
    expect(ack.stream).toBe("REQUESTS");
    const { error, attempts } = await admin.completion("t1", id);
    expect(error?.code ?? null).toBe(natsCodeOf(bad));
    expect(attempts.map(({ tier }) => tier)).toEqual(natsCodeOf(bad) === null ? bad.tiers ?? ["small"] : []);
  });
});

describe("a request", () => {
  it.each(BAD_REQUESTS.filter(({ isLeftOpen }) => isLeftOpen !== true))("$id $input", async (request) => {
    const { status, body } = await send(request);
    expect(status, body).toBe(request.status);
    if (request.code !== undefined) expect(codeIn(body)).toBe(request.code);
    if (status === 200) expect((JSON.parse(body) as { request_id?: string }).request_id ?? "").not.toContain(CANARY);
  });
});

describe("a message", () => {
  it.each(BAD_PUBLISHES)("$id $input", async ({ id: caseId, as, subject = subjectOfCase, payload = (id) => JSON.stringify(goodBody(id)), headers: sent = [], expected }) => {
    const id = nextId(caseId), to = subject(id), nats = as === "tenant" ? tenant : service;
    const message = headers();
    for (const [name, value] of sent) message.append(name, value);
    const publish = async () => (await nats.request(to, payload(id), { headers: message, timeout: 5_000 })).json<{ stream?: string; error?: { err_code: number } }>();
    if (expected.kind === "violation") {
      nats.publish(to, payload(id));
      await violations.refused("publish", to);
      return;
    }
    const ack = await publish();
    if (expected.kind === "refused" && isAtLeast(nats.info?.version ?? "", expected.since ?? "0.0")) {
      expect(ack.error?.err_code).toBe(expected.code);
      expect(await admin.hasCompletion("t1", id)).toBe(false);
      return;
    }
    expect(ack.stream).toBe("REQUESTS");
    if (expected.kind === "deadLetter") {
      const letter = await waitUntil(async () => (await admin.deadLetters()).find((one) => one.subject === to), { deadlineMs: 10_000, describe: () => "no dead letter" });
      expect([letter.reason, letter.tenant_id, letter.request_id]).toEqual([expected.reason, null, null]);
      return;
    }
    const { outcome, error } = await admin.completion("t1", id);
    if (expected.kind === "late") {
      expect(["failed", "rejected"]).toContain(outcome);
      expect(error?.code).toBe("deadline_exceeded");
      return;
    }
    expect([outcome, error?.code ?? null]).toEqual(expected.kind === "failed" ? ["failed", expected.code] : ["completed", null]);
  });

  it("N-77, N-84: a subject of 5000 characters, or a byte more than 1 MiB, ends its own connection alone", async () => {
    const { hostname, port } = new URL(system.url("nats"));
    for (const bytes of [`PUB infer.request.t1.${"a".repeat(5_000)} 1\r\nx\r\n`, `PUB infer.request.t1.large ${2 ** 20 + 1}\r\n`]) {
      const heard = await new Promise<string>((resolve) => {
        let text = "";
        const socket = connectSocket(Number(port), hostname, () => { socket.write(bytes); });
        socket.on("data", (chunk: Buffer) => { text += chunk.toString(); }).on("error", () => undefined).on("close", () => { resolve(text); });
      });
      expect(heard).toContain("-ERR");
    }
    expect(() => tenant.publish("infer.request.t1.large", new Uint8Array(2 ** 20 + 1))).toThrow(/payload/);
    await Promise.all([tenant.flush(), other.flush(), service.flush()]);
  });

  it("N-87, N-88: another tenant's request id or message id keeps nothing of that tenant's from being answered", async () => {
    const id = nextId("shared");
    const sent = headers();
    sent.set("Nats-Msg-Id", id);
    await tenant.request(subjectOfCase(id), JSON.stringify(goodBody(id)), { headers: sent, timeout: 5_000 });
    const ack = (await other.request(`infer.request.t2.${id}`, JSON.stringify(goodBody(id)))).json<{ stream?: string; duplicate?: boolean }>();
    expect([ack.stream, ack.duplicate ?? false]).toEqual(["REQUESTS", false]);
    expect([(await admin.completion("t1", id)).outcome, (await admin.completion("t2", id)).outcome]).toEqual(["completed", "completed"]);
  });

  it("N-90: of equal headers the first one counts, and a name in another case is another header", async () => {
    const traceparent = (digit: string) => `00-${digit.repeat(32)}-00f067aa0ba902b7-01`;
    const sent = headers();
    for (const [name, digit] of [["Traceparent", "1"], ["traceparent", "2"], ["traceparent", "3"]] as const) sent.append(name, traceparent(digit));
    const id = nextId("traced");
    await tenant.request(subjectOfCase(id), JSON.stringify(goodBody(id)), { headers: sent, timeout: 5_000 });
    expect((await admin.completion("t1", id)).trace_id).toBe("2".repeat(32));
  });
});

describe("a connection", () => {
  it("H-59: a thousand that say nothing are ended, and kept nobody from being served", async () => {
    await Promise.all(idle);
  });

  it("that is left open within a request is ended in time", async () => {
    for (const { request, answer } of slow) {
      const { status, body } = await answer;
      expect(status, request.input).toBe(request.status);
      if (request.code !== undefined) expect(codeIn(body)).toBe(request.code);
    }
  });
});

/** Without a server: it never comes so far. */
const startRouter = (variables: Readonly<Record<string, string>>): Promise<{ code: number | null; errors: string }> => new Promise((resolve, reject) => {
  const child = spawn(process.execPath, ["dist/router.js"], { cwd: projectFolder(), env: { PATH: process.env["PATH"], NATS_URL: "nats://127.0.0.1:9", ...variables }, stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => { errors += chunk.toString(); });
  child.once("error", reject).once("close", (code) => { resolve({ code, errors }); });
});
it.each([
  ["C-125: a tier file that is not there", { INFER_TIERS_FILE: "gone.yaml" }, /^Invalid configuration in gone\.yaml:\n {2}ENOENT.*\n$/],
  ["C-128: a variable that is no number, and a misspelt one", { INFER_ROUTER_CONCURRENCY: "many", INFER_ROUTER_PROT: "1" }, /^Invalid configuration in the environment:\n {2}INFER_ROUTER_PROT: no such variable.*\n {2}INFER_ROUTER_CONCURRENCY: must be a number\n$/],
])("%s end a process with 78, and a line for each says what", async (_name, variables, said) => {
  const { code, errors } = await startRouter(variables);
  expect(errors).toMatch(said);
  expect(code).toBe(78);
});

it("after all that every role is ready, nothing of an input is in a log or a metric, and no key is", async () => {
  await admin.idle(20_000);
  for (const role of ROLES) {
    const [ready, metrics] = await Promise.all([getText(`${system.url(role)}/readyz`), getText(`${system.url(role)}/metrics`)]);
    expect([role, ready.status, metrics.text.includes(CANARY)]).toEqual([role, 200, false]);
  }
  const logs = [...system.logs()];
  expect(logs.filter(([, text]) => text.includes(CANARY) || text.includes(key) || text.includes("\u001b[31m")).map(([file]) => file)).toEqual([]);
  expect(logs.flatMap(([file, text]) => (/"level":"(error|fatal)"/.test(text) ? [file] : []))).toEqual([]);
});

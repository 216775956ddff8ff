/** Tenants over NATS, against a real server with the configuration that `inferctl nats-users` makes: what each can do, and that the server refuses all else. */
import { headers, type NatsConnection, nkeys } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, test } from "vitest";

import { isAtLeast } from "#infra/embedded/serverVersion.ts";
import { startTestServerWithUsers, type TestServerWithUsers } from "#infra/embedded/testNatsUsers.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { inboxOf, streamsOf } from "#shared/messaging/topology.ts";

import { TENANT_LIMITS } from "./serverUsers.ts";
import { type Violations, watchViolations } from "./testViolations.ts";

const STREAMS = [...streamsOf("infer", 86_400_000).map(({ name }) => name), "KV_infer-tiers", "KV_infer-models", "KV_infer-sweeper"];
let server: TestServerWithUsers;
/** A tenant that tries everything, the one beside it, and those who serve them. */
let mallory: NatsConnection, victim: NatsConnection, router: NatsConnection, gateway: NatsConnection;
let admin: Awaited<ReturnType<typeof brokerOver>>;
let violations: Violations;
/** Whatever reached the victim. */
const heard: string[] = [];

beforeAll(async () => {
  server = await startTestServerWithUsers([{ name: "small", slots: 1 }], ["t1", "victim", "greedy"]);
  [mallory, victim, router, gateway] = await Promise.all([server.connectTenant("t1"), server.connectTenant("victim"), server.connectRole("router"), server.connectRole("gateway")]);
  admin = await brokerOver(await server.connectRole("admin"), "infer", undefined, inboxOf("admin"));
  violations = watchViolations(mallory);
  for (const subject of ["infer.completion.victim.*", "infer.reply.direct.victim.>", "infer.token.direct.victim.>", `${inboxOf("victim")}.>`]) victim.subscribe(subject, { callback: (_error, message) => void heard.push(message.subject) });
  await victim.flush();
});
afterAll(async () => {
  await admin.acks.close();
  await Promise.all([mallory, victim, router, gateway, admin.nats].map((nats) => nats.close()));
  await server.remove();
});

/** All that is stored, by subject. */
async function stored(): Promise<Record<string, Record<string, number>>> {
  const infos = await Promise.all(STREAMS.map((stream) => admin.jsm.streams.info(stream, { subjects_filter: ">" })));
  return Object.fromEntries(infos.map(({ config, state }) => [config.name, state.subjects ?? {}]));
}
const lastOf = (stream: string, subject: string) => admin.streams.last(stream, subject).then((message) => message?.string() ?? null);
const listen = (nats: NatsConnection, subject: string): string[] => {
  const found: string[] = [];
  nats.subscribe(subject, { callback: (_error, message) => void found.push(message.string()) });
  return found;
};
const until = (what: string, isTrue: () => boolean) => waitUntil(() => Promise.resolve(isTrue() ? true : undefined), { deadlineMs: 5_000, describe: () => what });
/** A completion of a tenant as a router writes it. */
const complete = async (tenant: string, id: string, body: string) => { expect((await router.request(`infer.completion.${tenant}.${id}`, body)).json()).toMatchObject({ stream: "COMPLETIONS" }); };

test("a tenant's request and feedback are stored, and the PubAck comes into its own inbox", async () => {
  for (const [stream, subject] of [["REQUESTS", "infer.request.t1.mine"], ["FEEDBACK", "infer.feedback.t1.mine"]] as const) {
    expect((await mallory.request(subject, "content")).json()).toMatchObject({ stream });
    expect(await lastOf(stream, subject)).toBe("content");
  }
});

test("a tenant hears its completions, replies and tokens, and reads what is stored", async () => {
  const [completions, replies, tokens] = ["infer.completion.t1.*", "infer.reply.direct.t1.>", "infer.token.direct.t1.>"].map((subject) => listen(mallory, subject));
  const worker = await server.connectRole("worker-small");
  await mallory.flush();
  await complete("t1", "answered", "outcome");
  router.publish("infer.reply.direct.t1.answered", "reply");
  worker.publish("infer.token.direct.t1.answered", "token");
  await until("not all came", () => completions?.length === 1 && replies?.length === 1 && tokens?.length === 1);
  await worker.close();
  expect([completions, replies, tokens]).toEqual([["outcome"], ["reply"], ["token"]]);
  expect((await mallory.request("$JS.API.DIRECT.GET.COMPLETIONS.infer.completion.t1.answered")).string()).toBe("outcome");
  expect((await mallory.request("$JS.API.DIRECT.GET.COMPLETIONS.infer.completion.t1.unknown")).headers?.code).toBe(404);
});

const ofEveryone = (subjects: (tenant: string) => string[]) => ["t1", "victim"].flatMap(subjects);
const PUBLISHED: [what: string, subjects: readonly string[]][] = [
  ["another tenant's requests and feedback", ["infer.request.victim.x", "infer.feedback.victim.x"]],
  ["what only services say, about its own requests too", ofEveryone((tenant) => [
    `infer.completion.${tenant}.x`, `infer.result.${tenant}.x.1`, `infer.job.small.${tenant}.x.1`, `infer.shadowjob.small.${tenant}.x`, `infer.shadow.${tenant}.x`,
    `infer.shadow.${tenant}.x.small`, `infer.deadletter.REQUESTS.${tenant}`, `infer.reply.direct.${tenant}.x`, `infer.reply.gateway-1.${tenant}.x`, `infer.token.direct.${tenant}.x`, `infer.cancel.${tenant}.x`,
  ])],
  ["subjects with a token too many, too few or without a name", ["infer.request.t1.x.y", "infer.request.t1", "infer.request", "infer.request.*.x", "infer.request.>", "infer.feedback.t1.x.y"]],
  ["inboxes", ["_INBOX.victim.x", "_INBOX.gateway.x", "_INBOX.t1.x", "_R_.x.y"]],
  ["streams", STREAMS.flatMap((stream) => ["INFO", "CREATE", "UPDATE", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE", "SNAPSHOT"].map((verb) => `$JS.API.STREAM.${verb}.${stream}`))],
  ["consumers", STREAMS.flatMap((stream) => [
    `$JS.API.CONSUMER.CREATE.${stream}`, `$JS.API.CONSUMER.CREATE.${stream}.spy`, `$JS.API.CONSUMER.CREATE.${stream}.spy.infer.completion.t1.*`, `$JS.API.CONSUMER.DURABLE.CREATE.${stream}.spy`,
    ...["INFO", "DELETE", "MSG.NEXT", "PAUSE"].map((verb) => `$JS.API.CONSUMER.${verb}.${stream}.spy`), `$JS.API.CONSUMER.LIST.${stream}`, `$JS.API.CONSUMER.NAMES.${stream}`,
  ])],
  ["what others consume", [["REQUESTS", "router-requests"], ["JOBS", "worker-small"], ["RESULTS", "router-results"], ["COMPLETIONS", "sink-audit"], ["FEEDBACK", "sink-audit-feedback"]].flatMap(([stream, durable]) => [
    `$JS.API.CONSUMER.INFO.${stream}.${durable}`, `$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`, `$JS.API.CONSUMER.DELETE.${stream}.${durable}`, `$JS.ACK.${stream}.${durable}.1.1.1.1.0`, `$JS.ACK.${stream}.${durable}.1.1.1.0.0`,
  ])],
  ["direct gets of what is not its own", [
    ...STREAMS.map((stream) => `$JS.API.DIRECT.GET.${stream}`), "$JS.API.DIRECT.GET.COMPLETIONS.infer.completion.victim.x", "$JS.API.DIRECT.GET.COMPLETIONS.infer.completion.*.x", "$JS.API.DIRECT.GET.COMPLETIONS.infer.completion.>",
    "$JS.API.DIRECT.GET.REQUESTS.infer.request.t1.mine", "$JS.API.DIRECT.GET.REQUESTS.infer.request.victim.x", "$JS.API.DIRECT.GET.KV_infer-models.$KV.infer-models.active",
  ]],
  ["buckets", ["$KV.infer-models.active", "$KV.infer-tiers.small.x", "$KV.infer-sweeper.swept_until_ms", "$KV.t1.x"]],
  ["the account and the server", ["$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.FC.COMPLETIONS.x", "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.REQUESTS.router-requests", "$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.ACCOUNT.INFER.CONNECT"]],
];
test.each(PUBLISHED)("the server refuses a tenant's publishes to %s, and nothing is stored", async (_what, subjects) => {
  const before = await stored();
  for (const subject of subjects) mallory.publish(subject, "forged");
  for (const subject of subjects) await violations.refused("publish", subject);
  expect(await stored()).toEqual(before);
});

test.each([
  ["everything", [">", "*", "*.>", "*.*.*.*"]],
  ["inboxes of others", ["_INBOX.>", "_INBOX.*", "_INBOX.*.>", "_INBOX.victim.>", "_INBOX.gateway.>", "_INBOX.router.>", "_R_.>"]],
  ["outcomes of others", ["infer.>", "infer.completion.>", "infer.completion.*.*", "infer.completion.victim.*", "infer.completion.victim.x", "infer.completion.*.x", "infer.reply.>", "infer.reply.direct.>", "infer.reply.*.t1.*", "infer.reply.direct.victim.>", "infer.token.>", "infer.token.direct.victim.>", "infer.token.*.t1.*"]],
  ["what services say to each other", ["infer.request.>", "infer.request.t1.*", "infer.request.victim.*", "infer.job.>", "infer.result.>", "infer.result.t1.*.*", "infer.feedback.>", "infer.shadow.>", "infer.shadowjob.>", "infer.cancel.>", "infer.deadletter.>"]],
  ["the server's own subjects", ["$JS.>", "$JS.ACK.>", "$JS.API.>", "$JS.EVENT.>", "$KV.>", "$SYS.>"]],
])("the server refuses a tenant's subscriptions to %s", async (_what, subjects) => {
  for (const subject of subjects) mallory.subscribe(subject, { callback: () => undefined });
  for (const subject of subjects) await violations.refused("subscription", subject);
});

test.each(["infer.completion.victim.r", "infer.request.victim.r", "infer.feedback.victim.r", "infer.reply.direct.victim.r", "_INBOX.victim.r", "$JS.API.STREAM.DELETE.JOBS", "$JS.API.STREAM.PURGE.KV_infer-models", "$JS.API.CONSUMER.DELETE.COMPLETIONS.sink-audit", "$KV.infer-models.active", "infer.cancel.victim.r"])(
  "an answer that a tenant wants sent to %s gets nowhere: neither a PubAck nor a stored message", async (reply) => {
    const id = `reply-${reply.replaceAll(/\W/g, "-")}`;
    await complete("t1", id, "chosen by the tenant");
    const before = await stored();
    mallory.publish(`infer.request.t1.${id}`, "x", { reply });
    mallory.publish(`$JS.API.DIRECT.GET.COMPLETIONS.infer.completion.t1.${id}`, "", { reply });
    await mallory.request(`infer.request.t1.${id}-after`, "x"); // the server answers in order
    const after = await stored();
    expect({ ...after, REQUESTS: null }).toEqual({ ...before, REQUESTS: null });
    expect(Object.keys(after["REQUESTS"] ?? {}).filter((subject) => before["REQUESTS"]?.[subject] === undefined).sort()).toEqual([`infer.request.t1.${id}`, `infer.request.t1.${id}-after`]);
    expect(await admin.jsm.consumers.info("COMPLETIONS", "sink-audit")).toMatchObject({ name: "sink-audit" });
  },
);

test.each(["$JS.ACK.REQUESTS.router-requests.1.1.1.1.0", "_R_.abc.def"])("a publish with the reply subject %s is refused as a whole", async (reply) => {
  mallory.publish("infer.request.t1.reserved", "x", { reply });
  await violations.refused("publish with reply of", reply);
  expect(await lastOf("REQUESTS", "infer.request.t1.reserved")).toBeNull();
});

test.each([[{ seq: 1 }], [{ last_by_subj: "infer.completion.victim.secret" }], [{ next_by_subj: "infer.completion.victim.*", seq: 1 }], [{ multi_last: ["infer.completion.>"] }], [{ batch: 10, seq: 1 }]])("a direct get of one's own subject that asks for %j besides is a bad request", async (body) => {
  await complete("victim", `secret-${Object.keys(body).join("-")}`, "secret");
  const answer = await mallory.request("$JS.API.DIRECT.GET.COMPLETIONS.infer.completion.t1.answered", JSON.stringify(body));
  expect([answer.headers?.code, answer.string()]).toEqual([408, ""]);
});

test("traces of a message cannot be sent to where a tenant may not publish", async () => {
  const before = await stored();
  for (const dest of ["infer.completion.victim.trace", "$KV.infer-models.active", "_INBOX.victim.trace"]) {
    const traced = headers();
    traced.set("Nats-Trace-Dest", dest);
    mallory.publish("infer.request.t1.traced", "x", { headers: traced });
    if (isAtLeast(mallory.info?.version ?? "", "2.11")) await violations.refused("publish", dest);
  }
  await mallory.flush();
  expect({ ...(await stored()), REQUESTS: null }).toEqual({ ...before, REQUESTS: null });
});

test("nobody gets in without a seed, or with one that the server does not know", async () => {
  const stranger = new TextDecoder().decode(nkeys.createUser().getSeed());
  for (const nkeySeed of [undefined, stranger]) await expect(connectNats({ url: server.url, name: "stranger", nkeySeed })).rejects.toThrow(/Authorization Violation/);
});

test("after all that the victim is served as before, and has heard what is its own alone", async () => {
  expect(heard.filter((subject) => !subject.startsWith("infer.completion.victim.secret"))).toEqual([]);
  expect((await victim.request("infer.request.victim.mine", "content")).json()).toMatchObject({ stream: "REQUESTS" });
  await complete("victim", "mine", "outcome");
  expect((await victim.request("$JS.API.DIRECT.GET.COMPLETIONS.infer.completion.victim.mine")).string()).toBe("outcome");
  await until("the completion was not heard", () => heard.includes("infer.completion.victim.mine"));
  expect(gateway.isClosed()).toBe(false);
});

test("the server refuses a tenant more connections, subscriptions and bytes than its account has, and others go on", async () => {
  const { max_connections, max_subscriptions, max_payload } = TENANT_LIMITS;
  const made: NatsConnection[] = [];
  try {
    while (made.length < max_connections) made.push(...(await Promise.all(Array.from({ length: 4 }, () => server.connectTenant("greedy"))))); // few at once: each must prove itself in time
    const [first] = made;
    if (first === undefined) throw new Error("there is one");
    await expect(server.connectTenant("greedy")).rejects.toThrow(); // the client tries again until its time is over
    await made.pop()?.close();
    made.push(await server.connectTenant("greedy"));
    expect(first.info?.max_payload).toBe(max_payload);
    expect(() => { first.publish("infer.request.greedy.large", new Uint8Array(max_payload + 1)); }).toThrow(/max_payload/i);
    const refused = refusals(first);
    for (let i = 0; i <= max_subscriptions; i++) first.subscribe(`${inboxOf("greedy")}.${i}`, { callback: () => undefined });
    await until("one subscription more was not refused", () => refused.some((message) => /maximum subscriptions exceeded/i.test(message)));
    expect((await victim.request("infer.request.victim.beside", "content")).json()).toMatchObject({ stream: "REQUESTS" });
  } finally {
    await Promise.all(made.map((nats) => nats.close()));
  }
}, 30_000);

function refusals(nats: NatsConnection): string[] {
  const found: string[] = [];
  void (async () => {
    for await (const status of nats.status()) if (status.type === "error") found.push(status.error.message);
  })();
  return found;
}

/** Roles over NATS, against a real server with the configuration that `inferctl nats-users` makes: each is refused what is another's. That each can do its work shows infra/e2e/natsUsers.test.ts. */
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, test } from "vitest";

import { startTestServerWithUsers, type TestServerWithUsers } from "#infra/embedded/testNatsUsers.ts";
import { findDeadLetters } from "#shared/deadLetters/deadLetters.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { type RoleUser, roleUsers } from "#shared/messaging/permissions.ts";
import { openModelStore } from "#shared/messaging/modelStore.ts";
import { makeCompletionsReader } from "#shared/messaging/readCompletions.ts";
import { readSequences } from "#shared/messaging/readRange.ts";
import { inboxOf, type Source, sourcesOf } from "#shared/messaging/topology.ts";
import { ackFloorOf, standOf } from "#shared/reconcile/places.ts";

import { watchViolations } from "./testViolations.ts";

const TIERS = [{ name: "small", slots: 1 }, { name: "large", slots: 1 }];
const sources = sourcesOf("infer");
let server: TestServerWithUsers;
beforeAll(async () => { server = await startTestServerWithUsers(TIERS, []); });
afterAll(() => server.remove());

const withRole = async (role: RoleUser, use: (nats: NatsConnection) => Promise<void>) => {
  const nats = await server.connectRole(role);
  await use(nats).finally(() => nats.close());
};
const changesOf = (stream: string) => ["CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE"].map((verb) => `$JS.API.STREAM.${verb}.${stream}`);
const takes = (stream: string, durable: string) => [`$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`, `$JS.API.CONSUMER.DELETE.${stream}.${durable}`, `$JS.ACK.${stream}.${durable}.1.1.1.1.0`];
const NOBODYS = [...["REQUESTS", "JOBS", "RESULTS", "COMPLETIONS", "FEEDBACK", "DEAD_LETTERS", "KV_infer-models"].flatMap(changesOf), "$SYS.REQ.SERVER.PING", "_INBOX.admin.x", "$JS.API.STREAM.LIST", "infer.unknown.x"];
const requests = ["infer.request.t1.x", "infer.feedback.t1.x"], jobs = ["infer.job.small.t1.x.1", "infer.shadowjob.small.t1.x"], outcomes = ["infer.completion.t1.x", "infer.reply.direct.t1.x"];
const results = ["infer.result.t1.x.1", "infer.token.direct.t1.x"];
const models = ["$KV.infer-models.active", "$KV.infer-models.model.v1"];

/** Every subject that somebody of ours writes to. */
const LIVE = [
  ...requests, ...jobs, ...outcomes, ...results, ...models, "$KV.infer-models.floor.v1", "$KV.infer-tiers.small.x", "$KV.infer-sweeper.x", "infer.batchjob.small.t1.x.1", "infer.auditjob.small.t1.x", "infer.shadow.t1.x", "infer.shadow.t1.x.small",
  "infer.cancel.t1.x", "infer.breakerreset.small", "infer.admitter.x", "infer.load.x", "infer.deadletter.REQUESTS.t1", "infer.deadletter.COMPLETIONS.t1", "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.REQUESTS.router-requests",
];
const NOT_REPLAYS = [
  ...takes("COMPLETIONS", "sink-audit"), ...takes("COMPLETIONS", "sink-metrics"), ...takes("COMPLETIONS", "router-shadow"), ...takes("REQUESTS", "router-requests"), ...takes("JOBS", "worker-small"), "$JS.ACK.COMPLETIONS.replay-1.1.1.1.1.0",
  "$JS.API.CONSUMER.CREATE.COMPLETIONS.sink-audit", "$JS.API.CONSUMER.CREATE.COMPLETIONS.sink-audit.infer.completion.>", "$JS.API.CONSUMER.CREATE.COMPLETIONS.spy.infer.completion.>", "$JS.API.CONSUMER.DURABLE.CREATE.COMPLETIONS.replay-1", "$JS.API.CONSUMER.CREATE.REQUESTS.replay-1",
  ...["REQUESTS", "JOBS", "RESULTS", "SHADOWS", "SHADOW_JOBS", "FEEDBACK", "DEAD_LETTERS", "KV_infer-sweeper"].map((stream) => `$JS.API.STREAM.MSG.GET.${stream}`), "$JS.API.DIRECT.GET.REQUESTS", "$JS.API.CONSUMER.LIST.COMPLETIONS",
];
const REFUSED: [role: RoleUser, what: string, publishes: readonly string[]][] = [
  ["gateway", "cannot take or ack what it accepted", [...takes("REQUESTS", "router-requests"), ...takes("COMPLETIONS", "sink-audit"), ...jobs, ...results, "infer.deadletter.REQUESTS.t1", "infer.shadow.t1.x"]],
  ["gateway", "cannot make a consumer, write a bucket but for which model is active, or read what is no request of a caller", ["$JS.API.CONSUMER.CREATE.COMPLETIONS.spy", "$JS.API.CONSUMER.CREATE.REQUESTS.spy", "$KV.infer-models.model.v1", "$KV.infer-models.floor.v1", "$KV.infer-models.experiment.e1", "$KV.infer-tiers.small.x", "$JS.API.STREAM.MSG.GET.SHADOWS", "$JS.API.STREAM.MSG.GET.FEEDBACK"]],
  ["router", "cannot ask in a tenant's name, or say what workers say", [...requests, ...results, "infer.cancel.t1.x", "infer.shadow.t1.x.small"]],
  ["router", "cannot take jobs or audit events from those who handle them", [...takes("JOBS", "worker-small"), ...takes("SHADOW_JOBS", "shadow-worker-small"), "$JS.ACK.COMPLETIONS.sink-audit.1.1.1.1.0", "$JS.API.CONSUMER.DELETE.COMPLETIONS.sink-audit"]],
  ["router", "cannot activate a model, start an experiment, or say how a tier is", [...models, "$KV.infer-models.latest_experiment", "$KV.infer-tiers.small.x"]],
  ["worker-small", "cannot take or ack another tier's jobs, or write its state", [...takes("JOBS", "worker-large"), ...takes("SHADOW_JOBS", "shadow-worker-large"), "$KV.infer-tiers.large.x", "infer.shadow.t1.x.large"]],
  ["worker-small", "cannot ask, decide, cancel or read requests", [...requests, "infer.auditjob.small.t1.x", ...jobs.slice(0, 1), "infer.cancel.t1.x", ...takes("REQUESTS", "router-requests"), "$JS.API.STREAM.MSG.GET.REQUESTS", "$JS.API.STREAM.INFO.JOBS"]],
  ["worker-small", "cannot make a consumer, not even of its own jobs", ["$JS.API.CONSUMER.CREATE.JOBS.spy", "$JS.API.CONSUMER.CREATE.JOBS.worker-small", "$JS.API.CONSUMER.DURABLE.CREATE.JOBS.worker-small", ...models]],
  ["audit-sink", "writes nothing but dead letters of what it reads", [...requests, ...jobs, ...outcomes, ...results, "infer.deadletter.REQUESTS.t1", "infer.deadletter.JOBS.t1", ...models, "$KV.infer-tiers.small.x"]],
  ["audit-sink", "takes nothing from others, makes no consumer and reads no stored message but of what it writes down", [
    ...takes("COMPLETIONS", "sink-metrics"), ...takes("REQUESTS", "router-requests"), ...["COMPLETIONS", "SHADOWS", "DEAD_LETTERS"].map((stream) => `$JS.API.CONSUMER.CREATE.${stream}.spy`),
    ...["REQUESTS", "JOBS", "RESULTS", "SHADOW_JOBS", "FEEDBACK"].map((stream) => `$JS.API.STREAM.MSG.GET.${stream}`), "$JS.API.DIRECT.GET.COMPLETIONS", "$JS.API.DIRECT.GET.REQUESTS",
  ]],
  ["metrics-sink", "writes nothing but dead letters of what it reads", [...requests, ...jobs, ...outcomes, ...results, "infer.deadletter.FEEDBACK.t1", ...models]],
  ["metrics-sink", "takes nothing from others", [...takes("COMPLETIONS", "sink-audit"), ...takes("FEEDBACK", "sink-audit-feedback")]],
  ["console", "writes nothing", [...requests, ...jobs, ...outcomes, ...results, "infer.deadletter.REQUESTS.t1", "infer.breakerreset.small", "infer.cancel.t1.x", ...models, "$KV.infer-tiers.small.x"]],
  ["console", "takes nothing from others and reads no message of a request", [...takes("JOBS", "worker-small"), ...takes("COMPLETIONS", "sink-audit"), ...["REQUESTS", "JOBS", "RESULTS", "COMPLETIONS", "SHADOWS", "DEAD_LETTERS"].map((stream) => `$JS.API.STREAM.MSG.GET.${stream}`)]],
  ["replay", "writes to no live subject", LIVE],
  ["replay", "takes nothing from others, acks nothing, makes and removes no consumer but under its own names, and reads no stored message but outcomes and models", NOT_REPLAYS],
  ["replay-live", "writes nothing but requests", LIVE.filter((subject) => subject !== "infer.request.t1.x")],
  ["replay-live", "takes nothing from others, acks nothing, makes and removes no consumer but under its own names, and reads no stored message but requests, outcomes and models", NOT_REPLAYS.filter((subject) => subject !== "$JS.API.STREAM.MSG.GET.REQUESTS")],
  ["replay-shadow", "writes nothing but shadow jobs and labels without a call", LIVE.filter((subject) => !["infer.shadowjob.small.t1.x", "infer.shadow.t1.x"].includes(subject))],
  ["replay-shadow", "takes nothing from others, acks nothing, and makes and removes no consumer but under its own names", NOT_REPLAYS.filter((subject) => !/^\$JS\.API\.STREAM\.MSG\.GET\.(REQUESTS|RESULTS|SHADOWS|SHADOW_JOBS)$/.test(subject))],
  ["worker-small", "cannot have breakers reset", ["infer.breakerreset.small", "infer.breakerreset.large"]],
  ["admin", "writes no message of ours but requests, and acks none", ["infer.feedback.t1.x", "infer.deadletter.REQUESTS.t1", ...jobs, ...outcomes, ...results, "infer.cancel.t1.x", "$JS.ACK.REQUESTS.router-requests.1.1.1.1.0", "$KV.infer-tiers.small.x", "$SYS.REQ.SERVER.PING"]],
];
test.each(REFUSED)("%s %s", (role, _what, publishes) => withRole(role, async (nats) => {
  const violations = watchViolations(nats);
  for (const subject of publishes) nats.publish(subject, "x");
  for (const subject of publishes) await violations.refused("publish", subject);
}));

test.each(roleUsers(TIERS.map(({ name }) => name)).filter((role) => role !== "admin"))("%s changes no stream and reaches nobody's inbox", (role) => withRole(role, async (nats) => {
  const violations = watchViolations(nats);
  for (const subject of NOBODYS) nats.publish(subject, "x");
  for (const subject of NOBODYS) await violations.refused("publish", subject);
}));

test.each<[RoleUser, readonly string[], readonly Source[]]>([
  ["audit-sink", ["COMPLETIONS", "SHADOWS", "DEAD_LETTERS"], [sources.auditCompletions, sources.auditShadows, sources.auditDeadLetters]],
  ["router", ["REQUESTS", "COMPLETIONS"], [sources.auditCompletions]],
])("%s sees what it reconciles", (role, streams, durables) => withRole(role, async (nats) => {
  const places = await brokerOver(nats, "infer", undefined, inboxOf(role));
  for (const stream of streams) {
    expect(await standOf(places, stream)).toMatchObject({ lastSeq: 0 });
    expect(await readSequences(places.streams, stream, [1])).toEqual({ messages: [], gone: [1] });
    expect(await places.streams.last(stream, ">")).toBeNull();
  }
  for (const durable of durables) expect(await ackFloorOf(places, durable)).toBe(0);
}));

test.each<RoleUser>(["replay", "replay-live", "replay-shadow"])("%s reads COMPLETIONS and models, and leaves no consumer", (role) => withRole(role, async (nats) => {
  const gateway = await server.connectRole("gateway");
  const { acks } = await brokerOver(gateway, "infer", undefined, inboxOf("gateway"));
  await acks.publish(`infer.completion.t1.${role}`, new TextEncoder().encode(role));
  await acks.close();
  await gateway.close();
  const reader = await makeCompletionsReader(nats);
  const { firstSeq, lastSeq } = await reader.stand();
  const read: string[] = [];
  for await (const { messages, gone } of reader.read({ prefix: "infer", tenantId: null, from: firstSeq, to: lastSeq, signal: new AbortController().signal })) {
    expect(gone).toEqual([]);
    read.push(...messages.map(({ data }) => new TextDecoder().decode(data)));
  }
  expect(read).toHaveLength(lastSeq);
  expect(read.at(-1)).toBe(role);
  expect(await (await openModelStore(nats, "infer")).active()).toBeNull();
  await withRole("admin", async (admin) => {
    const { jsm } = await brokerOver(admin, "infer", undefined, inboxOf("admin"));
    const names: string[] = [];
    for await (const { name } of jsm.consumers.list("COMPLETIONS")) names.push(name);
    expect(names.filter((name) => name.startsWith("replay"))).toEqual([]);
  });
}));

test("replay-live asks in a tenant's name, hears what callers over NATS are answered, and reads requests", () => withRole("replay-live", async (nats) => {
  const { acks, streams } = await brokerOver(nats, "infer", undefined, inboxOf("replay-live"));
  const heard = new Promise<string>((resolve) => { nats.subscribe("infer.reply.direct.>", { callback: (_error, message) => { resolve(message.subject); } }); });
  await nats.flush();
  expect(await acks.publish("infer.request.t1.replay-run-x", new TextEncoder().encode("{}"))).toBe("stored");
  expect((await streams.last("REQUESTS", "infer.request.t1.replay-run-x"))?.string()).toBe("{}");
  await withRole("router", async (router) => {
    router.publish("infer.reply.direct.t1.replay-run-x", "{}");
    await router.flush();
  });
  expect(await heard).toBe("infer.reply.direct.t1.replay-run-x");
  await acks.close();
}));

test("replay-shadow publishes shadow jobs and labels, and reads what it makes them of", () => withRole("replay-shadow", async (nats) => {
  const { acks, streams } = await brokerOver(nats, "infer", undefined, inboxOf("replay-shadow"));
  for (const subject of ["infer.shadowjob.small.t1.replayed", "infer.shadow.t1.replayed"]) expect(await acks.publish(subject, new TextEncoder().encode("{}"))).toBe("stored");
  for (const stream of ["REQUESTS", "RESULTS"]) expect(await streams.last(stream, "infer.none.>")).toBeNull();
  for (const [stream, subject] of [["SHADOW_JOBS", "infer.shadowjob.small.t1.replayed"], ["SHADOWS", "infer.shadow.t1.replayed"]] as const) expect((await streams.last(stream, subject))?.string()).toBe("{}");
  await acks.close();
}));

test("admin sends the request of a dead letter again", () => withRole("admin", async (nats) => {
  const { acks, js } = await brokerOver(nats, "infer", undefined, inboxOf("admin"));
  expect(await acks.publish("infer.request.t1.dlq-1", new TextEncoder().encode("{}"))).toBe("stored");
  expect(await findDeadLetters({ js, prefix: "infer" }, {}, { handled: new Set(), most: 1 })).toMatchObject({ letters: [] });
  await acks.close();
}));

const EAVESDROPPING = [">", "_INBOX.>", "_INBOX.admin.>", "infer.>", "infer.request.>", "infer.job.>", "infer.completion.>", "infer.result.>", "$JS.>", "$JS.ACK.>", "$KV.>", "$SYS.>"];
test.each<[RoleUser, string[]]>([
  ["admin", ["infer.reply.>", "infer.token.>", "infer.cancel.>"]],
  ["gateway", ["infer.cancel.>"]],
  ["router", ["infer.reply.>", "infer.token.>", "infer.cancel.>"]],
  ["worker-small", ["infer.reply.>", "infer.token.>"]],
  ["audit-sink", ["infer.reply.>", "infer.token.>", "infer.cancel.>"]],
  ["metrics-sink", ["infer.reply.>", "infer.token.>", "infer.cancel.>"]],
  ["console", ["infer.reply.>", "infer.token.>", "infer.cancel.>", "infer.breakerreset.>"]],
  ["replay", ["infer.reply.>", "infer.token.>", "infer.cancel.>"]],
  ["replay-live", ["infer.reply.>", "infer.token.>", "infer.cancel.>"]],
  ["replay-shadow", ["infer.reply.>", "infer.token.>", "infer.cancel.>"]],
])("%s listens to nothing but its own inbox and the core subjects it is for", (role, more) => withRole(role, async (nats) => {
  const violations = watchViolations(nats);
  const subjects = [...EAVESDROPPING, ...more].filter((subject) => subject !== `_INBOX.${role}.>`);
  for (const subject of subjects) nats.subscribe(subject, { callback: () => undefined });
  for (const subject of subjects) await violations.refused("subscription", subject);
}));


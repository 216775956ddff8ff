/**
 * What each user of the server may publish and listen to: allow-lists only, and nothing that the role or tenant does not use
 * (ADR 0016). The server's configuration is made from it (infra/nats/serverUsers.ts). Pure.
 *
 * Roles share an account, tenants have one each: the server answers on whatever reply subject it is given, also one that
 * the asker may not publish to, so a list alone would not keep tenants apart.
 */
import { DIRECT_ORIGIN } from "#shared/contracts/ids.ts";

import {
  admittersOf, anyIdOf, anyReply, anyToken, batchWorkerSource, breakerResetSubject, cacheAuditJobSubject, cancelsTo, cancelSubject, completionSubject, deadLetterSubject, feedbackSubject, inboxOf, jetStreamApi as api, keyIn, loadsOf,
  modelBucket, replySubject, repliesTo, requestSubject, resultSubject, shadowJobSubject, shadowSource, shadowSubject, shadowTierSubject, shadowWorkerSource, REPLAY_READERS, sinkSourcesOf, type Source, sourcesOf, streamNamesOf, streamOfBucket, subjectsOf,
  stepSubjects, sweeperBucket, tierBucket, tokenSubject, tokensTo, workerSource,
} from "./topology.ts";

/** `admin`: whoever makes streams, as `inferctl` does. `replay` and those named after it: `inferctl replay` and `export`. A worker is of one tier. */
export type RoleUser = "admin" | "gateway" | "router" | "audit-sink" | "metrics-sink" | "console" | (typeof COMMAND_USERS)[number] | `worker-${string}`;
/** Of commands: no process that runs all the time has them. */
export const COMMAND_USERS = ["replay", "replay-live", "replay-shadow"] as const;
export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}
export interface PermissionOptions {
  readonly prefix: string;
  /** Tiers and embedders: each has a worker. */
  readonly tiers: readonly string[];
}

export const roleUsers = (tiers: readonly string[]): RoleUser[] => ["admin", "gateway", "router", ...tiers.map((tier) => `worker-${tier}` as const), "audit-sink", "metrics-sink", "console", ...COMMAND_USERS];

export function rolePermissions(role: RoleUser, { prefix, tiers }: PermissionOptions): Permissions {
  const own = listsOf(role, prefix, tiers);
  const everybody = [api.account, ...[tierBucket, sweeperBucket, modelBucket].map((bucket) => api.streamInfo(streamOfBucket(bucket(prefix).name)))];
  return { publish: [...new Set([...everybody, ...own.publish])], subscribe: [`${inboxOf(role)}.>`, ...own.subscribe] };
}

function listsOf(role: RoleUser, prefix: string, tiers: readonly string[]): Permissions {
  const sources = sourcesOf(prefix);
  switch (role) {
    case "admin": return adminLists(prefix);
    case "gateway": return gatewayLists(prefix);
    case "router": return routerLists(prefix, tiers);
    case "audit-sink": return auditSinkLists(prefix);
    case "metrics-sink": return sinkLists(prefix, [sources.metricsCompletions]);
    case "console": return consoleLists(prefix, tiers);
    case "replay": return replayLists(prefix);
    case "replay-live": return replayLiveLists(prefix);
    case "replay-shadow": return replayShadowLists(prefix);
    default: return workerLists(prefix, role.slice("worker-".length));
  }
}

const ANY = anyIdOf("*");
const reads = ({ stream, durable }: Source): string[] => [api.consumerInfo(stream, durable), api.next(stream, durable), api.ack(stream, durable)];
const anyDeadLetterOf = (prefix: string, stream: string): string => deadLetterSubject(prefix, stream, "*");

/** Makes and changes streams, consumers and buckets, keeps routing models, and sends the requests of dead letters again. Writes no other message of ours. */
const adminLists = (prefix: string): Permissions => {
  const { name } = modelBucket(prefix);
  return { publish: [api.everything, requestSubject(prefix, ANY), keyIn(name, ">"), api.flowControl(streamOfBucket(name))], subscribe: [] };
};

const gatewayLists = (prefix: string): Permissions => ({
  publish: [
    requestSubject(prefix, ANY), feedbackSubject(prefix, ANY), cancelSubject(prefix, ANY), admittersOf(prefix),
    completionSubject(prefix, ANY), replySubject(prefix, "*", ANY), api.message(streamOfBucket(modelBucket(prefix).name)), // kept answers, and whether they are still of the active model
    cacheAuditJobSubject(prefix, "*", ANY), api.message("SHADOW_JOBS"),
    ...["REQUESTS", "COMPLETIONS"].flatMap((stream) => [api.message(stream), api.streamInfo(stream)]),
    ...["JOBS", "RESULTS"].map(api.message), // the steps of a request, for whoever follows it
    api.consumerInfo("REQUESTS", sourcesOf(prefix).routerRequests.durable),
    // For whoever administrates: which routing model is active, what became of dead letters, and that a breaker tries again.
    keyIn(modelBucket(prefix).name, "active"), api.message("DEAD_LETTERS"), api.streamInfo("DEAD_LETTERS"), breakerResetSubject(prefix, "*"),
  ],
  subscribe: [anyReply(prefix), anyToken(prefix), admittersOf(prefix), loadsOf(prefix), ...stepSubjects(prefix, ANY)],
});

function routerLists(prefix: string, tiers: readonly string[]): Permissions {
  const { routerRequests, routerResults, routerFloor, routerFloorFeedback, deadLetterService } = sourcesOf(prefix);
  const shadows = shadowSource(prefix);
  const [tierKeys, sweeper, models] = [tierBucket(prefix).name, sweeperBucket(prefix).name, modelBucket(prefix).name];
  const followed = { REQUESTS: requestSubject(prefix, ANY), COMPLETIONS: completionSubject(prefix, ANY) };
  return {
    publish: [
      ...subjectsOf(prefix, "JOBS"), ...subjectsOf(prefix, "SHADOW_JOBS"), admittersOf(prefix), loadsOf(prefix), completionSubject(prefix, ANY), replySubject(prefix, "*", ANY), shadowSubject(prefix, ANY), anyDeadLetterOf(prefix, "*"),
      ...[routerRequests, routerResults, routerFloor, routerFloorFeedback, deadLetterService, shadows].flatMap(reads),
      api.makeConsumer(shadows.stream, shadows.durable, shadows.filter),
      ...tiers.flatMap((name) => [workerSource, batchWorkerSource, shadowWorkerSource].map((source) => source(prefix, { name, slots: 1 }))).map(({ stream, durable }) => api.consumerInfo(stream, durable)), // how long the queues are
      ...["REQUESTS", "JOBS", "RESULTS", "COMPLETIONS", "FEEDBACK", "SHADOW_JOBS", "SHADOWS", "DEAD_LETTERS"].map(api.message),
      ...streamNamesOf(prefix).map(api.streamInfo), // how full they are
      ...sinkSourcesOf(prefix).map(({ stream, durable }) => api.consumerInfo(stream, durable)), // how far behind they are; and the ledger is loaded from what the audit does not hold yet
      // The sweeper reads the two streams from a place of its own.
      ...Object.entries(followed).flatMap(([stream, subject]) => [api.streamInfo(stream), ...ephemerals(stream, subject), api.makeConsumer(stream, "*")]),
      ...ephemerals(streamOfBucket(tierKeys), keyIn(tierKeys, ">")), api.flowControl(streamOfBucket(tierKeys)), keyIn(sweeper, ">"), ...["floor.>", "experiment.>", "tiers.*"].map((keys) => keyIn(models, keys)),
      ...[tierKeys, sweeper, models].map((bucket) => api.message(streamOfBucket(bucket))),
    ],
    subscribe: [admittersOf(prefix)],
  };
}

/** Consumers under names that the client draws. No delete: it would reach durables of others, and they end by themselves. */
const ephemerals = (stream: string, filter: string): string[] => [api.makeConsumer(stream, "*", filter), api.consumerInfo(stream, "*"), api.next(stream, "*")];

function workerLists(prefix: string, tier: string): Permissions {
  const sources = [workerSource(prefix, { name: tier, slots: 1 }), batchWorkerSource(prefix, { name: tier, slots: 1 }), shadowWorkerSource(prefix, { name: tier })];
  return {
    publish: [
      resultSubject(prefix, ANY, "*"), completionSubject(prefix, ANY), replySubject(prefix, "*", ANY), tokenSubject(prefix, "*", ANY),
      shadowJobSubject(prefix, "*", ANY), shadowSubject(prefix, ANY), shadowTierSubject(prefix, ANY, tier), ...new Set(sources.map(({ stream }) => anyDeadLetterOf(prefix, stream))),
      ...sources.flatMap(reads),
      ...["RESULTS", "COMPLETIONS", "SHADOW_JOBS", "SHADOWS"].map(api.message),
      keyIn(tierBucket(prefix).name, `${tier}.*`),
    ],
    subscribe: [cancelsTo(prefix), breakerResetSubject(prefix, tier)],
  };
}

const sinkLists = (prefix: string, sources: readonly Source[]): Permissions => ({
  publish: [...sources.flatMap(reads), ...new Set(sources.map(({ stream }) => anyDeadLetterOf(prefix, stream)))],
  subscribe: [],
});

/** It looks again at what it has written into Postgres, message by message: that takes none from anybody, and REQUESTS, where prompts are, is not among it. */
function auditSinkLists(prefix: string): Permissions {
  const { auditCompletions, auditShadows, auditFeedback, auditDeadLetters } = sourcesOf(prefix);
  const { publish, subscribe } = sinkLists(prefix, [auditCompletions, auditShadows, auditFeedback, auditDeadLetters]);
  const reconciled = [auditCompletions, auditShadows, auditDeadLetters].flatMap(({ stream }) => [api.message(stream), api.streamInfo(stream)]);
  return { publish: [...publish, ...reconciled], subscribe };
}

/** It looks and writes nothing: the state of tiers, how long queues are, which routing model is active, and how many dead letters there are. */
function consoleLists(prefix: string, tiers: readonly string[]): Permissions {
  const [tierKeys, models] = [tierBucket(prefix).name, modelBucket(prefix).name];
  return {
    publish: [
      ...tiers.flatMap((name) => [workerSource, batchWorkerSource].map((source) => source(prefix, { name, slots: 1 }))).map(({ stream, durable }) => api.consumerInfo(stream, durable)),
      ...ephemerals(streamOfBucket(tierKeys), keyIn(tierKeys, ">")), api.flowControl(streamOfBucket(tierKeys)), ...[tierKeys, models].map((bucket) => api.message(streamOfBucket(bucket))),
      api.streamInfo("DEAD_LETTERS"),
    ],
    subscribe: [loadsOf(prefix)],
  };
}

/** It reads what has ended and the routing models that it was decided with, and writes nothing: consumers under names of its own alone, so none of others. */
function replayLists(prefix: string): Permissions {
  const { stream, filter } = sourcesOf(prefix).auditCompletions;
  const own = REPLAY_READERS.flatMap((name) => [api.makeConsumer(stream, name, filter), api.consumerInfo(stream, name), api.next(stream, name), api.removeConsumer(stream, name)]);
  return { publish: [api.streamInfo(stream), api.message(stream), ...own, api.message(streamOfBucket(modelBucket(prefix).name))], subscribe: [] };
}

/** For `--mode live`: asks as a caller does, in any tenant's name, hears what such callers are answered, and reads what was asked for as long as REQUESTS has it. */
function replayLiveLists(prefix: string): Permissions {
  const { publish, subscribe } = replayLists(prefix);
  return { publish: [...publish, requestSubject(prefix, ANY), api.message("REQUESTS")], subscribe: [...subscribe, repliesTo(prefix, DIRECT_ORIGIN)] };
}

/** For `--mode shadow`: has requests that have ended asked again, apart from everybody's, and writes the label of those that need no call. */
function replayShadowLists(prefix: string): Permissions {
  const { publish, subscribe } = replayLists(prefix);
  return { publish: [...publish, shadowJobSubject(prefix, "*", ANY), shadowSubject(prefix, ANY), ...["REQUESTS", "RESULTS", "SHADOW_JOBS", "SHADOWS"].map(api.message)], subscribe };
}

/** What crosses between the services' account and a tenant's own; with `*` for the tenant, what the services offer at all. */
export interface Crossing {
  /** Asked by the tenant, answered by the services' streams. */
  readonly services: readonly string[];
  /** Heard by the tenant. */
  readonly streams: readonly string[];
}
export const tenantCrossing = (prefix: string, tenantId: string): Crossing => {
  const ids = anyIdOf(tenantId);
  const completions = completionSubject(prefix, ids);
  return {
    services: [requestSubject(prefix, ids), feedbackSubject(prefix, ids), api.lastMessage("COMPLETIONS", completions)],
    streams: [completions, repliesTo(prefix, `${DIRECT_ORIGIN}.${tenantId}`), tokensTo(prefix, `${DIRECT_ORIGIN}.${tenantId}`)],
  };
};

export function tenantPermissions(prefix: string, tenantId: string): Permissions {
  const { services, streams } = tenantCrossing(prefix, tenantId);
  return { publish: services, subscribe: [`${inboxOf(tenantId)}.>`, ...streams] };
}

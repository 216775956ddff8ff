/** Every stream, subject, durable and bucket name. No other file spells one; `docs/architecture.md` says why they are so. */
import { AckPolicy, type ConsumerConfig, DeliverPolicy, DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";

import { RequestId, TenantId } from "#shared/contracts/ids.ts";
import type { OnceMessage } from "#shared/contracts/shadow.ts";
import { batchSlotsOf } from "#shared/contracts/tiers.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MIB = 1024 ** 2;

/** Ids that were checked by their schemas, so no token can hold a dot or a wildcard. */
export interface Id {
  readonly tenant_id: string;
  readonly request_id: string;
}
/** As in subjects; also a key for maps. */
export const tokens = ({ tenant_id, request_id }: Id): string => `${tenant_id}.${request_id}`;
/** Of what `tokens` made: no id has a dot. */
export function idOfTokens(made: string): Id {
  const [tenant_id = "", request_id = ""] = made.split(".");
  return { tenant_id, request_id };
}

export const requestSubject = (prefix: string, id: Id): string => `${prefix}.request.${tokens(id)}`;
export const completionSubject = (prefix: string, id: Id): string => `${prefix}.completion.${tokens(id)}`;
export const resultSubject = (prefix: string, id: Id, attempt: number | "*"): string => `${prefix}.result.${tokens(id)}.${attempt}`;
/** Of a tier's jobs: one lane for requests that somebody waits for, one for batches. */
const LANES = { interactive: "job", batch: "batchjob" } as const;
export type Lane = keyof typeof LANES;
/** In JOBS: a job of this attempt, whatever its lane and tier. */
export const anyJob = (prefix: string, id: Id, attempt: number | "*", tier = "*"): string => `${prefix}.*.${tier}.${tokens(id)}.${attempt}`;
export const subjectOfAttempt = (prefix: string, tier: string, id: Id, attempt: number, lane: Lane = "interactive"): string => `${prefix}.${LANES[lane]}.${tier}.${tokens(id)}.${attempt}`;
/** What a request's way leaves on it, while it happens: jobs and results of every attempt. */
export const stepSubjects = (prefix: string, id: Id): readonly string[] => [...Object.values(LANES).map((lane) => `${prefix}.${lane}.*.${tokens(id)}.*`), resultSubject(prefix, id, "*")];
export const shadowJobSubject = (prefix: string, tier: string, id: Id): string => `${prefix}.shadowjob.${tier}.${tokens(id)}`;
/** Beside them under a name of its own: a gateway may write it, and no shadow jobs, from which labels come. */
export const cacheAuditJobSubject = (prefix: string, tier: string, id: Id): string => `${prefix}.auditjob.${tier}.${tokens(id)}`;
/** The label of a request. */
export const shadowSubject = (prefix: string, id: Id): string => `${prefix}.shadow.${tokens(id)}`;
/** How one tier did on it that was asked afterwards; and of a hit of the semantic cache, which has no label, what its audit says. */
export const shadowTierSubject = (prefix: string, id: Id, tier: string): string => `${shadowSubject(prefix, id)}.${tier}`;
export const feedbackSubject = (prefix: string, id: Id): string => `${prefix}.feedback.${tokens(id)}`;
/** The completion of this id under whatever tenant: for callers that were never asked for a tenant. */
export const completionOfAnyTenant = (prefix: string, requestId: string): string => `${prefix}.completion.*.${requestId}`;
export const requestOfAnyTenant = (prefix: string, requestId: string): string => `${prefix}.request.*.${requestId}`;
/** Core subject, no stream. Sent by services only, and only after the completion is durable. */
export const replySubject = (prefix: string, origin: string, id: Id): string => `${prefix}.reply.${origin}.${tokens(id)}`;
export const repliesTo = (prefix: string, origin: string): string => `${prefix}.reply.${origin}.>`;
/** Core subjects, no stream. Pieces of an answer that will be the outcome; written by services only. */
export const tokenSubject = (prefix: string, origin: string, id: Id): string => `${prefix}.token.${origin}.${tokens(id)}`;
export const tokensTo = (prefix: string, origin: string): string => `${prefix}.token.${origin}.>`;
/** Core subjects, no stream. Nobody waits for the outcome any more; written by services only. */
export const cancelSubject = (prefix: string, id: Id): string => `${prefix}.cancel.${tokens(id)}`;
export const cancelsTo = (prefix: string): string => `${prefix}.cancel.>`;
/** Core subjects, no stream. To the workers of a tier: its breaker is to let its trial call through now. */
export const breakerResetSubject = (prefix: string, tier: string): string => `${prefix}.breakerreset.${tier}`;
/** Core subjects, no stream. A process that decides about rate limits says that it is there. */
export const admitterSubject = (prefix: string, instance: string): string => `${prefix}.admitter.${instance}`;
export const admittersOf = (prefix: string): string => `${prefix}.admitter.*`;
/** Core subjects, no stream. What a router knows of open requests and of how fast they end. */
export const loadSubject = (prefix: string, instance: string): string => `${prefix}.load.${instance}`;
export const loadsOf = (prefix: string): string => `${prefix}.load.*`;
export const deadLetterSubject = (prefix: string, stream: string, tenantId: string | null): string => `${prefix}.deadletter.${stream}.${tenantId ?? "unknown"}`;

export function subjectOf(prefix: string, event: OnceMessage): string {
  switch (event.type) {
    case "job.v1": return subjectOfAttempt(prefix, event.tier, event, event.attempt, event.request.priority);
    case "result.v1": return resultSubject(prefix, event, event.attempt);
    case "completion.v1": return completionSubject(prefix, event);
    case "shadow_job.v1": return shadowJobSubject(prefix, event.tier, event);
    case "cache_audit_job.v1": return cacheAuditJobSubject(prefix, event.tier, event);
    case "shadow.v1": return shadowSubject(prefix, event);
    case "shadow_tier.v1":
    case "cache_audit.v1": return shadowTierSubject(prefix, event, event.tier);
  }
}

const ID_POSITION: Record<string, number> = { request: 2, completion: 2, feedback: 2, shadow: 2, result: 2, cancel: 2, reply: 3, token: 3, job: 3, batchjob: 3, shadowjob: 3, auditjob: 3 };
/** Tokens that may follow the id: an attempt, and a shadow's tier. */
const TOKENS_AFTER: Record<string, readonly number[]> = { job: [1], batchjob: [1], result: [1], shadow: [0, 1] };
/** Tenant and request id of a subject, or `null` when they are not valid ids: `infer.request.t1.*` can be stored literally. */
export function idOf(prefix: string, subject: string): Id | null {
  if (!subject.startsWith(`${prefix}.`)) return null;
  const parts = subject.slice(prefix.length + 1).split(".");
  const at = ID_POSITION[parts[0] ?? ""];
  if (at === undefined) return null;
  const tenant = TenantId.safeParse(parts[at - 1]);
  const request = RequestId.safeParse(parts[at]);
  const after = parts.length - (at + 1);
  if (!tenant.success || !request.success || !(TOKENS_AFTER[parts[0] ?? ""] ?? [0]).includes(after)) return null;
  return { tenant_id: tenant.data, request_id: request.data };
}

const ID = "{tenant}.{request}";
const TEMPLATES: Partial<Record<string, string>> = { request: ID, completion: ID, feedback: ID, shadow: ID, result: `${ID}.{attempt}`, job: `{tier}.${ID}.{attempt}`, batchjob: `{tier}.${ID}.{attempt}`, shadowjob: `{tier}.${ID}`, auditjob: `{tier}.${ID}`, deadletter: "{stream}.{tenant}" };
/** A stream's subject with the names of its tokens in place of what they are: of which there are few, for names of spans. */
export function templateOf(prefix: string, subject: string): string {
  const [, kind = "", ...rest] = subject.split(".");
  const template = Object.hasOwn(TEMPLATES, kind) ? TEMPLATES[kind] : undefined;
  if (!subject.startsWith(`${prefix}.`) || template === undefined) return "(other)";
  return `${prefix}.${kind}.${template}${kind === "shadow" && rest.length > 2 ? ".{tier}" : ""}`;
}

export const STREAM_OF = { "job.v1": "JOBS", "result.v1": "RESULTS", "completion.v1": "COMPLETIONS", "shadow_job.v1": "SHADOW_JOBS", "cache_audit_job.v1": "SHADOW_JOBS", "shadow.v1": "SHADOWS", "shadow_tier.v1": "SHADOWS", "cache_audit.v1": "SHADOWS" } as const;
/** The longest deadline must fit well inside: what ages out here unanswered could not be closed any more. */
export const REQUESTS_MAX_AGE_MS = HOUR_MS;
/** Past the longest deadline that can be set (`INFER_MAX_DEADLINE_MS`, 30 min) and the sweep after it nobody works on a job or reads it any more; every minute more is room that carries no request. */
const JOBS_MAX_AGE_MS = 40 * 60_000;

/** Servers that hold a copy of each message. */
export type Replicas = 1 | 3 | 5;

const stream = (name: string, subject: string, maxAgeMs: number, maxBytes: number) =>
  ({
    name,
    subjects: [subject],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.New, // a full stream refuses; it never drops what it has acknowledged
    max_age: nanos(maxAgeMs),
    max_bytes: maxBytes, // always: one unbounded stream can stop all others
    deny_delete: true,
    deny_purge: true,
  }) satisfies Partial<StreamConfig>;

/** The first message on a subject is the only one for as long as it is kept, also after a crash. */
const FIRST_WINS = { max_msgs_per_subject: 1, discard_new_per_subject: true };
const advisory = (kind: string) => `$JS.EVENT.ADVISORY.CONSUMER.${kind}.>`;

export type StreamSpec = ReturnType<typeof stream> & Partial<StreamConfig> & { readonly num_replicas: Replicas };
export interface StreamOptions {
  /** Default 1. */
  readonly replicas?: Replicas | undefined;
  /** What all streams together may hold, in GiB. */
  readonly gib?: number | undefined;
}
/** What all streams together may hold where nobody says otherwise. */
export const STREAMS_GIB = 12;
export const streamsOf = (prefix: string, completionsMaxAgeMs: number, { replicas = 1, gib = STREAMS_GIB }: StreamOptions = {}): StreamSpec[] =>
  specsOf(prefix, completionsMaxAgeMs, gib).map((spec) => ({ ...spec, num_replicas: replicas }));
/**
 * Each has its share of the room, by what a request leaves in it and for how long (docs/operations.md, "Room for streams").
 */
function specsOf(prefix: string, completionsMaxAgeMs: number, gib: number): Omit<StreamSpec, "num_replicas">[] {
  const share = (percent: number) => Math.floor((gib * 1_024 * percent) / 100) * MIB;
  return [
    { ...stream("REQUESTS", `${prefix}.request.*.*`, REQUESTS_MAX_AGE_MS, share(13)), ...FIRST_WINS, allow_direct: true },
    { ...stream("JOBS", `${prefix}.job.*.*.*.*`, JOBS_MAX_AGE_MS, share(24)), ...FIRST_WINS, subjects: Object.values(LANES).map((lane) => `${prefix}.${lane}.*.*.*.*`) },
    { ...stream("RESULTS", `${prefix}.result.*.*.*`, JOBS_MAX_AGE_MS, share(10)), ...FIRST_WINS },
    { ...stream("COMPLETIONS", `${prefix}.completion.*.*`, completionsMaxAgeMs, share(42)), ...FIRST_WINS, allow_direct: true },
    /** Several messages per subject: each source has its say, and may change its mind. */
    stream("FEEDBACK", `${prefix}.feedback.*.*`, 30 * DAY_MS, share(4)),
    // Streams of their own, so that what nobody waits for takes no room from what somebody does.
    { ...stream("SHADOW_JOBS", `${prefix}.shadowjob.*.*.*`, 2 * HOUR_MS, share(2)), ...FIRST_WINS, subjects: [`${prefix}.shadowjob.*.*.*`, `${prefix}.auditjob.*.*.*`] },
    { ...stream("SHADOWS", `${prefix}.shadow.*.*`, 7 * DAY_MS, share(4)), ...FIRST_WINS, subjects: [`${prefix}.shadow.*.*`, `${prefix}.shadow.*.*.*`] },
    stream("DEAD_LETTERS", `${prefix}.deadletter.*.*`, 30 * DAY_MS, 64 * MIB),
    { ...stream("ADVISORIES", "", 30 * DAY_MS, 16 * MIB), subjects: ["MAX_DELIVERIES", "MSG_TERMINATED"].map(advisory) },
  ];
}
/** Those that a request cannot do without: where one of them is full, it would be accepted and could not end well. */
export const CARRYING_STREAMS: readonly string[] = ["REQUESTS", "JOBS", "RESULTS", "COMPLETIONS"];
/** Of everything that is stored now, by when the last of it has aged out. */
export const longestMaxAgeMs = (prefix: string, completionsMaxAgeMs: number): number => Math.max(...streamsOf(prefix, completionsMaxAgeMs).map(({ max_age }) => max_age)) / 1e6;
export const streamNamesOf = (prefix: string): readonly string[] => streamsOf(prefix, 0).map(({ name }) => name);
/** Streams whose messages are a request on its way: the dead-letter service ends it. */
export const CUSTODY_STREAMS: readonly string[] = ["REQUESTS", "JOBS", "RESULTS"];
/** Durables that read about requests which have ended: the dead-letter service keeps what they could not take, and ends nothing. */
export const isShadowDurable = (durable: string): boolean => durable === SHADOW_DURABLE || durable.startsWith(SHADOW_WORKER);
const SHADOW_DURABLE = "router-shadow";
const SHADOW_WORKER = "shadow-worker-";

/** Where a loop reads. */
export interface Source {
  readonly stream: string;
  readonly durable: string;
  readonly filter: string;
  /** Longest silence of a handler, without an ack or `working()`. */
  readonly ackWaitMs: number;
  /** -1: no limit. */
  readonly maxDeliver: number;
  /** Unacked messages over all processes: the only bound on what `consume` hands to the client. */
  readonly maxAckPending: number;
  /** The consumer begins with what is stored after it was made, and is gone once nobody has read for this long. */
  readonly onlyNewWithinMs?: number;
}
export interface TierSlots {
  readonly name: string;
  readonly slots: number;
  readonly batch_slots?: number | undefined;
}

const source = (stream: string, durable: string, filter: string): Source => ({ stream, durable, filter, ackWaitMs: 15_000, maxDeliver: 4, maxAckPending: 1_000 });

/** One consumer per tier, never one for all: a stuck tier must not hold the others back. `maxAckPending` leaves room for several processes. */
export const workerSource = (prefix: string, { name, slots }: TierSlots): Source =>
  ({ ...source("JOBS", `worker-${name}`, `${prefix}.${LANES.interactive}.${name}.>`), maxAckPending: Math.max(64, 16 * slots) });

/** Beside it, so that however many jobs wait here, none of them stands before one that somebody waits for. */
export const batchWorkerSource = (prefix: string, tier: TierSlots): Source =>
  ({ ...source("JOBS", `batch-worker-${tier.name}`, `${prefix}.${LANES.batch}.${tier.name}.>`), maxAckPending: Math.max(64, 16 * batchSlotsOf(tier)) });

/**
 * A job that kills its worker, which has requests to answer, kills it twice at most. Off the critical path: one slot per
 * process, so there is never much unacked.
 */
export const shadowWorkerSource = (prefix: string, { name }: Pick<TierSlots, "name">): Source =>
  ({ ...source("SHADOW_JOBS", `${SHADOW_WORKER}${name}`, `${prefix}.*.${name}.>`), maxDeliver: 2, maxAckPending: 64 });

/**
 * Made by the router itself when it samples: while nobody does, no backlog grows whose inputs REQUESTS has forgotten, and
 * none is read when somebody begins to.
 */
export const shadowSource = (prefix: string): Source =>
  ({ ...source("COMPLETIONS", SHADOW_DURABLE, `${prefix}.completion.>`), maxAckPending: 256, onlyNewWithinMs: REQUESTS_MAX_AGE_MS });

/** Filters end in `>`: with `*.*` the broker would never deliver what was stored under a literal `>`. The floor's labels alone do without. */
export const sourcesOf = (prefix: string) => ({
  /** Room for what waits for a budget, in several routers. */
  routerRequests: { ...source("REQUESTS", "router-requests", `${prefix}.request.>`), maxAckPending: 4_000 },
  routerResults: { ...source("RESULTS", "router-results", `${prefix}.result.>`), maxAckPending: 4_000 },
  /** One at a time over all routers: the test of the floor takes its margins in their order. */
  routerFloor: { ...source("SHADOWS", "router-floor", `${prefix}.shadow.*.*`), maxAckPending: 1 },
  routerFloorFeedback: { ...source("FEEDBACK", "router-floor-feedback", `${prefix}.feedback.>`), maxAckPending: 1 },
  deadLetterService: { ...source("ADVISORIES", "dead-letter-service", advisory("MAX_DELIVERIES")), maxDeliver: -1 },
  /** Unlimited deliveries: a sink halves a refused batch until the bad row is alone. */
  auditCompletions: { ...source("COMPLETIONS", "sink-audit", `${prefix}.completion.>`), maxDeliver: -1 },
  auditShadows: { ...source("SHADOWS", "sink-audit-shadows", `${prefix}.shadow.>`), maxDeliver: -1 },
  auditFeedback: { ...source("FEEDBACK", "sink-audit-feedback", `${prefix}.feedback.>`), maxDeliver: -1 },
  /** What was paid and came too late. */
  auditDeadLetters: { ...source("DEAD_LETTERS", "sink-audit-dead-letters", `${prefix}.deadletter.>`), maxDeliver: -1 },
  metricsCompletions: { ...source("COMPLETIONS", "sink-metrics", `${prefix}.completion.>`), maxDeliver: -1, maxAckPending: 2_000 },
});

/** Of whoever writes what it reads into something else. */
export function sinkSourcesOf(prefix: string): readonly Source[] {
  const { auditCompletions, auditShadows, auditFeedback, auditDeadLetters, metricsCompletions } = sourcesOf(prefix);
  return [auditCompletions, auditShadows, auditFeedback, auditDeadLetters, metricsCompletions];
}

/** Of routers and workers. */
export function handlerSourcesOf(prefix: string, tiers: readonly TierSlots[]): readonly Source[] {
  const { routerRequests, routerResults, routerFloor, routerFloorFeedback, deadLetterService } = sourcesOf(prefix);
  return [routerRequests, routerResults, routerFloor, routerFloorFeedback, deadLetterService, ...tiers.flatMap((tier) => [workerSource(prefix, tier), batchWorkerSource(prefix, tier), shadowWorkerSource(prefix, tier)])];
}

export const consumerOf = (s: Source) =>
  ({
    durable_name: s.durable,
    filter_subject: s.filter,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(s.ackWaitMs),
    max_deliver: s.maxDeliver,
    max_ack_pending: s.maxAckPending,
    ...(s.onlyNewWithinMs === undefined ? {} : { deliver_policy: DeliverPolicy.New, inactive_threshold: nanos(s.onlyNewWithinMs) }),
  }) satisfies Partial<ConsumerConfig>;

/** Names of the consumers of COMPLETIONS that `replay` makes for itself, one for each that reads at the same time: no right reaches a consumer of another name. */
export const REPLAY_READERS: readonly string[] = Array.from({ length: 8 }, (_, i) => `replay-${i + 1}`);

/** Live state of tiers; a key that is not written again within `ttlMs` is gone, as its worker is. */
export const tierBucket = (prefix: string) => ({ name: `${prefix}-tiers`, ttlMs: 15_000 });
export const sweeperBucket = (prefix: string) => ({ name: `${prefix}-sweeper` });
/** Routing models by version, which of them is active, and the guards of their floors. */
export const modelBucket = (prefix: string) => ({ name: `${prefix}-models` });
export const streamOfBucket = (bucket: string): string => `KV_${bucket}`;

/** The ids of all requests, of one tenant or of any: for permissions. */
export const anyIdOf = (tenantId: string): Id => ({ tenant_id: tenantId, request_id: "*" });
export const subjectsOf = (prefix: string, stream: string): readonly string[] => streamsOf(prefix, 0).find(({ name }) => name === stream)?.subjects ?? [];
/** A gateway's, as `anyIdOf("*")` at any origin is. */
export const anyReply = (prefix: string): string => `${prefix}.reply.*.>`;
export const anyToken = (prefix: string): string => `${prefix}.token.*.>`;
/** Where the server's answers to a user's own requests go. Nobody else may listen there. */
export const inboxOf = (user: string): string => `_INBOX.${user}`;
export const keyIn = (bucket: string, key: string): string => `$KV.${bucket}.${key}`;
/** The server's own subjects, for permissions: what may be asked of JetStream. `*` stands for any consumer. */
export const jetStreamApi = {
  everything: "$JS.API.>",
  account: "$JS.API.INFO",
  streamInfo: (stream: string) => `$JS.API.STREAM.INFO.${stream}`,
  message: (stream: string) => `$JS.API.STREAM.MSG.GET.${stream}`,
  lastMessage: (stream: string, subject: string) => `$JS.API.DIRECT.GET.${stream}.${subject}`,
  consumerInfo: (stream: string, consumer: string) => `$JS.API.CONSUMER.INFO.${stream}.${consumer}`,
  makeConsumer: (stream: string, consumer: string, filter?: string) => `$JS.API.CONSUMER.CREATE.${stream}.${consumer}${filter === undefined ? "" : `.${filter}`}`,
  removeConsumer: (stream: string, consumer: string) => `$JS.API.CONSUMER.DELETE.${stream}.${consumer}`,
  next: (stream: string, consumer: string) => `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`,
  ack: (stream: string, consumer: string) => `$JS.ACK.${stream}.${consumer}.>`,
  flowControl: (stream: string) => `$JS.FC.${stream}.>`,
} as const;

/**
 * Every environment variable that any process of this project reads, declared once: schema, default, meaning. A role
 * picks its own from here (`loadConfig`); `.env.example`, `docs/configuration.md` and the test of
 * `docker-compose.yml` are made from it. An `INFER_` variable that is not here is an error at start, so a misspelt
 * one cannot pass as "not set".
 */
import { z } from "zod";

import { TimeZone } from "#shared/contracts/timeZone.ts";

import { FAILPOINTS, parseFailpoint } from "./failpointText.ts";

const number = () => z.coerce.number({ error: ({ input }) => (Number.isNaN(input) ? "must be a number" : undefined) });
/** In Redis, amounts are exact up to 9 million USD. */
const globalBudget = (window: string) => number().positive().max(8_000_000).optional().describe(`What all tenants together may spend in a calendar ${window}, in USD; the same for all routers. None: no such budget.`);
const port = (value: number) => number().int().min(0).max(65_535).default(value);
const ms = (value: number) => number().int().positive().default(value);
const CIDR = z.union([z.cidrv4(), z.cidrv6()]);
const NETWORK_OR_HOST = z.union([CIDR, z.ipv4(), z.ipv6(), z.string().max(253).regex(/^(?!.*\.$)(?=.*[a-z])[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?$/i)]);
const natsUrls = z.string().refine((text) => text.split(",").every((one) => z.url({ protocol: /^(nats|tls)$/ }).safeParse(one.trim()).success), "must be a URL with protocol ^(nats|tls)$, or several with commas between them");
const url = (protocol: RegExp) => z.url({ protocol, error: `must be a URL with protocol ${protocol.source}` });

const secretFile = (name: string) => z.string().min(1).optional().describe(`File that holds ${name}, in place of it: which others must not be able to read, unless it is below /run/secrets.`);

export const ENVIRONMENT = {
  NATS_URL: natsUrls.default("nats://127.0.0.1:4222").describe("NATS server 2.10 or newer, with JetStream. Several servers of a cluster: their URLs with commas between them."),
  NATS_NKEY_SEED_FILE: z.string().min(1).optional()
    .describe("File with the seed of this process's NATS user (`inferctl nats-users`), which others must not be able to read; or the folder that `init` made, where each role takes its own. For a server that asks for users."),
  NATS_NKEY_SEED: z.string().regex(/^SU[A-Z2-7]{56}$/, "must be the seed of a user: SU and 56 of A-Z 2-7").optional().describe("The seed itself, in place of a file. For one role; a file is better, since others may see what is in an environment."),
  REDIS_URL: url(/^rediss?$/).default("redis://127.0.0.1:6379").describe("Redis 7 or newer."),
  DATABASE_URL: url(/^postgres(ql)?$/).default("postgresql://127.0.0.1:5432/infer").describe("Postgres 15 or newer."),
  NATS_SERVER_BIN: z.string().min(1).optional().describe("Embedded set-up: this nats-server and no other."),
  REDIS_SERVER_BIN: z.string().min(1).optional().describe("Embedded set-up: this redis-server and no other."),
  PG_BIN: z.string().min(1).optional().describe("Embedded set-up: folder with this initdb and postgres and no others."),
  LOG_LEVEL: z.enum(["debug", "info", "warn", "error", "silent"]).default("info"),
  OTEL_EXPORTER_OTLP_ENDPOINT: url(/^https?$/).optional().describe("Where spans go (OTLP over HTTP), the same for all roles (docs/tracing.md). Unset: no spans are made."),
  OTEL_BSP_SCHEDULE_DELAY: ms(5_000).describe("Longest wait for a batch of spans to fill, in milliseconds."),
  INFER_TRACE_SHARE: number().min(0).max(1).default(0.01)
    .describe("Share of traces that begin here, 0 to 1, whose spans are made. A caller's `traceparent` says itself whether its trace is. Requests that failed, escalated or were slow are told in any case."),
  INFER_TRACE_SLOW_MS: ms(10_000).describe("A request that took longer counts as slow, as does one that missed its `latency_slo_ms`."),
  INFER_TRACE_CONTENT: z.enum(["yes", "no"]).default("no").describe("`yes`: what models were asked and answered is in the spans of their calls, for tenants whose retention has prompts stored. Workers read it."),
  INFER_HOME: z.string().min(1).default(".infer").describe("Embedded set-up: folder for data, logs and state."),
  INFER_PREFIX: z.string().regex(/^[a-z]{1,20}$/).default("infer").describe("First token of every NATS subject."),
  INFER_TIERS_FILE: z.string().min(1).default("infra/config/tiers.yaml").describe("Tiers, models, prices and thresholds."),
  INFER_PRICES_FILE: z.string().min(1).default("infra/config/prices.yaml").describe("The price book: what hosted models charge. Read for tiers that state no price themselves."),
  INFER_LOCAL_MODELS_DIR: z.string().min(1).default(".infer/local-models").describe("Where the trained local classifiers are kept."),
  INFER_DURABILITY: z.enum(["fast", "strict"]).default("fast").describe("Embedded NATS: `fast` survives a process crash, `strict` (fsync before each ack) a power loss."),
  INFER_STREAM_REPLICAS: number().pipe(z.union([z.literal(1), z.literal(3), z.literal(5)], "must be 1, 3 or 5")).default(1)
    .describe("Servers of the NATS cluster that hold a copy of each message: with 3, one of them may be lost, with its disk. `inferctl topology` makes the streams so. The embedded set-up has one server."),
  INFER_HTTP_HOST: z.string().min(1).default("127.0.0.1").describe("Address that every role listens on. The gateway's admin listener has its own."),
  INFER_AUTH: z.enum(["keys", "keyless", "keyless-in-container"]).default("keyless")
    .describe("`keys`: every call shows an API key (`inferctl keys`), and INFER_SECRET is needed. `keyless`: for one machine; the gateway listens on loopback only. `keyless-in-container`: it listens on all addresses of a container whose port is published on loopback only."),
  INFER_SECRET: z.string().min(32, "must have at least 32 characters").optional()
    .describe("At least 32 characters, the same for all processes and kept for as long as the API keys: they are checked with it. Gateways sign with it what they admitted, for routers that have it too. Embedded set-up: made at the first `up` and kept in INFER_HOME."),
  INFER_SNAPSHOT_KEYS: z.string().regex(/^[^\s,]{32,}([\s,]+[^\s,]{32,})?$/, "must be one key of at least 32 characters, or two with a comma or a line break between them").optional()
    .describe("For routers alone, the same for all of them: what they sign with what passes through workers (docs/security.md). Two keys while it is changed: the first one signs, both may have signed. Needed with `INFER_AUTH=keys`. Embedded set-up: made at the first `up` and kept in INFER_HOME."),
  INFER_SECRET_FILE: secretFile("INFER_SECRET"),
  INFER_SNAPSHOT_KEYS_FILE: secretFile("INFER_SNAPSHOT_KEYS"),
  DATABASE_URL_FILE: secretFile("DATABASE_URL"),
  REDIS_URL_FILE: secretFile("REDIS_URL"),
  INFER_ALLOW_NATS_HOLE: z.enum(["yes", "no"]).default("no").describe("`yes`: a NATS server with a known hole (CVE-2026-33222) is used also with `INFER_AUTH=keys` and not on loopback, with a warning. Else roles end there."),
  INFER_API_KEY: z.string().min(1).optional().describe("The key that `inferctl submit` shows the gateway. No role reads it."),
  INFER_GATEWAY_PORT: port(8080),
  INFER_GATEWAY_ADMIN_HOST: z.string().min(1).default("127.0.0.1").describe("Address of the gateway's admin listener, where `/admin` is and nothing for those who ask models. Another than loopback needs INFER_AUTH=keys."),
  INFER_GATEWAY_ADMIN_PORT: port(8079).describe("Port of the gateway's admin listener."),
  INFER_ROUTER_PORT: port(8081),
  INFER_AUDIT_SINK_PORT: port(8085),
  INFER_METRICS_SINK_PORT: port(8086),
  INFER_WEBHOOK_SENDER_PORT: port(8087),
  INFER_CONSOLE_PORT: port(8088),
  INFER_CONSOLE_URL: url(/^https?$/).optional().describe("Where gateways reach the console, which their admin listeners serve at `/console`. Default: INFER_CONSOLE_PORT on the address that roles listen on."),
  INFER_WORKER_PORT: port(8090).describe("Port of the first tier's worker; the next tiers take the ports that follow."),
  INFER_WORKER_TIER: z.string().min(1).optional().describe("The tier that a worker process serves. Required there, no default."),
  INFER_DEFAULT_DEADLINE_MS: ms(30_000).describe("Deadline of a request that names none."),
  INFER_MAX_DEADLINE_MS: number().int().positive().max(1_800_000).default(300_000).describe("Longer deadlines are cut to this."),
  INFER_OPENAI_BUDGET_USD: number().min(0).max(1_000_000).default(1).describe("Most that a request at `/v1` may cost, in USD, when it does not say it itself (`x-optimizer-budget-usd`)."),
  INFER_BATCH_WINDOW: number().int().min(1).max(1_024).default(64).describe("Lines of batches that one gateway has under way at once, at most: it takes fewer where they would wait for what others use."),
  INFER_SWEEP_GRACE_MS: ms(5_000).describe("What is open this long past its deadline is closed by the sweeper."),
  INFER_MAX_QUEUE_MS: ms(10_000).describe("The longest wait for a free slot, as estimated, that requests which somebody waits for may be let in to; what is more gets a 503 `overloaded`, as does what would wait beyond its deadline. The same for gateways and routers."),
  INFER_MAX_CONNECTIONS: number().int().min(1).max(1_000_000).default(10_000).describe("Connections that one gateway holds at once; for one more the one that is idle for longest is closed, or it itself where none is. Each needs a file descriptor. The admin listener has 100 beside them."),
  INFER_MAX_EVENT_STREAMS: number().int().min(1).max(100_000).default(1_000).describe("Streams of `GET /requests/:id/events` that one gateway holds at once; what is more gets a 503. A tenant has no more of them than it leaves free, half at most: then it gets a 429."),
  INFER_ROUTER_CONCURRENCY: number().int().min(1).max(1_024).default(256).describe("Events that one router handles at once."),
  INFER_SHADOW_SHARE: number().min(0).max(1).default(0)
    .describe("Share of requests, 0 to 1, whose kept answer is compared with the baseline tier's, which is asked after the request has ended. Each such call costs what that tier charges."),
  INFER_SHADOW_TIERS: z.enum(["baseline", "all"]).default("baseline").describe("Whom a sampled request is asked of: the baseline tier alone, or `all` tiers that did not answer it, so that `inferctl train --from-audit` can learn from it."),
  INFER_EXPLORE_SHARE: number().min(0).max(0.2).default(0.01)
    .describe("Share of requests, 0 to 0.2, that begin with a tier drawn among all that may be tried instead of the routing model's choice, so that its estimates stay honest. Only under `cascade-routing` with a model, and not for requests with `latency_slo_ms`, `min_quality`, or a tight budget or deadline."),
  INFER_EXPLORE_MAX_COST_USD: number().min(0).max(1_000_000).default(0.01)
    .describe("A tier is not explored where that is expected to add more than this to the cost of the request. On average a request pays at most this times INFER_EXPLORE_SHARE."),
  INFER_BUDGET_DAY_USD: globalBudget("day"),
  INFER_BUDGET_MONTH_USD: globalBudget("month"),
  INFER_BUDGET_KIND: z.enum(["hard", "soft"]).default("hard").describe("`hard`: nothing is spent beyond INFER_BUDGET_DAY_USD and INFER_BUDGET_MONTH_USD. `soft`: what goes beyond is let through, and counted."),
  INFER_BUDGET_TIME_ZONE: TimeZone.default("UTC").describe("By whose calendar the days and months of these budgets begin."),
  INFER_STREAMS_GIB: number().min(1).max(100_000).default(12)
    .describe("What all streams together may hold on NATS's disk, in GiB; each has its share. From 90 % of one on requests are refused, so give them what your traffic leaves in them (docs/operations.md, \"Room for streams\"). `inferctl topology --update` changes streams that exist."),
  INFER_COMPLETIONS_MAX_AGE_HOURS: number().int().min(24).default(168).describe("How long the audit stream keeps events."),
  INFER_AUDIT_RETENTION_DAYS: number().int().min(1).default(90).describe("Audit rows older than this are deleted."),
  INFER_LEDGER_RETENTION_DAYS: number().int().min(62).default(400).describe("Lines of the ledger older than this are deleted: what was paid and for whom, without texts. Reports and statements reach back so far, and budgets of a month are loaded from them."),
  INFER_RECONCILE_EVERY_S: number().int().min(0).max(86_400).default(300).describe("Audit sinks and routers compare streams, audit, ledger and counters this often, in seconds, one of each role at a time (docs/reconcile.md). 0: never."),
  INFER_AUDIT_BATCH_SIZE: number().int().min(1).max(5_000).default(500),
  INFER_AUDIT_BATCH_DELAY_MS: ms(200).describe("Longest wait for a batch to fill."),
  INFER_WEBHOOK_ALLOW: z.string().refine((text) => text.split(",").every((cidr) => cidr.trim() === "" || CIDR.safeParse(cidr.trim()).success), "must be networks as 10.1.0.0/16 or fd00:1::/32, with commas between them").default("")
    .describe("Networks that webhooks may go to though they are not public, by http too: CIDRs with commas between them. The same for gateways and webhook senders. Whoever makes endpoints reaches all that listens there."),
  INFER_BACKEND_ALLOW: z.string().refine((text) => text.split(",").every((entry) => entry.trim() === "" || NETWORK_OR_HOST.safeParse(entry.trim()).success), "must be networks as 10.1.0.0/16, addresses or names of hosts, with commas between them").default("")
    .describe("Where models' servers may be though it is not public, by http too: networks (CIDRs), addresses and names of hosts, with commas between them. Workers read it. Loopback needs no naming with INFER_AUTH=keyless."),
  INFER_SHUTDOWN_GRACE_MS: ms(10_000).describe("After SIGTERM a process finishes what it runs within this time."),
  INFER_FAILPOINT: z.string().refine((text) => parseFailpoint(text) !== null, `must be a failpoint, as after_job_publish, after_job_publish:17 or after_job_publish:17,block_loop:20000; there are ${FAILPOINTS.join(", ")}`).optional()
    .describe("For tests alone: where this process kills itself, or hangs (`infra/faults`, docs/reliability.md). Refused with `INFER_AUTH=keys`."),
} as const satisfies Record<string, z.ZodType>;
export type VariableName = keyof typeof ENVIRONMENT;

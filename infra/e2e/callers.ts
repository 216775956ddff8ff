/** Who talks to the system: HTTP callers, NATS publishers, and the reader of the audit tables. */
import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection, nkeyAuthenticator } from "@nats-io/transport-node";
import { Pool } from "pg";

import { isDrained } from "#infra/embedded/isDrained.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { Completion, DeadLetter } from "#shared/contracts/events.ts";
import type { ErrorReply, InferReply } from "#shared/contracts/reply.ts";
import type { InferBody } from "#shared/contracts/request.ts";

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** As it was sent. */
  readonly text: string;
}
export interface PostOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export async function postJson(url: string, body: unknown, { headers = {}, signal }: PostOptions = {}): Promise<HttpAnswer> {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body), ...(signal === undefined ? {} : { signal }) });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

export async function getText(url: string): Promise<HttpAnswer> {
  const response = await fetch(url);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** The record of an answer: the body itself, or what an error has beside it. */
export function recordOf({ text }: Pick<HttpAnswer, "text">): InferReply {
  const body = JSON.parse(text) as InferReply | ErrorReply;
  if ("outcome" in body) return body;
  if (body.request === undefined) throw new Error(`no record in ${text}`);
  return body.request;
}
export const errorOf = ({ text }: Pick<HttpAnswer, "text">): ErrorReply["error"] => (JSON.parse(text) as ErrorReply).error;

/** A body with nothing in it that a test does not name. */
export const body = (request_id: string, input: string, more: Partial<InferBody> = {}): InferBody =>
  ({ request_id, tenant_id: "tenant-1", user_id: "user-1", input, budget: 5, ...more });

/** Sum of a counter over its labels; 0 when it was never counted. */
export async function counter(roleUrl: string, name: string): Promise<number> {
  const { text } = await getText(`${roleUrl}/metrics`);
  return text.split("\n").filter((line) => new RegExp(`^${name}[{ ]`).test(line)).reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

export interface Broker {
  readonly nats: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  /** Waits for the stored outcome. */
  readonly completion: (tenantId: string, requestId: string, deadlineMs?: number) => Promise<Completion>;
  readonly hasCompletion: (tenantId: string, requestId: string) => Promise<boolean>;
  /** Dead letters that are kept now, oldest first. */
  readonly deadLetters: () => Promise<DeadLetter[]>;
  /** Waits until every reader of requests, of the audit stream and of shadows has acked all that is there. */
  readonly idle: (deadlineMs: number) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** With the public NATS client alone, as a publisher in another language would be. */
export function connectPlain(url: string, login?: { readonly seed: string; readonly inboxPrefix: string }): Promise<NatsConnection> {
  const options = login === undefined ? {} : { authenticator: nkeyAuthenticator(new TextEncoder().encode(login.seed)), inboxPrefix: login.inboxPrefix };
  return connect({ servers: url.split(","), name: "infer-e2e", maxReconnectAttempts: -1, ...options });
}

export async function connectBroker(url: string, login?: Parameters<typeof connectPlain>[1]): Promise<Broker> {
  const nats = await connectPlain(url, login);
  const jsm = await jetstreamManager(nats);
  const last = (tenantId: string, requestId: string) => jsm.streams.getMessage("COMPLETIONS", { last_by_subj: `infer.completion.${tenantId}.${requestId}` });
  return {
    nats, jsm, js: jetstream(nats),
    completion: (tenantId, requestId, deadlineMs = 10_000) =>
      waitUntil(async () => Completion.optional().parse((await last(tenantId, requestId))?.json()), { deadlineMs, describe: () => `no completion of ${requestId}` }),
    hasCompletion: async (tenantId, requestId) => (await last(tenantId, requestId)) !== null,
    deadLetters: () => readDeadLetters(jsm),
    idle: (deadlineMs) => waitUntil(async () => ((await unread(jsm)).length === 0 ? true : undefined), { deadlineMs, everyMs: 100, describe: () => "consumers still have messages" }).then(() => undefined),
    close: () => nats.drain(),
  };
}

async function readDeadLetters(jsm: JetStreamManager): Promise<DeadLetter[]> {
  const { state } = await jsm.streams.info("DEAD_LETTERS");
  const letters: DeadLetter[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq && state.messages > 0; seq += 1) {
    const message = await jsm.streams.getMessage("DEAD_LETTERS", { seq });
    if (message !== null) letters.push(DeadLetter.parse(message.json()));
  }
  return letters;
}

async function unread(jsm: JetStreamManager): Promise<string[]> {
  const busy: string[] = [];
  for (const stream of ["REQUESTS", "JOBS", "RESULTS", "COMPLETIONS", "SHADOW_JOBS", "SHADOWS"]) {
    for await (const { name, config } of jsm.consumers.list(stream)) {
      if (config.durable_name !== undefined && !(await isDrained(jsm, stream, name))) busy.push(name);
    }
  }
  return busy;
}

export interface Audit {
  readonly rows: <T extends object>(sql: string, ...values: unknown[]) => Promise<T[]>;
  readonly count: (table: "requests" | "attempts", requestId: string) => Promise<number>;
  /** Waits until a request has its row. The sink writes after the answer was given. */
  readonly awaitRow: (requestId: string) => Promise<void>;
  readonly close: () => Promise<void>;
}

export function openAudit(url: string): Audit {
  const pool = new Pool({ connectionString: url, max: 2 });
  pool.on("error", () => undefined); // a test may stop the server; the next query connects again
  const rows = async <T extends object>(sql: string, ...values: unknown[]): Promise<T[]> => (await pool.query<T>(sql, values)).rows;
  const count: Audit["count"] = async (table, requestId) => (await rows(`SELECT 1 FROM ${table} WHERE request_id = $1`, requestId)).length;
  return {
    rows, count,
    awaitRow: async (requestId) => {
      await waitUntil(async () => ((await count("requests", requestId)) > 0 ? true : undefined), { deadlineMs: 10_000, describe: () => `no audit row of ${requestId}` });
    },
    close: () => pool.end(),
  };
}

/** Resolves once the router samples: its consumer begins with what comes after it was made. */
export const untilSampling = ({ jsm }: Broker): Promise<true> =>
  waitUntil(() => jsm.consumers.info("COMPLETIONS", "router-shadow").then(() => true as const, () => undefined), { deadlineMs: 20_000, describe: () => "the router does not sample" });

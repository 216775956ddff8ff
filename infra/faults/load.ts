/**
 * Open-loop load: requests come when they come, however slow the answers are. Each has an id of its own and its tenant's canary in the prompt; some are sent twice at once.
 * Callers do what the API asks of them: what is retryable is asked again with the same id, over HTTP at another gateway, and no sooner than Retry-After says.
 */
import { setTimeout as backoff } from "node:timers/promises";

import { recordOf } from "#infra/e2e/callers.ts";
import { connectInferClient, type InferClient, isInferError } from "#producers/client/inferClient.ts";
import type { InferReply } from "#shared/contracts/reply.ts";
import type { InferBody } from "#shared/contracts/request.ts";

import { promptOf } from "./backend.ts";
import { type Rig, TENANTS } from "./rig.ts";

export type Door = "http" | "nats";
export interface LoadOptions {
  /** Of all ids. */
  readonly name: string;
  readonly ratePerS: number;
  /** In [0, 1), seeded. */
  readonly random: () => number;
  readonly deadlineMs?: number;
  /** Share of requests through the NATS door. */
  readonly natsShare?: number;
  /** Share that the cheap tier is unsure of. */
  readonly unsureShare?: number;
  /** Share that the dear tier fails, after the cheap one was unsure. */
  readonly failShare?: number;
  /** Share that is sent twice at once. */
  readonly duplicateShare?: number;
  /** Of the models' answers: from a third of this to this. */
  readonly delayMs?: number;
}
/** What became of one request, as its callers saw it. */
export interface SentRequest {
  readonly tenant: string;
  readonly id: string;
  readonly door: Door;
  /** `performance.now()`. */
  readonly sentAtMs: number;
  /** Somebody was told that it is accepted, or its outcome. */
  isAccepted: boolean;
  /** The first answer came then. */
  answeredAtMs: number | null;
  /** One for each caller who got one. */
  readonly replies: InferReply[];
  /** Answers that were no outcome, as `http 503` or `nats connection_failed`. */
  readonly refusals: string[];
  /** Of each caller that gave up without an outcome: when it asked last, in epoch milliseconds. */
  readonly lastAsksMs: number[];
}
export interface Load {
  readonly sent: readonly SentRequest[];
  /** Sends no more and waits for all callers, who give up after a while. */
  readonly stop: () => Promise<void>;
}

/** A caller asks again until then. */
const PATIENCE_MS = 90_000;
const RETRY_MS = 250;
const canaryOf = (tenant: string): string => `canary-of-${tenant}-only`;
export const CANARIES: ReadonlyMap<string, string> = new Map(TENANTS.map((tenant) => [tenant, canaryOf(tenant)]));

export async function startLoad(rig: Pick<Rig, "gatewayUrls" | "natsUrl">, options: LoadOptions): Promise<Load> {
  const { name, ratePerS, random, duplicateShare = 0.02 } = options;
  const client = await connectInferClient({ url: rig.natsUrl, timeoutMs: PATIENCE_MS });
  const stopping = new AbortController();
  const sent: SentRequest[] = [];
  const running = new Set<Promise<void>>();
  const begin = (work: Promise<void>) => {
    running.add(work);
    void work.finally(() => running.delete(work));
  };
  const send = () => {
    const { request, body } = nextRequest(options, `${name}-${sent.length}`);
    sent.push(request);
    const firstGateway = Math.floor(random() * rig.gatewayUrls.length);
    const doors: Door[] = random() < duplicateShare ? [request.door, random() < 0.5 ? "http" : "nats"] : [request.door];
    doors.forEach((door, i) => { begin(persist(request, door, door === "nats" ? () => overNats(client, request, body) : (tries) => overHttp(rig.gatewayUrls[(firstGateway + i + tries) % rig.gatewayUrls.length] ?? "", request, body))); });
  };
  let dueAtMs = performance.now();
  const tick = () => {
    if (stopping.signal.aborted) return;
    for (const nowMs = performance.now(); dueAtMs <= nowMs; dueAtMs += (-Math.log(1 - random()) / ratePerS) * 1_000) send();
    setTimeout(tick, Math.max(1, dueAtMs - performance.now()));
  };
  tick();
  return {
    sent,
    async stop() {
      stopping.abort();
      while (running.size > 0) await Promise.all(running);
      await client.close();
    },
  };
}

function nextRequest({ random, natsShare = 0.4, unsureShare = 0.25, failShare = 0.03, deadlineMs = 40_000, delayMs = 60 }: LoadOptions, id: string): { request: SentRequest; body: InferBody & { tenant_id: string; request_id: string } } {
  const tenant = TENANTS[Math.floor(random() * TENANTS.length)] ?? TENANTS[0];
  const isFailing = random() < failShare;
  const isUnsure = isFailing || random() < unsureShare;
  const input = promptOf({
    tenant, id, canary: canaryOf(tenant), delayMs: Math.round(delayMs * (1 / 3 + (2 / 3) * random())),
    ...(isUnsure ? { unsure: ["cheap"] } : {}), ...(isFailing ? { fails: ["dear"] } : {}),
  });
  return {
    request: { tenant, id, door: random() < natsShare ? "nats" : "http", sentAtMs: performance.now(), isAccepted: false, answeredAtMs: null, replies: [], refusals: [], lastAsksMs: [] },
    body: { tenant_id: tenant, request_id: id, user_id: `user-${tenant}`, input, budget: 1, deadline_ms: deadlineMs },
  };
}

/** A number: no outcome yet, ask again after so many milliseconds. */
type Ask = (tries: number) => Promise<InferReply | number>;

async function persist(request: SentRequest, door: Door, ask: Ask): Promise<void> {
  const untilMs = performance.now() + PATIENCE_MS;
  let askedAtMs = Date.now();
  for (let tries = 0; performance.now() < untilMs; tries++) {
    let againAfterMs = RETRY_MS;
    askedAtMs = Date.now();
    try {
      const reply = await ask(tries);
      if (typeof reply === "number") againAfterMs = reply;
      else {
        request.isAccepted = true;
        request.answeredAtMs ??= performance.now();
        request.replies.push(reply);
        return;
      }
    } catch (error) {
      request.refusals.push(`${door} ${nameOf(error)}`);
      if (isInferError(error) && !error.retryable && error.code !== "timeout") break; // no caller asks again after that
    }
    await backoff(againAfterMs);
  }
  request.lastAsksMs.push(askedAtMs);
}
const nameOf = (error: unknown): string => (isInferError(error) ? error.code : error instanceof Error ? (error.cause instanceof Error ? error.cause.message.split("\n")[0] ?? "" : error.name) : "error");

async function overNats(client: InferClient, request: SentRequest, body: InferBody & { tenant_id: string; request_id: string }): Promise<InferReply> {
  await client.submit(body, { timeoutMs: PATIENCE_MS / 3 });
  request.isAccepted = true;
  return client.wait({ tenant_id: request.tenant, request_id: request.id }, { timeoutMs: PATIENCE_MS / 3 });
}

/** A caller that waits longer than its deadline takes the connection for dead. */
const HTTP_SLACK_MS = 10_000;
async function overHttp(gateway: string, request: SentRequest, body: InferBody): Promise<InferReply | number> {
  const response = await fetch(`${gateway}/infer`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal: AbortSignal.timeout((body.deadline_ms ?? 30_000) + HTTP_SLACK_MS) });
  const text = await response.text();
  if (text.includes('"outcome":')) return recordOf({ text });
  request.refusals.push(`http ${response.status}`);
  if (response.status === 202) request.isAccepted = true;
  return Math.max(RETRY_MS, Number(response.headers.get("retry-after") ?? 0) * 1_000);
}

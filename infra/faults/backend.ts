/**
 * A model server that speaks OpenAI's `POST /chat/completions`, fails on demand and keeps a log of who asked for what. The prompt says whose request it
 * is, so calls can be held against attempts: of a request each model is asked by one attempt.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { LOOPBACK } from "#infra/embedded/freePort.ts";

/** What a prompt says, as JSON. */
export interface Asked {
  readonly tenant: string;
  readonly id: string;
  /** Told back in the answer. */
  readonly canary: string;
  /** Models that answer without confidence, so that the request climbs. */
  readonly unsure?: readonly string[];
  /** Models that refuse with a 500. */
  readonly fails?: readonly string[];
  readonly delayMs: number;
}
export const promptOf = (asked: Asked): string => JSON.stringify(asked);

/** Of all calls while it is set, or of those of one model. */
export interface Behaviour {
  readonly model?: string;
  readonly status?: number;
  readonly retryAfter?: string;
  /** Added to what the prompt asks for. */
  readonly delayMs?: number;
  /** Sent instead of a completion. */
  readonly body?: string;
  /** Never answers. */
  readonly hangs?: boolean;
}
/** Of one request and model. */
export interface Calls {
  readonly made: number;
  /** Whose caller was gone before the answer was sent. */
  readonly abandoned: number;
  /** The last one came then: epoch milliseconds. */
  readonly lastAtMs: number;
}
export interface FaultyBackend {
  readonly port: number;
  /** By `callKey`. */
  readonly calls: () => ReadonlyMap<string, Calls>;
  readonly total: () => number;
  readonly set: (behaviours: readonly Behaviour[]) => void;
  readonly heal: () => void;
  /** The log so far. */
  readonly forget: () => void;
  readonly close: () => Promise<void>;
}
export const callKey = (tenant: string, id: string, model: string): string => `${tenant}/${id} ${model}`;

/** Every answer costs the same. */
const USAGE = { prompt_tokens: 60, completion_tokens: 10 };

export async function startFaultyBackend(): Promise<FaultyBackend> {
  let calls = new Map<string, { made: number; abandoned: number; lastAtMs: number }>();
  let behaviours: readonly Behaviour[] = [];
  let total = 0;
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const { model, messages } = JSON.parse(await textOf(request)) as { model: string; messages: { content: string }[] };
    const asked = JSON.parse(messages.at(-1)?.content ?? "") as Asked;
    const key = callKey(asked.tenant, asked.id, model);
    const entry = calls.get(key) ?? { made: 0, abandoned: 0, lastAtMs: 0 };
    calls.set(key, entry);
    entry.made += 1;
    entry.lastAtMs = Date.now();
    total += 1;
    const isAnswered = { value: false };
    response.once("close", () => { if (!isAnswered.value) entry.abandoned += 1; });
    const now = behaviours.find((one) => one.model === undefined || one.model === model) ?? {};
    await new Promise((resolve) => setTimeout(resolve, asked.delayMs + (now.delayMs ?? 0)));
    if (now.hangs === true || response.destroyed) return;
    isAnswered.value = true;
    response.statusCode = now.status ?? (asked.fails?.includes(model) === true ? 500 : 200);
    if (now.retryAfter !== undefined) response.setHeader("retry-after", now.retryAfter);
    response.setHeader("content-type", "application/json");
    response.end(now.body ?? JSON.stringify(completion(model, asked)));
  };
  const server = createServer((request, response) => void answer(request, response).catch((error: unknown) => response.destroy(error as Error)));
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    calls: () => calls, total: () => total,
    set: (next) => { behaviours = next; },
    heal: () => { behaviours = []; },
    forget: () => { calls = new Map(); },
    close: () => new Promise((resolve) => {
      server.close(() => { resolve(); });
      server.closeAllConnections();
    }),
  };
}

function completion(model: string, { id, canary, unsure }: Asked) {
  const logprob = Math.log(unsure?.includes(model) === true ? 0.5 : 0.99);
  return {
    model: `${model}-2026`,
    choices: [{ finish_reason: "stop", message: { role: "assistant", content: `${model} answers ${id} ${canary}` }, logprobs: { content: [{ logprob }, { logprob }] } }],
    usage: USAGE,
  };
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

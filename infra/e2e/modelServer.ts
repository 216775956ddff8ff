/**
 * A model server that speaks OpenAI's `POST /chat/completions` and does what the prompt says: the prompt is JSON that
 * holds, for each model, a list of behaviours, one per call (the last one repeats). So tests share it without state.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import { waitUntil } from "#infra/embedded/waitUntil.ts";

export interface Behaviour {
  readonly status?: number;
  /** Confidence of the answer, by its token log-probabilities. */
  readonly confidence?: number;
  readonly finish?: "stop" | "length";
  /** What it says; else `answerOf`. */
  readonly answer?: string;
  /** A body that is no chat completion. */
  readonly garbage?: string;
  readonly delay_ms?: number;
  /** Answers after `release` of this name. */
  readonly hold?: string;
}
export type Script = Readonly<Record<string, Behaviour | readonly Behaviour[]>> & { readonly name?: never };
export interface Call {
  readonly name: string;
  readonly model: string;
  readonly traceparent: string | undefined;
  readonly authorization: string | undefined;
}
export interface ModelServer {
  readonly url: string;
  readonly calls: (name: string, model?: string) => readonly Call[];
  /** Waits for the `count`th call of a prompt. */
  readonly awaitCalls: (name: string, count: number) => Promise<void>;
  readonly release: (hold: string) => void;
  readonly close: () => Promise<void>;
}

/** What the caller sends as `input`. `name` tells the calls of one test from another's. */
export const prompt = (name: string, script: Script): string => JSON.stringify({ name, script });
export const answerOf = (name: string, model: string): string => `${model} answers ${name}`;

export async function startModelServer(): Promise<ModelServer> {
  const calls: Call[] = [];
  const released = new Set<string>();
  const waiting = new Map<string, (() => void)[]>();
  const until = (hold: string) => (released.has(hold) ? Promise.resolve() : new Promise<void>((resolve) => void waiting.set(hold, [...(waiting.get(hold) ?? []), resolve])));
  const counts = new Map<string, number>();
  const of = (name: string, model?: string) => calls.filter((call) => call.name === name && (model === undefined || call.model === model));

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const { model, messages } = JSON.parse(await textOf(request)) as { model: string; messages: { content: string }[] };
    const { name, script } = scriptIn(messages.at(-1)?.content ?? "");
    calls.push({ name, model, traceparent: request.headers["traceparent"]?.toString(), authorization: request.headers.authorization });
    const place = counts.get(`${model} ${name}`) ?? 0;
    counts.set(`${model} ${name}`, place + 1);
    const behaviour = [script[model] ?? {}].flat()[place] ?? [script[model] ?? {}].flat().at(-1) ?? {};
    if (behaviour.delay_ms !== undefined) await delay(behaviour.delay_ms);
    if (behaviour.hold !== undefined) await until(behaviour.hold);
    response.statusCode = behaviour.status ?? 200;
    response.setHeader("content-type", "application/json");
    response.end(behaviour.garbage ?? JSON.stringify(completion(name, model, behaviour)));
  };
  const server = createServer((request, response) => void answer(request, response).catch((error: unknown) => response.destroy(error as Error)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    calls: of,
    awaitCalls: async (name, count) => {
      await waitUntil(() => Promise.resolve(of(name).length >= count ? true : undefined), { deadlineMs: 20_000, describe: () => `${name}: ${of(name).length} of ${count} calls` });
    },
    release: (hold) => {
      released.add(hold);
      for (const resolve of waiting.get(hold) ?? []) resolve();
    },
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

/** A prompt in words has its own text for a name. */
const scriptIn = (content: string): { readonly name: string; readonly script: Script } =>
  (content.startsWith("{") ? JSON.parse(content) as { name: string; script: Script } : { name: content, script: {} });

function completion(name: string, model: string, { confidence = 0.99, finish = "stop", answer = answerOf(name, model) }: Behaviour) {
  const tokens = [{ logprob: Math.log(confidence) }, { logprob: Math.log(confidence) }];
  return {
    model: `${model}-2026`,
    choices: [{ finish_reason: finish, message: { role: "assistant", content: answer }, logprobs: { content: tokens } }],
    usage: { prompt_tokens: 60, completion_tokens: 10 },
  };
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

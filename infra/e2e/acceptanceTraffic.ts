/** The callers of the acceptance run: labelled mails through both doors, some of them sent several times. */
import { setTimeout as backoff } from "node:timers/promises";

import { connectInferClient, isInferError } from "#producers/client/inferClient.ts";
import type { InferReply } from "#shared/contracts/reply.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import type { Mail } from "#workers/backends/local/mails.ts";

import { postJson, recordOf } from "./callers.ts";

export type Door = "http" | "nats";
export interface Planned {
  readonly body: InferBody & { readonly request_id: string };
  readonly is_spam: boolean;
  /** Through which it is sent, all at once; the first is its own door. */
  readonly doors: readonly Door[];
}
/** What one caller was told. */
export interface Seen {
  readonly request_id: string;
  readonly door: Door;
  readonly reply: InferReply;
  readonly latency_ms: number;
}
export interface TrafficPlan {
  readonly mails: readonly Mail[];
  /** For each door. */
  readonly requests: number;
  /** Share of requests that are sent again at once, through both doors. */
  readonly duplicates: number;
  /** Share of requests with a deadline that a paused worker misses. */
  readonly hasty: number;
  readonly random: () => number;
}
export interface Traffic {
  readonly seen: readonly Seen[];
  /** Callers that gave up without an answer. */
  readonly unanswered: readonly string[];
  readonly elapsed_ms: number;
}

const TENANT = "acceptance";
const CALLERS_PER_DOOR = 32;
/** A caller asks again with the same id until then. */
const PATIENCE_MS = 120_000;
const SHORTEST_DEADLINE_MS = 400;
const LONGEST_HASTY_DEADLINE_MS = 1_600;

export function planTraffic({ mails, requests, duplicates, hasty, random }: TrafficPlan): Planned[] {
  return (["http", "nats"] as const).flatMap((door) =>
    Array.from({ length: requests }, (_, i): Planned => {
      const mail = mails[i % mails.length];
      if (mail === undefined) throw new Error("there are no mails");
      const deadline = random() < hasty ? { deadline_ms: Math.round(SHORTEST_DEADLINE_MS + random() * (LONGEST_HASTY_DEADLINE_MS - SHORTEST_DEADLINE_MS)) } : {};
      const others: Door[] = random() < duplicates ? ["http", "nats", random() < 0.5 ? "http" : "nats"] : [];
      return { body: { request_id: `${door}-${i}`, tenant_id: TENANT, user_id: `user-${i % 10}`, input: mail.input, budget: 1, ...deadline }, is_spam: mail.is_spam, doors: [door, ...others] };
    }),
  );
}

/** Sends all of it, `CALLERS_PER_DOOR` at a time through each door. `onAnswer` hears how many requests are done. */
export async function sendTraffic(planned: readonly Planned[], { gateway, nats }: { gateway: string; nats: string }, onAnswer: (done: number) => void): Promise<Traffic> {
  const client = await connectInferClient({ url: nats, timeoutMs: PATIENCE_MS });
  const seen: Seen[] = [];
  const unanswered: string[] = [];
  const startedAt = performance.now();
  let done = 0;
  const ask: Record<Door, (body: InferBody) => Promise<InferReply | null>> = {
    http: (content) => askOverHttp(gateway, content),
    nats: (content) => client.infer(content),
  };
  const callOnce = async ({ request_id, ...content }: Planned["body"], door: Door) => {
    const from = performance.now();
    const reply = await persist(() => ask[door]({ request_id, ...content }));
    if (reply === null) unanswered.push(`${request_id} over ${door}`);
    else seen.push({ request_id, door, reply, latency_ms: performance.now() - from });
  };
  const callersOf = (door: Door) => {
    const queue = planned.filter(({ doors }) => doors[0] === door);
    const caller = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const { body, doors } = next;
        await Promise.all(doors.map((each) => callOnce(body, each)));
        onAnswer(++done);
      }
    };
    return Array.from({ length: CALLERS_PER_DOOR }, caller);
  };
  await Promise.all([...callersOf("http"), ...callersOf("nats")]).finally(() => client.close());
  return { seen, unanswered, elapsed_ms: performance.now() - startedAt };
}

/** `null`: no outcome yet, ask again. */
async function askOverHttp(gateway: string, content: InferBody): Promise<InferReply | null> {
  const answer = await postJson(`${gateway}/infer`, content);
  return answer.status === 503 && !answer.text.includes('"request":') ? null : recordOf(answer);
}

/** As the API asks of callers: what is retryable is asked again, with the same id. */
async function persist(ask: () => Promise<InferReply | null>): Promise<InferReply | null> {
  const until = performance.now() + PATIENCE_MS;
  while (performance.now() < until) {
    try {
      const reply = await ask();
      if (reply !== null) return reply;
    } catch (error) {
      if (isInferError(error) ? !error.retryable : !(error instanceof TypeError)) throw error; // fetch: the connection broke
    }
    await backoff(250);
  }
  return null;
}

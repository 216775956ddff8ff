/** Sends what was planned to a gateway, some at a time, and says of each answer what its label says, as a user would. */
import { type InferClient, type InferReply, isInferError } from "#producers/client/inferClient.ts";

import type { DemoTenant } from "./demoTenants.ts";
import type { PlannedRequest } from "./planDemo.ts";

export interface SeenRequest {
  readonly planned: PlannedRequest;
  readonly reply: InferReply;
  /** By the label, in [0, 1]; 0 where there is no answer. */
  readonly score: number;
}
export interface SendOptions {
  readonly clientOf: (tenant: DemoTenant) => InferClient;
  readonly concurrency: number;
  /** Requests that are begun in a second, at most. */
  readonly ratePerS: number;
  /** Ids of requests whose answer was judged before. */
  readonly judged: ReadonlySet<string>;
  readonly onAnswer: (seen: readonly SeenRequest[]) => void;
}

/** In the order of the plan. Throws `InferError` for the first request that no patience gets an outcome of. */
export async function sendDemo(planned: readonly PlannedRequest[], options: SendOptions): Promise<SeenRequest[]> {
  const { concurrency, ratePerS, onAnswer } = options;
  const [seen, order] = [[] as SeenRequest[], new Map(planned.map(({ body }, place) => [body.request_id, place]))];
  const startedMs = performance.now();
  let next = 0, failure: unknown;
  const caller = async (): Promise<void> => {
    while (failure === undefined && next < planned.length) {
      const place = next++;
      const one = planned[place];
      if (one === undefined) return;
      await untilMs(startedMs + (1_000 * place) / ratePerS);
      try {
        seen.push(await askAndJudge(one, options));
      } catch (error) {
        failure ??= error;
        return;
      }
      onAnswer(seen);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  if (failure !== undefined) throw failure instanceof Error ? failure : new Error("a request failed", { cause: failure });
  return seen.sort((a, b) => (order.get(a.planned.body.request_id) ?? 0) - (order.get(b.planned.body.request_id) ?? 0));
}

async function askAndJudge(planned: PlannedRequest, { clientOf, judged }: SendOptions): Promise<SeenRequest> {
  const { body, tenant, item } = planned;
  const client = clientOf(tenant);
  const reply = await client.infer(body);
  const hasAnswer = reply.output !== null;
  const score = hasAnswer ? item.scoreOf(reply) : 0;
  if (hasAnswer && !judged.has(body.request_id)) await client.feedback({ request_id: body.request_id, tenant_id: tenant }, { score, source: "user" });
  return { planned, reply, score };
}

async function untilMs(atMs: number): Promise<void> {
  const leftMs = atMs - performance.now();
  if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
}

/** Another request has this id: the plan of that run was made for other tiers, or of other items. */
export const isOtherPlan = (error: unknown): boolean => isInferError(error, "idempotency_mismatch");

/** Load that comes whether or not it is answered, as a rush of callers does, and what became of it. */
import { setTimeout as sleep } from "node:timers/promises";

import { body, postJson } from "./callers.ts";

export interface Offered {
  readonly url: string;
  /** Names of its requests begin with it. */
  readonly run: string;
  readonly perS: number;
  readonly seconds: number;
  readonly deadlineMs: number;
  /** Whose request each one is. */
  readonly tenantOf: (place: number) => string;
}
export interface Answered {
  readonly tenant: string;
  /** 0: the connection broke. */
  readonly status: number;
  readonly retryAfter: string | null;
  readonly latencyMs: number;
  /** Since the load began. */
  readonly endedMs: number;
}

const call = async ({ url, run, deadlineMs, tenantOf }: Omit<Offered, "perS" | "seconds">, place: number, beganMs: number): Promise<Answered> => {
  const startedMs = performance.now(), tenant = tenantOf(place);
  const asked = postJson(`${url}/infer`, body(`${run}-${place}`, `ask ${run}-${place}`, { tenant_id: tenant, deadline_ms: deadlineMs }));
  const { status, retryAfter } = await asked.then(({ status, headers }) => ({ status, retryAfter: headers.get("retry-after") }), () => ({ status: 0, retryAfter: null }));
  return { tenant, status, retryAfter, latencyMs: performance.now() - startedMs, endedMs: performance.now() - beganMs };
};

/** Begins `perS` a second, evenly; resolves once all are answered. */
export async function offer(offered: Offered): Promise<Answered[]> {
  const beganMs = performance.now(), answers: Promise<Answered>[] = [];
  for (let passedMs = 0; passedMs < offered.seconds * 1_000; passedMs = performance.now() - beganMs) {
    while (answers.length < (passedMs / 1_000) * offered.perS) answers.push(call(offered, answers.length, beganMs));
    await sleep(5);
  }
  return Promise.all(answers);
}

/** As many callers as keep all slots busy, each of which asks again when it was answered. */
export async function saturate({ callers, seconds, ...offered }: Omit<Offered, "perS"> & { readonly callers: number }): Promise<Answered[]> {
  const beganMs = performance.now(), answers: Answered[] = [];
  let place = 0;
  const caller = async () => {
    while (performance.now() - beganMs < seconds * 1_000) answers.push(await call(offered, place++, beganMs));
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return answers;
}

/** Answers in time, a second, over the time in which load was offered. */
export const goodputOf = (answers: readonly Answered[], { deadlineMs, seconds }: Pick<Offered, "deadlineMs" | "seconds">): number =>
  answers.filter(({ status, latencyMs, endedMs }) => status === 200 && latencyMs <= deadlineMs && endedMs <= seconds * 1_000).length / seconds;

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}

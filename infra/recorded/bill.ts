/** What a real provider would have charged for the calls: sums of whole nano-dollars, each call rounded once. */
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";

import type { Fault } from "./faults.ts";

/** `failed`: a fault ended or spoilt the reply. `aborted`: the client left first. */
export type CallState = "running" | "completed" | "aborted" | "failed";

export interface StartedCall {
  readonly row_id: string;
  readonly model: string;
  /** The caller's `x-request-id`. */
  readonly request_id: string | null;
  readonly traceparent: string | null;
  /** What hits it, whether or not that changes how it ends. */
  readonly fault: Fault["kind"] | null;
}
export interface EndedCall {
  readonly state: Exclude<CallState, "running">;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly cost_nano_usd: NanoUsd;
}
/** Zero of everything while it is running. Times are epoch milliseconds. */
export interface BilledCall extends StartedCall, Omit<EndedCall, "state"> {
  readonly state: CallState;
  readonly started_at_ms: number;
  readonly ended_at_ms: number | null;
}

/** `calls` counts the running ones too. */
export interface BillSums {
  readonly calls: number;
  readonly completed: number;
  readonly aborted: number;
  readonly failed: number;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly cost_nano_usd: number;
}
export interface BillReply {
  /** Those that were called, by name. */
  readonly models: readonly (BillSums & { readonly model: string })[];
  readonly total: BillSums;
}
export interface CallList {
  /** The latest `MOST_CALLS` that were started, in that order. */
  readonly calls: readonly BilledCall[];
  /** Older ones, which count in the sums alone. */
  readonly calls_dropped: number;
}

export interface Bill {
  /** Returns how to say that it ended; to be called once. */
  readonly start: (call: StartedCall) => (end: EndedCall) => void;
  readonly sums: () => BillReply;
  readonly list: () => CallList;
}

/** About 20 MB. */
const MOST_CALLS = 50_000;
const NOTHING: BillSums = { calls: 0, completed: 0, aborted: 0, failed: 0, prompt_tokens: 0, completion_tokens: 0, cost_nano_usd: 0 };

export function makeBill(now: () => number, mostCalls = MOST_CALLS): Bill {
  const sums = new Map<string, BillSums>();
  const calls = new Map<number, BilledCall>();
  let started = 0;
  const add = (model: string, more: Partial<BillSums>): void => void sums.set(model, plus(sums.get(model) ?? NOTHING, more));
  return {
    start: (call) => {
      const place = started++;
      const running: BilledCall = { ...call, state: "running", prompt_tokens: 0, completion_tokens: 0, cost_nano_usd: nanoUsd(0), started_at_ms: now(), ended_at_ms: null };
      calls.set(place, running);
      calls.delete(place - mostCalls);
      add(call.model, { calls: 1 });
      return (end) => {
        if (calls.has(place)) calls.set(place, { ...running, ...end, ended_at_ms: now() });
        const { state, ...amounts } = end;
        add(call.model, { ...amounts, [state]: 1 });
      };
    },
    sums: () => {
      const models = [...sums].map(([model, sum]) => ({ model, ...sum })).sort((a, b) => (a.model < b.model ? -1 : 1));
      return { models, total: [...sums.values()].reduce(plus, NOTHING) };
    },
    list: () => ({ calls: [...calls.values()], calls_dropped: started - calls.size }),
  };
}

const plus = (sum: BillSums, more: Partial<BillSums>): BillSums => ({
  calls: sum.calls + (more.calls ?? 0),
  completed: sum.completed + (more.completed ?? 0),
  aborted: sum.aborted + (more.aborted ?? 0),
  failed: sum.failed + (more.failed ?? 0),
  prompt_tokens: sum.prompt_tokens + (more.prompt_tokens ?? 0),
  completion_tokens: sum.completion_tokens + (more.completion_tokens ?? 0),
  cost_nano_usd: sum.cost_nano_usd + (more.cost_nano_usd ?? 0),
});

/** Of a call that used `completionTokens` of the `whole` answer's: the recorded cost by share of tokens, all of it for all. Pure. */
export function costByTokens(costUsd: number, promptTokens: number, completionTokens: number, whole: number): NanoUsd {
  const share = completionTokens >= whole ? 1 : (promptTokens + completionTokens) / (promptTokens + whole);
  return nanoUsd(Math.round(costUsd * 1e9 * share));
}

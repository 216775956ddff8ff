/** Rate, errors and duration of all messages that a role handles, by the consumer that it reads. */
import { Counter, Histogram, type Registry } from "prom-client";

/** One run of a handler. */
export interface HandlerRun {
  readonly durable: string;
  /** `held`: kept, and tried again here. `lost`: another process has it. `unsettled`: its end could not be said, so it comes again. */
  readonly result: "handled" | "held" | "retried" | "given_up" | "lost" | "unsettled";
  /** `null`: it had run, and was observed. */
  readonly tookMs: number | null;
  /** From being stored to the beginning of its first run; `null`: a later one. */
  readonly waitedMs: number | null;
}
export type ObserveRun = (run: HandlerRun) => void;

/** From a millisecond to five minutes: waits for a free slot, and calls of models. */
const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

export function makeObserveRun(registry: Registry): ObserveRun {
  const registers = [registry];
  const runs = new Counter({ name: "infer_messages_total", help: "Messages by consumer and by what came of a run of their handler: handled, held (kept and tried again), retried (handed back), given_up (dead-lettered), lost (another process has it), unsettled (comes again).", labelNames: ["consumer", "result"], registers });
  const duration = new Histogram({ name: "infer_message_duration_seconds", help: "Time of one run of a message's handler, by consumer.", labelNames: ["consumer"], buckets: BUCKETS_S, registers });
  const wait = new Histogram({ name: "infer_message_wait_seconds", help: "From a message's being stored to the beginning of its handler, by consumer; of worker-<tier>: how long jobs wait for a slot. First deliveries alone.", labelNames: ["consumer"], buckets: BUCKETS_S, registers });
  return ({ durable: consumer, result, tookMs, waitedMs }) => {
    runs.inc({ consumer, result });
    if (tookMs !== null) duration.observe({ consumer }, tookMs / 1_000);
    if (waitedMs !== null) wait.observe({ consumer }, Math.max(0, waitedMs) / 1_000);
  };
}

import { type ConsumerMessages, DeliverPolicy, type JetStreamClient, type JsMsg } from "@nats-io/jetstream";

import { AppError } from "#shared/contracts/errors.ts";

import { READING } from "./reading.ts";

/** Not deleted: who may do that could delete durables of others too. */
const ENDS_AFTER_MS = 5_000;

export interface ReadAllOptions {
  readonly stream: string;
  readonly filters: readonly string[];
  readonly from: { readonly seq: number } | { readonly atMs: number };
  readonly timeoutMs?: number;
}

/** Gives `take`, which does not throw, each message that a stream holds by now, in order, and returns. Throws `broker_unavailable`, also when it takes too long. */
export async function readAll(js: JetStreamClient, { stream, filters, from, timeoutMs = 30_000 }: ReadAllOptions, take: (message: JsMsg) => void): Promise<void> {
  const start = "seq" in from ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from.seq } : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(from.atMs).toISOString() };
  let messages: ConsumerMessages | undefined;
  let timer: NodeJS.Timeout | undefined;
  try {
    const consumer = await js.consumers.get(stream, { ...start, filter_subjects: [...filters], inactive_threshold: ENDS_AFTER_MS });
    let left = (await consumer.info()).num_pending;
    if (left === 0) return;
    const { promise, resolve, reject } = withResolvers();
    timer = setTimeout(() => { reject(new Error(`${left} messages were not read within ${timeoutMs} ms`)); }, timeoutMs);
    messages = await consumer.consume({
      ...READING,
      max_messages: 500,
      callback(message) {
        if (left === 0) return;
        take(message);
        left -= 1;
        if (left === 0) resolve();
      },
    });
    const broke = () => { reject(new Error("the connection broke")); };
    void messages.closed().then(broke, broke);
    await promise;
  } catch (cause) {
    throw new AppError("broker_unavailable", `cannot read ${stream}`, { cause });
  } finally {
    clearTimeout(timer);
    void messages?.close().catch(() => undefined);
  }
}

function withResolvers() {
  let resolve = (): void => undefined, reject = (_error: Error): void => undefined;
  const promise = new Promise<void>((yes, no) => { resolve = yes; reject = no; });
  return { promise, resolve, reject };
}

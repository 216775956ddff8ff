/**
 * Awaited JetStream publishes for little more than plain ones: about 10 µs of client CPU against 50 for `js.publish()`,
 * which sets up a request and a timer for each message. Here all PubAcks reach one subscription, a map finds the promise,
 * and one timer sweeps the late ones. Every ack is still awaited and checked.
 */
import { setTimeout as sleep } from "node:timers/promises";

import { headers, type Msg } from "@nats-io/transport-node";
import { z } from "zod";

import { compiled } from "#shared/contracts/compiled.ts";
import { AppError } from "#shared/contracts/errors.ts";

import { permissionViolation } from "./connect.ts";
import type { Wire } from "./wire.ts";

/**
 * Refused are `taken`, a subject that has its message, and `full`. The broker has one error code for both and tells them
 * apart by its words alone: whoever may read the stream looks there instead.
 */
export type PubOutcome = "stored" | "taken" | "full";
type MoreHeaders = Readonly<Partial<Record<typeof ADMITTED_HEADER | typeof WITHOUT_REQUEST_HEADER | typeof LANE_HEADER | typeof SERVED_MS_HEADER | typeof SERVED_BY_HEADER, string | undefined>>>;
export interface AckInbox {
  /** `more`: headers beside the trace. Resolves with the broker's answer. Throws `broker_unavailable`, or `accept_unknown` when no answer came in time. */
  publish(subject: string, body: Uint8Array, traceparent?: string, more?: MoreHeaders): Promise<PubOutcome>;
  /** Sends what is buffered and waits until every ack has come or is overdue. */
  close(): Promise<void>;
}
interface Waiting {
  readonly subject: string;
  readonly resolve: (outcome: PubOutcome) => void;
  readonly reject: (error: AppError) => void;
  readonly expiresAtMs: number;
}

export function makeAckInbox({ nats, newInbox, atTick, flush }: Wire, timeoutMs = 5_000): AckInbox {
  const inbox = newInbox();
  const waiting = new Map<string, Waiting>(); // one timeout for all, so insertion order is expiry order
  let lastId = 0;

  const take = (id: string) => {
    const found = waiting.get(id);
    waiting.delete(id);
    return found;
  };
  const subscription = nats.subscribe(`${inbox}.*`, {
    callback: (error, message) => {
      const found = error ? undefined : take(message.subject.slice(inbox.length + 1));
      if (!found) return; // too late: the caller was told accept_unknown
      const outcome = readPubAck(message);
      if (outcome instanceof AppError) found.reject(outcome);
      else found.resolve(outcome);
    },
  });
  // There is no answer to a publish that is not allowed.
  const refuseForbidden = (error: Error) => {
    const violation = permissionViolation(error);
    if (violation?.operation !== "publish") return;
    for (const [id, { subject }] of waiting) {
      if (subject === violation.subject) take(id)?.reject(new AppError("broker_unavailable", `the broker's user may not publish to ${subject}`, { cause: violation }));
    }
  };
  // What was sent into a broken connection may or may not have arrived; what would be sent now would be dropped.
  let isConnected = true;
  const watching = (async () => {
    for await (const status of nats.status()) {
      const { type } = status;
      if (type === "reconnect") isConnected = true;
      if (type === "error") refuseForbidden(status.error);
      if (type !== "disconnect" && type !== "close") continue;
      isConnected = false;
      for (const id of [...waiting.keys()]) take(id)?.reject(new AppError("accept_unknown", "the connection to the broker broke before its PubAck came"));
    }
  })();
  watching.catch(() => undefined); // it ends with the connection
  const sweeper = setInterval(() => {
    for (const [id, { expiresAtMs }] of waiting) {
      if (expiresAtMs > performance.now()) break;
      take(id)?.reject(new AppError("accept_unknown", `no PubAck within ${timeoutMs} ms`));
    }
  }, timeoutMs / 4);

  return {
    publish: (subject, body, traceparent, more) =>
      new Promise((resolve, reject) => {
        if (!isConnected) {
          reject(new AppError("broker_unavailable", "the message broker cannot be reached"));
          return;
        }
        const mostBytes = (nats.info?.max_payload ?? Infinity) - HEADER_ROOM_BYTES;
        if (body.length > mostBytes) {
          reject(new AppError("payload_too_large", `a message of ${body.length} bytes does not fit: the broker takes ${mostBytes}`));
          return;
        }
        const id = String(++lastId);
        waiting.set(id, { subject, resolve, reject, expiresAtMs: performance.now() + timeoutMs });
        atTick(() => {
          try {
            nats.publish(subject, body, { reply: `${inbox}.${id}`, ...(traceparent === undefined && more === undefined ? {} : { headers: headersWith(traceparent, more) }) });
          } catch (cause) {
            take(id)?.reject(new AppError("broker_unavailable", "the message broker cannot be reached", { cause }));
          }
        });
      }),
    async close() {
      flush();
      while (waiting.size > 0) await sleep(20);
      clearInterval(sweeper);
      subscription.unsubscribe();
    },
  };
}

/** Headers count too. */
const HEADER_ROOM_BYTES = 512;
export const TRACEPARENT_HEADER = "traceparent";
/** A gateway's proof that it admitted the request. */
export const ADMITTED_HEADER = "infer-admitted";
/** Of a completion whose request was answered where it came in, and is not in REQUESTS. */
export const WITHOUT_REQUEST_HEADER = "infer-without-request";
/** Of a request that nobody waits for: `batch`. Without it, it counts as one that somebody does. */
export const LANE_HEADER = "infer-lane";
/** Of a completion that backends worked on: for how long, in milliseconds. */
export const SERVED_MS_HEADER = "infer-served-ms";
/** The same by tier: `small=120.000,large=800.000`. */
export const SERVED_BY_HEADER = "infer-served-by";
function headersWith(traceparent: string | undefined, more: MoreHeaders = {}) {
  const found = headers();
  if (traceparent !== undefined) found.set(TRACEPARENT_HEADER, traceparent);
  for (const [name, value] of Object.entries(more)) if (value !== undefined) found.set(name, value);
  return found;
}

const STORE_REFUSED = 10_077;
const IS_TAKEN = /per subject/;
/** A PubAck names its stream; a refusal says why. */
const PubAnswer = z.union([z.object({ error: z.object({ err_code: z.number(), description: z.string() }) }), z.object({ stream: z.string(), error: z.undefined().optional() })]);
function jsonOf(message: Pick<Msg, "string">): unknown {
  try {
    return JSON.parse(message.string());
  } catch {
    return undefined; // the schema says so
  }
}

/** Pure, so that every answer of a server is a row in a test table. */
export function readPubAck(message: Pick<Msg, "headers" | "string">): PubOutcome | AppError {
  if (message.headers?.code === 503) return new AppError("broker_unavailable", "no stream takes this subject: run `inferctl topology`");
  const ack = compiled(PubAnswer).safeParse(jsonOf(message));
  if (!ack.success) return new AppError("accept_unknown", "the broker's answer is not a PubAck");
  const { error } = ack.data;
  if (error === undefined) return "stored";
  if (error.err_code === STORE_REFUSED) return IS_TAKEN.test(error.description) ? "taken" : "full";
  return new AppError("broker_unavailable", `the broker refused the message: ${error.err_code} ${error.description}`);
}

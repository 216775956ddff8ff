/** A message of a stream that this process was given, and what it may say of it (ADR-15 of NATS: the subject to answer to says where it comes from). */
import type { JsMsg } from "@nats-io/jetstream";
import { type Msg, nanos } from "@nats-io/transport-node";

export interface HeldMessage extends Pick<JsMsg, "subject" | "data" | "headers" | "seq" | "redelivered"> {
  readonly info: Pick<JsMsg["info"], "stream" | "deliveryCount" | "timestampNanos">;
  /** Done with, for good. */
  ack(): void;
  /** Given back: to be delivered again, at once or after a while in milliseconds. */
  nak(delayMs?: number): void;
  /** Given up. */
  term(reason: string): void;
  /** Its time to be answered begins anew. */
  working(): void;
}

/** Of what is answered at `$JS.ACK.<stream>.<consumer>.<deliveries>.<seq>.<consumer's seq>.<stored at, ns>.<pending>`, or with domain and account before the stream and a token after it all; `null`: it is no such message. */
export function readHeld(message: Pick<Msg, "subject" | "data" | "headers" | "reply" | "respond">): HeldMessage | null {
  const tokens = message.reply?.split(".") ?? [];
  const of = tokens.length === 9 ? tokens.slice(2) : tokens.length > 10 ? tokens.slice(4) : [];
  const [stream, , deliveries, seq, , storedAt] = of;
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK" || stream === undefined || storedAt === undefined) return null;
  const deliveryCount = Number(deliveries);
  let isAnswered = false;
  /** The server takes one answer. */
  const end = (text: string) => {
    if (!isAnswered) message.respond(text);
    isAnswered = true;
  };
  const { subject, data, headers } = message;
  return {
    subject, data, headers, seq: Number(seq), redelivered: deliveryCount > 1,
    info: { stream, deliveryCount, timestampNanos: Number(storedAt) },
    ack: () => { end("+ACK"); },
    nak: (delayMs) => { end(delayMs === undefined ? "-NAK" : `-NAK ${JSON.stringify({ delay: nanos(delayMs) })}`); },
    term: (reason) => { end(`+TERM ${reason}`); },
    working: () => { if (!isAnswered) message.respond("+WPI"); },
  };
}

/** Spans of what is published and handled, as OTel's messaging conventions name them: `{operation} {subject's template}`. A message carries the context of its publish. */
import type { Attributes } from "@opentelemetry/api";

import { messageAttributes } from "#shared/telemetry/attributes.ts";
import { isSampled } from "#shared/telemetry/traceparent.ts";
import type { Beginning, Tracer } from "#shared/telemetry/tracing.ts";

import type { AckInbox } from "./ackInbox.ts";
import type { Delivery } from "./consume.ts";
import { idOf, templateOf } from "./topology.ts";

type Handled = Pick<Delivery, "subject" | "data" | "stream" | "seq" | "deliveries" | "traceparent">;

/** Of the span that handles a message. `parent`: where it is not the message's. */
export function processing(prefix: string, delivery: Handled, more: Attributes = {}, parent = delivery.traceparent): Beginning {
  const { subject, data, stream, seq, deliveries } = delivery;
  const template = templateOf(prefix, subject);
  const attributes = () => ({
    ...messageAttributes("process", { subject, template, bytes: data.length, id: `${stream}:${seq}` }, idOf(prefix, subject)),
    ...(deliveries > 1 ? { "infer.deliveries": deliveries } : {}), ...more,
  });
  return [`process ${template}`, { kind: "CONSUMER", parent, attributes }];
}

/** With a span of each publish in a trace that is taken. What is published without a context has none. */
export const tracedAcks = (acks: AckInbox, tracer: Tracer, prefix: string): AckInbox => ({
  ...acks,
  publish(subject, body, traceparent, more) {
    if (traceparent === undefined || !isSampled(traceparent)) return acks.publish(subject, body, traceparent, more);
    const template = templateOf(prefix, subject);
    const attributes = messageAttributes("send", { subject, template, bytes: body.length }, idOf(prefix, subject));
    return tracer.span(`send ${template}`, { kind: "PRODUCER", parent: traceparent, attributes }, async (inner, annotate) => {
      const outcome = await acks.publish(subject, body, inner, more);
      if (outcome !== "stored") annotate({ "infer.publish": outcome });
      return outcome;
    });
  },
});

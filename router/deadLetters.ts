/**
 * The dead-letter service: a message that was delivered as often as it may be, by processes that died on it, is noticed
 * by the broker alone. Its advisory becomes a dead letter and a `failed` completion. Idempotent; several may run.
 */
import { z } from "zod";

import { AppError } from "#shared/contracts/errors.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import type { GiveUp } from "#shared/messaging/keepDeadLetter.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { CUSTODY_STREAMS, isShadowDurable } from "#shared/messaging/topology.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";
import { traceparentFrom } from "#shared/telemetry/traceparent.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

const Advisory = z.object({ stream: z.string(), consumer: z.string(), stream_seq: z.int().positive(), deliveries: z.int() });

interface DeadLetterDeps {
  readonly streams: StoredMessages;
  readonly giveUp: GiveUp;
  readonly tracer: Tracer;
}

export const makeDeadLetterService = ({ streams, giveUp, tracer }: DeadLetterDeps) => async ({ data }: Pick<Delivery, "data">): Promise<void> => {
  const { success, data: advisory } = Advisory.safeParse(parseJson(data));
  if (!success) throw new AppError("invalid_request", "not an advisory of this server's version");
  if (!CUSTODY_STREAMS.includes(advisory.stream) && !isShadowDurable(advisory.consumer)) return;
  const message = await streams.bySequence(advisory.stream, advisory.stream_seq);
  if (message === null) return; // it aged out: the sweeper has closed it
  const { stream, deliveries } = advisory;
  const given = { subject: message.subject, data: message.data, stream, seq: message.seq, storedAtMs: message.time.getTime(), deliveries };
  await tracer.span("give up", { kind: "INTERNAL", parent: traceparentFrom(message.header.get("traceparent")), attributes: { "infer.stream": stream, "error.type": "poison" } }, (traceparent) =>
    giveUp({ ...given, traceparent }, { code: "poison", message: `given up after ${deliveries} deliveries: the process that handled it did not finish` }),
  );
};

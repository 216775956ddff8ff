import type { z } from "zod";

import { describeIssues } from "#shared/contracts/describeIssues.ts";
import { AppError } from "#shared/contracts/errors.ts";
import type { OnceMessage } from "#shared/contracts/shadow.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

import type { Delivery } from "./consume.ts";
import { subjectOf } from "./topology.ts";

/** A message of a stream that keeps the first of each subject, but for REQUESTS. Throws `invalid_request` when its body and subject differ. */
export function readEvent<E extends OnceMessage>(schema: z.ZodType<E>, prefix: string, { subject, data }: Pick<Delivery, "subject" | "data">): E {
  const event = schema.safeParse(parseJson(data));
  if (!event.success) throw new AppError("invalid_request", describeIssues(event.error), { cause: event.error });
  if (subjectOf(prefix, event.data) !== subject) throw new AppError("invalid_request", "body and subject differ");
  return event.data;
}

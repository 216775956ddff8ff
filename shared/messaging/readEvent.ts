import { z } from "zod";

import { compiled } from "#shared/contracts/compiled.ts";
import { describeIssues } from "#shared/contracts/describeIssues.ts";
import { AppError } from "#shared/contracts/errors.ts";
import type { OnceMessage } from "#shared/contracts/shadow.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

import type { Delivery } from "./consume.ts";
import { isNewer, NewerVersion } from "./newerVersion.ts";
import { subjectOf } from "./topology.ts";

/** A message of a stream that keeps the first of each subject, but for REQUESTS. Throws `invalid_request` when its body and subject differ, `NewerVersion` for what a later release wrote. */
export function readEvent<E extends OnceMessage>(schema: z.ZodType<E>, prefix: string, { subject, data }: Pick<Delivery, "subject" | "data">): E {
  const value = parseJson(data);
  const event = compiled(schema).safeParse(value);
  const newer = event.success ? undefined : knownTypes(schema).find((known) => isNewer(typeIn(value), known));
  if (newer !== undefined) throw new NewerVersion(typeIn(value), newer);
  if (!event.success) throw new AppError("invalid_request", describeIssues(event.error), { cause: event.error });
  if (subjectOf(prefix, event.data) !== subject) throw new AppError("invalid_request", "body and subject differ");
  return event.data;
}

const typeIn = (value: unknown): string => (typeof value === "object" && value !== null && "type" in value && typeof value.type === "string" ? value.type : "");
function knownTypes(schema: unknown): string[] {
  if (schema instanceof z.ZodDiscriminatedUnion) return schema.options.flatMap(knownTypes);
  const type: unknown = schema instanceof z.ZodObject ? (schema.shape as Record<string, unknown>)["type"] : null;
  return type instanceof z.ZodLiteral ? [...type.values].map(String) : [];
}

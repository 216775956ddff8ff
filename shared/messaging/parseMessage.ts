import type { z } from "zod";

import { compiled } from "#shared/contracts/compiled.ts";
import { badRequest, inOneLine } from "#shared/contracts/describeIssues.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

/** What a caller wrote, in a message that is kept and shown: short, and text that can be stored. */
export const quoted = (text: string): string => inOneLine([text]);

/**
 * What others publish. `type` may be left out; another version's is refused by name. Throws `invalid_json`,
 * `invalid_unicode`, `unsupported_version` or `invalid_request`.
 */
export function parseMessage<T>(schema: z.ZodType<T>, expected: string, bytes: Uint8Array): T {
  const value = parseJson(bytes);
  const type = typeof value === "object" && value !== null && "type" in value ? value.type : undefined;
  if (typeof type === "string" && type !== expected) throw new AppError("unsupported_version", `type ${quoted(type)} is not known here; this service reads ${expected}`);
  const message = compiled(schema).safeParse(value);
  if (!message.success) throw badRequest(message.error);
  return message.data;
}

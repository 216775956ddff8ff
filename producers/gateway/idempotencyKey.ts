/** The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), of every route that asks a model. Pure. */
import { createHash } from "node:crypto";

import { z } from "zod";

import { RequestId } from "#shared/contracts/ids.ts";

/** A String of structured fields (RFC 9651). */
const QUOTED = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;
const KEY = /^[\x20-\x7e]{1,255}$/;
const problem = "must be 1 to 255 printable ASCII characters, in double quotes or without";

/** Read as the request's id that it stands for: itself where it can be one, else its SHA-256. Quotes are no part of the key: common clients send none. */
export const IdempotencyKey = z.string().transform((header, ctx) => {
  const text = header.trim();
  const key = text.startsWith('"') ? QUOTED.exec(text)?.[1]?.replaceAll(/\\(.)/g, "$1") : text;
  if (key === undefined || !KEY.test(key)) {
    ctx.addIssue({ code: "custom", message: problem });
    return z.NEVER;
  }
  return RequestId.safeParse(key).success ? key : createHash("sha256").update(key).digest("base64url");
});

/** Other headers pass as they are. */
export const KeyedHeaders = z.looseObject({
  "idempotency-key": IdempotencyKey.optional().describe(
    "Names the request, as `request_id` does: the same key again gives the same answer and runs nothing, for as long as the outcome is kept. 1 to 255 printable ASCII characters, " +
    "in double quotes or without. The request's id is the key itself where it can be one (A-Z a-z 0-9 _ -, at most 64), else the SHA-256 of it in base64url.",
  ),
});

/** What a reply over HTTP says. Pure. */
import { z } from "zod";

import { InferReply } from "#shared/contracts/reply.ts";

import { InferError, type InferErrorCode, isKnownCode } from "./inferError.ts";

/** A newer service may know more: its fields are handed on, its codes are read as far as they are known here. */
const AnyRecord = z.union([InferReply.loose(), z.object({ request: InferReply.loose() }).transform(({ request }) => request)]);
const Refusal = z.object({ error: z.object({ code: z.string(), message: z.string(), retryable: z.boolean() }) });

/** `undefined`: no JSON. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The request's record: the body, or what an error has beside it. */
export const recordIn = (text: string): InferReply | null => AnyRecord.safeParse(jsonOf(text)).data ?? null;

const CODE_OF_STATUS: Readonly<Partial<Record<number, InferErrorCode>>> = { 401: "unauthenticated", 403: "forbidden", 404: "not_found", 413: "payload_too_large", 429: "rate_limited" };
const codeOf = (status: number | null): InferErrorCode => CODE_OF_STATUS[status ?? 0] ?? "unexpected_reply";
/** Said by somebody between the service and here, who may not have reached it. */
const MAY_PASS: ReadonlySet<number> = new Set([408, 429, 502, 503, 504]);

/** `status` `null`: said within a reply that had begun well. */
export function failureOf({ status, headers }: { readonly status: number | null; readonly headers: Pick<Headers, "get"> }, text: string, requestId: string): InferError {
  const about = { status: status ?? undefined, requestId, retryAfterMs: retryAfterMsOf(headers) };
  const refusal = Refusal.safeParse(jsonOf(text)).data?.error;
  if (refusal === undefined) {
    return new InferError(codeOf(status), `HTTP ${status ?? "event"} without a word of the service`, { ...about, retryable: status !== null && MAY_PASS.has(status) });
  }
  const { code, message, retryable } = refusal;
  if (isKnownCode(code)) return new InferError(code, message, { ...about, retryable });
  return new InferError(codeOf(status), `${code}: ${message}`, { ...about, retryable });
}

/** Of seconds or of a date; `null`: neither. */
export function retryAfterMsOf(headers: Pick<Headers, "get">, nowMs = Date.now()): number | null {
  const text = headers.get("retry-after");
  if (text === null) return null;
  const ms = /^\s*\d+\s*$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - nowMs;
  return Number.isNaN(ms) ? null : Math.max(0, ms);
}

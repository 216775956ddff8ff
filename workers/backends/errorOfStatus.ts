import { BackendError } from "./backendError.ts";

const LONGEST_RETRY_AFTER_MS = 60_000;
/** 529: "overloaded", of Anthropic. */
const PUSHBACK: ReadonlySet<number> = new Set([429, 503, 529]);

/** Of any status but 200. Nothing of the reply's body is repeated: servers echo keys and prompts. Pure. */
export function errorOfStatus(status: number, retryAfter: string | string[] | undefined, nowMs: number): BackendError {
  if (status === 408 || status === 409 || status === 429 || status >= 500) {
    const retryAfterMs = typeof retryAfter === "string" ? retryAfterMsOf(retryAfter, nowMs) : null;
    return new BackendError("backend_unavailable", `the model's server answered ${status}`, { isTransient: true, isPushback: PUSHBACK.has(status), ...(retryAfterMs === null ? {} : { retryAfterMs }) });
  }
  const isThisRequests = status === 400 || status === 413 || status === 422; // too long for the model, say: others are fine
  return new BackendError("backend_refused", `the model's server answered ${status}: check model, key and limits of this tier`, { isBackendsFault: !isThisRequests });
}

const SECONDS = /^\d+(\.\d+)?$/;
/** The one form that servers may still write (RFC 9110, 5.6.7). */
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** Milliseconds from now on, at most a minute; 0 for what is past; `null` for what says nothing. */
export function retryAfterMsOf(header: string, nowMs: number): number | null {
  const text = header.trim();
  const waitMs = SECONDS.test(text) ? Number(text) * 1_000 : HTTP_DATE.test(text) ? Date.parse(text) - nowMs : NaN;
  return Number.isFinite(waitMs) ? Math.min(LONGEST_RETRY_AFTER_MS, Math.max(0, waitMs)) : null;
}

/** What becomes of a delivery after a try. Pure but for `random`. */

/** What came of a try. `status`: of the answer; `null`: none came, and `error` says why. */
export interface Tried {
  readonly status: number | null;
  readonly error: string | null;
  readonly retryAfter: string | null;
}
export type Next = { readonly kind: "delivered" | "gone" | "dead" } | { readonly kind: "retry"; readonly afterMs: number };

export const MOST_TRIES = 15;
const FIRST_WAIT_MS = 5_000;
const LONGEST_WAIT_MS = 12 * 3_600_000;
const GROWTH = 4;

/** `tries`: this one included. `random` in [0, 1). */
export function afterTry({ status, retryAfter }: Tried, tries: number, nowMs: number, random: () => number): Next {
  if (status !== null && status >= 200 && status < 300) return { kind: "delivered" };
  if (status === 410) return { kind: "gone" };
  if (tries >= MOST_TRIES) return { kind: "dead" };
  const asked = retryAfter === null ? null : retryAfterMsOf(retryAfter, nowMs);
  return { kind: "retry", afterMs: asked === null ? backoffMs(tries, random) : between(FIRST_WAIT_MS, asked * (1 + 0.1 * random()), LONGEST_WAIT_MS) };
}

/**
 * 5 s, four times as long each time, at most 12 h, of which half is certain and half drawn: 1.9 to 3.8 days for all tries. With full
 * jitter a run of small draws would give up on a receiver within hours.
 */
function backoffMs(tries: number, random: () => number): number {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * GROWTH ** (tries - 1));
  return longest * (1 + random()) / 2;
}

const between = (least: number, value: number, most: number): number => Math.min(most, Math.max(least, value));

const SECONDS = /^\d+$/;
/** The one form that servers may still write (RFC 9110, 5.6.7). */
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;
function retryAfterMsOf(header: string, nowMs: number): number | null {
  const text = header.trim();
  const waitMs = SECONDS.test(text) ? Number(text) * 1_000 : HTTP_DATE.test(text) ? Date.parse(text) - nowMs : NaN;
  return Number.isFinite(waitMs) ? waitMs : null;
}

import type { z } from "zod";

/** Text that Postgres and every JSON parser can hold: no NUL, no lone surrogate. What callers write is refused otherwise. */
export const wellFormed = (text: z.ZodString) =>
  text.refine((value) => value.isWellFormed() && !value.includes("\0"), { error: "must be well-formed Unicode without NUL", params: { code: "invalid_unicode" } });

/**
 * Text that Postgres and JSON can hold: each NUL or lone surrogate becomes U+FFFD. Idempotent.
 * For what others send and we must keep (an answer, an error's message); a caller's own text is refused instead (`request.ts`).
 */
export const storable = (text: string): string => text.toWellFormed().replaceAll("\0", "\uFFFD");

/** What JSON makes of a NUL and of a lone surrogate, and of a text that says so itself. */
const MAY_BE_UNSTORABLE = /\\u(0000|d[89a-f])/;
/** Whether every text in a JSON value can be held, keys too. `json`: the value's own. */
export const isStorable = (value: unknown, json: string): boolean => !MAY_BE_UNSTORABLE.test(json) || json === JSON.stringify(storableJson(value));

/** The same for every text in a JSON value, keys too. */
export function storableJson(value: unknown): unknown {
  if (typeof value === "string") return storable(value);
  if (Array.isArray(value)) return value.map(storableJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [storable(key), storableJson(inner)]));
}

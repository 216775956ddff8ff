/** The books: what was paid, on which line, and who pays for it (ADR 0023). */
import { z } from "zod";

/**
 * `attempt`: asked for by the request's policy. `verification`: calls that were made to learn how sure an attempt's answer is. `exploration`: an attempt
 * of a tier that was drawn, so that routing learns. `shadow`, `cache_audit`: asked again after the request had its answer. `waste`: paid, and in no outcome.
 */
export const LineKind = z.enum(["attempt", "verification", "exploration", "shadow", "cache_audit", "waste"]);
export type LineKind = z.infer<typeof LineKind>;

/** Whether the tenant pays for it: for what its requests' policies did, and not for what whoever runs the service wanted to know, nor for runs that brought nothing. */
export function isCharged(kind: LineKind): boolean {
  switch (kind) {
    case "attempt":
    case "verification":
    case "exploration": return true;
    case "shadow":
    case "cache_audit":
    case "waste": return false;
  }
}

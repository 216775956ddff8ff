import { z } from "zod";

/** A name that the JavaScript runtime knows: IANA's. No offset, which would mean its opposite to Postgres. */
export const TimeZone = z.string().max(64).refine(isTimeZone, "is no time zone (IANA, as Europe/Berlin or UTC)");

function isTimeZone(name: string): boolean {
  try {
    return /^[A-Za-z]/.test(name) && new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

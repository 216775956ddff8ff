import { jetstream } from "@nats-io/jetstream";

import { findDeadLetters } from "#shared/deadLetters/deadLetters.ts";
import { readHandled } from "#shared/deadLetters/handled.ts";

import type { Place } from "../../place.ts";
import { type Check, type Finding, ok, warning } from "../finding.ts";

const MOST_READ = 1_000;

export const deadLetters: Check<Place> = {
  title: "dead letters",
  run: async (place) => {
    const [{ nats }, { pool }] = await Promise.all([place.nats(), place.postgres()]);
    const handled = await readHandled({ pool, tenantId: null });
    const { letters, older, unreadable } = await findDeadLetters({ js: jetstream(nats), prefix: place.prefix }, {}, { handled, most: MOST_READ });
    return judgeDeadLetters(letters.map(({ letter }) => letter.reason), older + unreadable);
  },
};

/** `more`: whose reasons were not read. */
export function judgeDeadLetters(reasons: readonly string[], more: number): Finding[] {
  if (reasons.length + more === 0) return [ok("none that nobody has handled")];
  const counts = [...new Set(reasons)].map((reason) => ({ reason, count: reasons.filter((one) => one === reason).length })).sort((a, b) => b.count - a.count);
  return [warning(`${reasons.length + more} that nobody has handled: ${[...counts.map(({ reason, count }) => `${reason} (${count})`), ...(more > 0 ? [`others (${more})`] : [])].join(", ")}`, "See inferctl dlq list; then retry or discard each.")];
}

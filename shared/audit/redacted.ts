import { createHmac } from "node:crypto";

import type { Attempt, Completion } from "#shared/contracts/events.ts";

const REMOVED = "removed";

/**
 * The event without what anybody said: no text of question or answer, no text of an error, no value of its metadata. Whose it is, and what was asked, are
 * told by a keyed hash, so that what is equal stays equal under the same key and cannot be guessed without it. All that decisions and statistics need stays. Pure.
 */
export function redacted({ message: _message, input: _input, ...event }: Completion, key: Buffer): Completion {
  const hashed = (text: string): string => createHmac("sha256", key).update(text).digest("hex");
  return {
    ...event,
    user_id: event.user_id === null ? null : hashed(event.user_id).slice(0, 32),
    output: null,
    error: event.error === null ? null : { ...event.error, message: REMOVED },
    metadata: event.metadata === null ? null : Object.fromEntries(Object.keys(event.metadata).map((name) => [name, REMOVED])),
    fingerprint: event.fingerprint === null ? null : hashed(event.fingerprint),
    ...(event.input_sha256 === undefined ? {} : { input_sha256: hashed(event.input_sha256) }),
    attempts: event.attempts.map(withoutText),
  };
}

function withoutText(attempt: Attempt): Attempt {
  return attempt.outcome.kind === "failed" ? { ...attempt, outcome: { ...attempt.outcome, message: REMOVED } } : attempt;
}

import { expect, it } from "vitest";

import { AppError, ERROR_CODE_NAMES, ERROR_CODES } from "./errors.ts";

/** Promise 9: an outage is never reported as the caller's error. A new outage is added here on purpose. */
const OUTAGES = ["backend_unavailable", "broker_unavailable", "budget_unknown", "database_unavailable", "accept_unknown", "outcome_pending", "storage_full", "overloaded", "routing_stalled", "too_many_streams", "console_unavailable"];
/** Worth another try though nothing is broken. */
const LATER = ["idempotency_in_progress", "rate_limited", "request_timeout"];

it.each(ERROR_CODE_NAMES)("%s is 503 and held exactly when it is an outage, and worth another try then or later", (code) => {
  const error = new AppError(code, "m");
  const isOutage = OUTAGES.includes(code);
  expect([ERROR_CODES[code].httpStatus === 503, error.retryable, error.isOutage]).toEqual([isOutage, isOutage || LATER.includes(code), isOutage]);
});

it.each(ERROR_CODE_NAMES)("%s has a status of the 4xx or 5xx classes", (code) => {
  expect(ERROR_CODES[code].httpStatus).toBeGreaterThanOrEqual(400);
  expect(ERROR_CODES[code].httpStatus).toBeLessThan(600);
});

it("shows its message to clients unless it has another one for them", () => {
  expect(new AppError("not_found", "no such thing").publicMessage).toBe("no such thing");
  expect(new AppError("internal", "row 7", { publicMessage: "internal error" })).toMatchObject({ message: "row 7", publicMessage: "internal error" });
});

it("keeps its cause apart from what it says", () => {
  const cause = new Error("secret");
  const error = new AppError("broker_unavailable", "down", { cause });
  expect(error.cause).toBe(cause);
  expect(`${error.message} ${error.publicMessage}`).not.toContain("secret");
});

import { describe, expect, it } from "vitest";

import { AppError, ERROR_CODE_NAMES, ERROR_CODES } from "#shared/contracts/errors.ts";

import { backoffMs, verdictFor } from "./consume.ts";
import { NewerVersion } from "./newerVersion.ts";

const first = { tries: 1, deliveries: 1, maxDeliver: 4 };
const outage = new AppError("database_unavailable", "down");
const newer = new NewerVersion("job.v2", "job.v1");
const bug = new TypeError("x is undefined");

describe("verdictFor", () => {
  it.each([
    ["holds a message through an outage", outage, first, { action: "hold", delayMs: 200 }],
    ["holds it longer each time", outage, { ...first, tries: 3 }, { action: "hold", delayMs: 800 }],
    ["holds it even at its last delivery: an outage uses none up", outage, { ...first, deliveries: 4 }, { action: "hold", delayMs: 200 }],
    ["holds it however long the outage lasts", outage, { ...first, tries: 1_000 }, { action: "hold", delayMs: 15_000 }],
    ["gives back what a later release wrote", newer, { ...first, deliveries: 2 }, { action: "retry", delayMs: 500 }],
    ["holds it at the last delivery but one: one is left for another process", newer, { ...first, deliveries: 3 }, { action: "hold", delayMs: 200 }],
    ["gives it back again and again where there is no limit", newer, { ...first, deliveries: 99, maxDeliver: -1 }, { action: "retry", delayMs: 500 }],
    ["gives up what cannot get better, at once", new AppError("invalid_request", "no"), first, { action: "giveUp", error: { code: "invalid_request", message: "no" } }],
    ["gives up with what clients may read", new AppError("internal", "row 7", { publicMessage: "sorry" }), first, { action: "giveUp", error: { code: "internal", message: "sorry" } }],
    ["retries what may be a bug that a deploy fixes", bug, first, { action: "retry", delayMs: 200 }],
    ["retries later at a later delivery", bug, { ...first, deliveries: 3 }, { action: "retry", delayMs: 800 }],
    ["retries what is thrown and no error", "text", first, { action: "retry", delayMs: 200 }],
    ["gives up after the last delivery", bug, { ...first, deliveries: 4 }, { action: "giveUp", error: { code: "poison", message: "given up after 4 deliveries" } }],
    ["never gives up where there is no limit", bug, { ...first, deliveries: 10_000, maxDeliver: -1 }, { action: "retry", delayMs: 15_000 }],
    ["does not take an error of another kind for an outage", Object.assign(new Error("x"), { code: "broker_unavailable", isOutage: true }), { ...first, deliveries: 4 }, { action: "giveUp", error: { code: "poison" } }],
  ])("%s", (_name, error, count, verdict) => {
    expect(verdictFor(error, count, 0.5)).toMatchObject(verdict);
  });

  it.each(ERROR_CODE_NAMES)("never gives up for want of a dependency, and never retries for ever what is refused: %s", (code) => {
    const { action } = verdictFor(new AppError(code, "m"), { ...first, deliveries: 99 }, 0.5);
    expect(action).toBe(ERROR_CODES[code].httpStatus === 503 ? "hold" : "giveUp");
  });
});

describe("backoffMs", () => {
  it.each([
    [1, 0, 0], [1, 0.5, 200], [1, 0.999999, 400], [2, 0.999999, 800], [7, 0.999999, 25_600], [8, 0.999999, 30_000], [1_000, 0.999999, 30_000], [100_000, 0.5, 15_000],
  ])("after %d tries with random %d is %d ms", (tries, random, ms) => {
    expect(backoffMs(tries, random)).toBe(ms);
  });
});

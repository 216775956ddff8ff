import { describe, expect, it } from "vitest";

import { KEYLESS } from "#shared/contracts/apiKey.ts";
import type { AppError } from "#shared/contracts/errors.ts";
import type { Completion } from "#shared/contracts/events.ts";
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { DEFAULT_SETTINGS } from "#shared/contracts/tenant.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import type { Submitted } from "#shared/messaging/submitRequest.ts";

import { makeInference } from "./inference.ts";

const ID = { tenant_id: "t1", request_id: "r-1" };
const BODY = { ...ID, user_id: "u-1", input: "hi", budget: 1, deadline_ms: 1_000 };

/** No outcome by `waitedMs` after the call. */
async function refusedAfter(submitted: Submitted, waitedMs: number): Promise<AppError> {
  let nowMs = 50_000;
  const nothing = (): Promise<Completion | null> => {
    nowMs += waitedMs;
    return Promise.resolve(null);
  };
  const inference = makeInference({
    submit: () => Promise.resolve(submitted),
    replies: { expect: () => ({ get outcome() { return nothing(); }, close: () => undefined }), find: () => Promise.resolve(null) },
    limits: { defaultDeadlineMs: 30_000, maxDeadlineMs: 60_000, tierFile: TierFile.parse(tierFixture) },
    cancel: () => undefined, origin: "gateway-1", sweepGraceMs: 500, now: () => nowMs,
  });
  return inference.infer(ID, BODY, { caller: { tenant_id: "t1", principal: KEYLESS, standing: { status: "active", settings: DEFAULT_SETTINGS } }, traceparent: "" }).then(() => { throw new Error("it was answered"); }, (error: unknown) => error as AppError);
}

describe("a request without an outcome", () => {
  it.each([
    ["is in progress for whoever repeated it and waited until its deadline", "repeated", 1_000, "idempotency_in_progress"],
    ["is pending for whoever sent it first", "accepted", 1_000, "outcome_pending"],
    ["is pending when this gateway ends before the deadline", "repeated", 999, "outcome_pending"],
  ] as const)("%s", async (_name, submitted, waitedMs, code) => {
    const error = await refusedAfter(submitted, waitedMs);
    expect([error.code, error.publicMessage]).toEqual([code, expect.stringContaining("ask again with the same request_id, or GET /requests/r-1") as string]);
  });
});

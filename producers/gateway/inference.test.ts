import { describe, expect, it } from "vitest";

import { AppError } from "#shared/contracts/errors.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { KEYLESS } from "#shared/contracts/apiKey.ts";
import { DEFAULT_SETTINGS } from "#shared/contracts/tenant.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { fingerprintOf } from "#shared/messaging/readRequest.ts";
import type { Submitted } from "#shared/messaging/submitRequest.ts";

import type { Admission } from "./admit.ts";
import { makeInference } from "./inference.ts";

const CALL = { caller: { tenant_id: "t1", principal: KEYLESS, standing: { status: "active" as const, settings: DEFAULT_SETTINGS } }, traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" };
const id = (request_id: string) => ({ tenant_id: "t1", request_id });
const body = (request_id?: string) => ({ ...(request_id === undefined ? {} : { request_id }), user_id: "u-1", input: "hi", budget: 0.01 });

function world({ problem = null, isKnown = false }: { problem?: AppError | null; isKnown?: boolean } = {}) {
  const outcome = Completion.parse({ ...fixture, fingerprint: fingerprintOf(body()) });
  const asked: (Admission & { id: string })[] = [], submitted: string[] = [];
  const inference = makeInference({
    admit: async ({ request_id }, _call, admission) => { asked.push({ ...admission, id: request_id }); if (problem !== null) throw problem; },
    submit: async ({ request_id }) => { submitted.push(request_id); return "accepted"; },
    replies: { expect: () => ({ outcome: Promise.resolve(outcome), close: () => undefined }), find: async () => (isKnown ? outcome : null) },
    limits: { defaultDeadlineMs: 30_000, maxDeadlineMs: 60_000, tierFile: TierFile.parse(tierFixture) }, cancel: () => undefined, origin: "gateway-1", sweepGraceMs: 5_000, now: () => 1_000,
  });
  return { inference, asked, submitted };
}

it.each(["infer", "accept"] as const)("%s publishes nothing of what was not admitted", async (way) => {
  const { inference, submitted } = world({ problem: new AppError("rate_limited", "m") });
  await expect(inference[way](id("r1"), body(), CALL)).rejects.toMatchObject({ code: "rate_limited" });
  expect(submitted).toEqual([]);
});

it.each(["infer", "accept"] as const)("%s takes nothing for a request whose outcome is known", async (way) => {
  const { inference, asked, submitted } = world({ isKnown: true });
  await inference[way](id("r1"), body("r1"), CALL);
  expect([asked, submitted]).toMatchObject([[{ id: "r1", isRepeat: true }], []]);
});

it("admits the parts of a call together, once, and under the call's own id", async () => {
  const { inference, asked, submitted } = world();
  const parts = [body("call"), body("call")];
  const call = { ...CALL, whole: { id: id("call"), parts } };
  await Promise.all(parts.map((part, place) => inference.infer(id(`call-${place}`), { ...part, request_id: `call-${place}` }, call)));
  expect(asked).toEqual([{ id: "call", bodies: parts, isRepeat: false, deadlineMs: 30_000 }]);
  expect(submitted).toEqual(["call-0", "call-1"]);
});

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
    admit: () => Promise.resolve(), submit: () => Promise.resolve(submitted),
    replies: { expect: () => ({ get outcome() { return nothing(); }, close: () => undefined }), find: () => Promise.resolve(null) },
    limits: { defaultDeadlineMs: 30_000, maxDeadlineMs: 60_000, tierFile: TierFile.parse(tierFixture) },
    cancel: () => undefined, origin: "gateway-1", sweepGraceMs: 500, now: () => nowMs,
  });
  return inference.infer(ID, BODY, CALL).then(() => { throw new Error("it was answered"); }, (error: unknown) => error as AppError);
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

import { expect, it } from "vitest";

import { Completion, Job, Result } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import resultFixture from "#shared/contracts/fixtures/result.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";

import { baselineOf, closeRequest, closeSaga, unreadableCompletion } from "./closings.ts";

const FILE = TierFile.parse(tierFixture);
const JOB = Job.parse(jobFixture);
const RESULT = Result.parse(resultFixture);
const ERROR = { code: "deadline_exceeded", message: "no outcome by its deadline" } as const;
const OCCASION = { nowMs: JOB.request.deadline_at_ms + 5_000, traceId: "abc" };

it("closes a request that was never routed, with nothing spent", () => {
  expect(closeRequest(JOB.request, FILE, ERROR, OCCASION)).toMatchObject([{ outcome: "failed", error: ERROR, cost_nano_usd: 0, baseline_cost_nano_usd: null, baseline_tier: "large", attempts: [], latency_ms: 25_000 }]);
});

it.each([["a result", RESULT], ["a job in flight", JOB]])("closes %s with the answer in hand and what it cost", (_name, message) => {
  expect(closeSaga(message, ERROR, OCCASION)).toMatchObject([{ outcome: "degraded", degraded_reason: "deadline", error: null, output: "maybe", tier: "medium", cost_nano_usd: 30_000, attempts: [{ attempt: 1 }, { attempt: 2 }] }]);
});

it("closes what cannot be read with all that its subject says", () => {
  const completion = unreadableCompletion({ tenant_id: "t1", request_id: "r-9" }, 1_000, ERROR, { nowMs: 900, traceId: "abc" });
  expect(Completion.parse(completion)).toEqual(completion);
  expect(completion).toMatchObject({ tenant_id: "t1", request_id: "r-9", origin: "direct", outcome: "failed", error: ERROR, latency_ms: 0, user_id: null, fingerprint: null });
});

it("takes the baseline's price as it is in the tier file", () => {
  expect(baselineOf(FILE)).toEqual({ tier: "large", rates: { input_nano_usd_per_million: 2_500_000_000, output_nano_usd_per_million: 10_000_000_000, request_nano_usd: 100_000 } });
  expect(() => baselineOf({ ...FILE, baseline_tier: "gone" })).toThrow("no tier gone");
});

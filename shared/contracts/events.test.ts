import { expect, it } from "vitest";

import cacheAudit from "./fixtures/cache_audit.v1.json" with { type: "json" };
import cacheAuditJob from "./fixtures/cache_audit_job.v1.json" with { type: "json" };
import completion from "./fixtures/completion.v1.json" with { type: "json" };
import deadLetter from "./fixtures/dead_letter.v1.json" with { type: "json" };
import feedback from "./fixtures/feedback.v1.json" with { type: "json" };
import job from "./fixtures/job.v1.json" with { type: "json" };
import request from "./fixtures/request.v1.json" with { type: "json" };
import result from "./fixtures/result.v1.json" with { type: "json" };
import shadow from "./fixtures/shadow.v1.json" with { type: "json" };
import shadowJob from "./fixtures/shadow_job.v1.json" with { type: "json" };
import shadowTier from "./fixtures/shadow_tier.v1.json" with { type: "json" };
import { CacheAudit, CacheAuditJob } from "./cacheAudit.ts";
import { Completion, DeadLetter, Job, Result } from "./events.ts";
import { FeedbackMessage } from "./feedback.ts";
import { RequestMessage } from "./request.ts";
import { Shadow, ShadowJob, ShadowTierEvent } from "./shadow.ts";

/** Messages as version 1 wrote them. They lie in streams and archives, so these files never change and always parse. */
it.each([
  ["request.v1", RequestMessage, request],
  ["job.v1", Job, job],
  ["result.v1", Result, result],
  ["completion.v1", Completion, completion],
  ["dead_letter.v1", DeadLetter, deadLetter],
  ["feedback.v1", FeedbackMessage, feedback],
  ["shadow_job.v1", ShadowJob, shadowJob],
  ["shadow.v1", Shadow, shadow],
  ["shadow_tier.v1", ShadowTierEvent, shadowTier],
  ["cache_audit_job.v1", CacheAuditJob, cacheAuditJob],
  ["cache_audit.v1", CacheAudit, cacheAudit],
] as const)("reads %s of the past and loses none of it", (type, schema, fixture) => {
  const read = schema.parse(fixture);
  expect(read.type).toBe(type);
  expect(read).toEqual(fixture);
});

it("reads fields of the future without failing", () => {
  expect(Completion.parse({ ...completion, added_later: 1 })).toEqual(completion);
});

it.each([
  ["a cost below zero", { cost_nano_usd: -1 }],
  ["a fraction of a nano-dollar", { cost_nano_usd: 0.5 }],
  ["a confidence above 1", { confidence: 1.1 }],
  ["an unknown outcome", { outcome: "maybe" }],
  ["an unknown error code", { error: { code: "oops", message: "" } }],
  ["a time that no Date can hold", { completed_at_ms: 9e15 }],
  ["an acceptance that no Date can hold", { accepted_at_ms: 9e15 }],
  ["an attempt at a time that no Date can hold", { attempts: [{ ...completion.attempts[0], started_at_ms: 9e15 }] }],
  ["a tenant that is no subject token", { tenant_id: "a.b" }],
])("refuses %s", (_name, over) => {
  expect(Completion.safeParse({ ...completion, ...over }).success).toBe(false);
});

import { pino } from "pino";
import { Registry } from "prom-client";
import { expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import requestFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { InferenceRequest } from "#shared/contracts/request.ts";
import { TierFile } from "#shared/contracts/tiers.ts";

import { makeAuditHit } from "./auditHit.ts";
import { GUARD_VERSION } from "./questionForm.ts";

/** Its models are on servers. */
const FILE = TierFile.parse(tierFixture);
const REQUEST = { ...InferenceRequest.parse(requestFixture.request), policy: "cascade", min_tier: null, max_tier: null };
const HIT = { ...Completion.parse(completionFixture), tier: "large", output: "Lima", cache: { kind: "semantic" as const, stored_at_ms: 0, age_ms: 1, source_request_id: "r-0" } };
const SETTINGS = { mode: "all" as const, ttl_s: 60, semantic: { max_false_hit_rate: 0.01, audit_share: 1, guard_version: GUARD_VERSION } };
function audits() {
  const published: unknown[] = [];
  const registry = new Registry();
  let nowMs = 0;
  const auditHit = makeAuditHit({ publisher: { emit: async (event) => { published.push(event); return Promise.resolve({ isDuplicate: false }) as never; } }, tierFile: FILE, registry, log: pino({ level: "silent" }), now: () => nowMs });
  const ask = (content: string, temperature: number, i = 0) => { auditHit({ ...REQUEST, input: { messages: [{ role: "user", content }], temperature } }, { ...HIT, request_id: `r-${i}` }, SETTINGS, ""); };
  const dropped = async () => (await registry.getSingleMetric("infer_cache_audits_dropped_total")?.get())?.values[0]?.value;
  return { published, ask, dropped, pass: (ms: number) => { nowMs += ms; } };
}

it("draws no request whose answer might come out otherwise by itself", () => {
  const { published, ask } = audits();
  ask("Tell me a joke", 0.7);
  ask("What is the capital of Peru?", 0);
  expect(published).toMatchObject([{ type: "cache_audit_job.v1", given: "Lima", tier: "large" }]);
});

it("publishes no more than its share of jobs, counts what it drops, and goes on later", async () => {
  const { published, ask, dropped, pass } = audits();
  for (let i = 0; i < 100; i++) ask("What is the capital of Peru?", 0, i);
  expect([published.length, await dropped()]).toEqual([30, 70]);
  pass(60_000);
  for (let i = 100; i < 200; i++) ask("What is the capital of Peru?", 0, i);
  expect(published).toHaveLength(60);
});

it("publishes no more than its share of bytes", async () => {
  const { published, ask, dropped } = audits();
  for (let i = 0; i < 5; i++) ask("x".repeat(1_000_000), 0, i);
  expect([published.length, await dropped()]).toEqual([4, 1]);
});

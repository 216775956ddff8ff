import { pino } from "pino";
import { expect, it } from "vitest";

import type { Taken, TakeOptions } from "#shared/cache/answerCache.ts";
import { KEYLESS } from "#shared/contracts/apiKey.ts";
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { DEFAULT_SETTINGS } from "#shared/contracts/tenant.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";

import { makeCachedRuns } from "./cachedRuns.ts";

const FILE = TierFile.parse(tierFixture);
const ID = { tenant_id: "t1", request_id: "r1" };
const callOf = (mode: "all" | "off") => ({ caller: { tenant_id: "t1", principal: KEYLESS, standing: { status: "active" as const, settings: { ...DEFAULT_SETTINGS, cache: { mode, ttl_s: 60 } } } }, traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" });

function world(taken: Taken) {
  const looks: (TakeOptions | undefined)[] = [];
  const never = () => { throw new Error("a look changes nothing"); };
  const cached = makeCachedRuns({
    cache: { take: async (_tenant, _plan, options) => { looks.push(options); return taken; }, hold: never, release: never, keep: never },
    observe: never, observeOutdated: never, auditHit: never, publisher: { emit: never }, streams: { last: never }, replies: { expect: never, find: never },
    prefix: "infer", limits: { defaultDeadlineMs: 30_000, maxDeadlineMs: 60_000, tierFile: FILE }, routing: () => ({ version: null, floorSteps: 0 }), origin: "gateway-1", graceMs: 1, tracer: startTracing(undefined, "test").tracer, log: pino({ level: "silent" }), now: () => 1_000,
  });
  return { looks, isKept: (mode: "all" | "off", more: { cache_control?: string } = {}) => cached.isKept(ID, { user_id: "u", input: "hi", budget: 1, ...more }, callOf(mode)) };
}
const HIT = { kind: "hit", answer: {}, use: "exact" } as unknown as Taken;

it("says whether an answer is kept, without becoming one that others wait for, and looks only where one may be given", async () => {
  const kept = world(HIT), none = world({ kind: "none" }), follows = world({ kind: "follow", leader: { request_id: "other", deadline_at_ms: 5_000 } });
  expect([await kept.isKept("all"), await none.isKept("all"), await follows.isKept("all")]).toEqual([true, false, false]);
  expect([...kept.looks, ...none.looks, ...follows.looks]).toEqual([undefined, undefined, undefined]);
  expect([await kept.isKept("off"), await kept.isKept("all", { cache_control: "no-cache" })]).toEqual([false, false]);
  expect(kept.looks).toHaveLength(1);
});

import { describe, expect, it } from "vitest";

import { bytesOf } from "#shared/contracts/chat.ts";
import fixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import { InferenceRequest } from "#shared/contracts/request.ts";
import { estimateTokens } from "#shared/contracts/rates.ts";
import { TenantSettings } from "#shared/contracts/tenant.ts";
import type { Level } from "#shared/limits/buckets.ts";
import { makeLocalBuckets } from "#shared/limits/localBuckets.ts";

import { makeAdmitDirect } from "./admitDirect.ts";

const AT = fixture.request.accepted_at_ms;
const LIMITS = TenantSettings.parse({ limits: { tenant: { requests: { rate: 1, burst: 4 }, tokens: { rate: 10_000, burst: 10_000 } } } }).limits;
const request = (request_id: string, more: object = {}) => InferenceRequest.parse({ ...fixture.request, request_id, ...more });
/** Four may be asked for at once. */
function world() {
  const clock = { ms: AT };
  const local = makeLocalBuckets({ maxEntries: 100, now: () => clock.ms });
  const refused: Level[] = [];
  const admit = makeAdmitDirect({ take: (tenantId, buckets, once) => Promise.resolve(local.take(tenantId, buckets, 1, once)), refused: (level) => void refused.push(level) }, (input) => estimateTokens(bytesOf(input)), () => clock.ms);
  const ask = (one: InferenceRequest) => admit(one, LIMITS);
  return { clock, refused, ask, filled: async () => { await ask(request("first")); clock.ms += 10_000; } };
}

describe("a request that no gateway admitted", () => {
  it("pays once, however often it is delivered, and hears the same each time", async () => {
    const { ask, filled } = world();
    await filled();
    for (const delivery of [1, 2, 3]) expect([delivery, await ask(request("r-1"))]).toEqual([delivery, null]);
    expect([await ask(request("r-2")), await ask(request("r-3")), await ask(request("r-4"))]).toEqual([null, null, null]);
    const told = await ask(request("r-5"));
    expect(told).toMatchObject({ code: "rate_limited" });
    expect(await ask(request("r-5"))).toMatchObject({ code: "rate_limited" });
    expect(await ask(request("r-1"))).toBeNull();
  });

  it("is told in its outcome when another one will be let through", async () => {
    const { ask, refused } = world();
    expect(await ask(request("r-1"))).toEqual({ code: "rate_limited", message: "tenant t1 may ask for 1 requests per second and 4 at once: 0 are left; try again in 1 s", retry_after_ms: 1_000 });
    expect(refused.map(({ bucket: { scope, kind } }) => [scope, kind])).toEqual([["tenant", "requests"]]);
  });

  it("leaves half of the burst to others when nobody waits for it", async () => {
    const { ask, filled } = world();
    await filled();
    const batch = (id: string) => ask(request(id, { priority: "batch" }));
    expect([await batch("r-1"), await batch("r-2"), (await batch("r-3"))?.code, await ask(request("r-4")), await ask(request("r-5"))]).toEqual([null, null, "rate_limited", null, null]);
  });

  it("takes nothing past its deadline, and is refused for good where no wait would help", async () => {
    const { clock, ask } = world();
    expect(await ask(request("r-1", { input: "x".repeat(40_000) }))).toMatchObject({ code: "exceeds_limit" });
    clock.ms = request("r-2").deadline_at_ms;
    expect(await ask(request("r-2"))).toBeNull();
  });
});

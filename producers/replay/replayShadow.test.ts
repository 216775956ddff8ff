import { expect, it } from "vitest";

import type { AuditBatch } from "#shared/audit/auditSource.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/shadow_job.v1.json" with { type: "json" };
import { Shadow, ShadowJob, ShadowTierEvent } from "#shared/contracts/shadow.ts";
import { shadowSubject, shadowTierSubject } from "#shared/messaging/topology.ts";

import { replayShadow, type ShadowRun } from "./replayShadow.ts";
import { newShadowTally } from "./shadowTally.ts";

const COUNT = 6, COST = 10, MOST = 100;
const FIXTURE = Shadow.parse(shadowFixture);
const [TIER] = FIXTURE.tiers;
const SOURCE: ShadowRun["source"] = {
  async *batches({ signal }): AsyncGenerator<AuditBatch> {
    for (let from = 1; from <= COUNT && !signal.aborted; from += 2) yield await Promise.resolve({ records: [from, from + 1].map((n) => ({ seq: n, completion: Completion.parse({ ...fixture, tenant_id: "t1", request_id: `r-${n}`, accepted_at_ms: n }) })), unreadable: [], cursor: String(from + 1) });
  },
};
const job = (request_id: string): ShadowJob => ShadowJob.parse({ ...jobFixture, tenant_id: "t1", request_id, tier: "large", baseline_tier: "large", next_tiers: ["medium"] });
const tier = (name: string) => ({ ...TIER, tier: name, is_shadow: true, cost_nano_usd: COST });

/** Workers that answer each job at once: the baseline with `agreement`, and, where they shall, the tier after it. */
function workersOf({ agreement = 1, answersNext = true }: { readonly agreement?: number | null; readonly answersNext?: boolean } = {}) {
  const shadows = new Map<string, unknown>();
  const jobs: string[] = [];
  const publisher: ShadowRun["publisher"] = {
    emit: (event) => {
      if (event.type === "shadow_job.v1") {
        jobs.push(event.request_id);
        shadows.set(shadowSubject("infer", event), Shadow.parse({ ...FIXTURE, tenant_id: "t1", request_id: event.request_id, agreement, tiers: [tier("large")] }));
        if (answersNext && agreement !== null) shadows.set(shadowTierSubject("infer", event, "medium"), ShadowTierEvent.parse({ type: "shadow_tier.v1", tenant_id: "t1", request_id: event.request_id, ...tier("medium"), at_ms: 1 }));
      }
      return Promise.resolve({ isDuplicate: false, stored: event });
    },
  };
  const streams: ShadowRun["streams"] = { last: (_stream, subject) => Promise.resolve(shadows.has(subject) ? ({ json: () => shadows.get(subject) } as never) : null) };
  return { jobs, publisher, streams };
}
const run = ({ publisher, streams }: ReturnType<typeof workersOf>, over: Partial<ShadowRun> = {}) =>
  replayShadow({
    source: SOURCE, tally: newShadowTally(), isSampled: () => true, plan: ({ request_id }) => Promise.resolve({ shadow: null, job: job(request_id), mostNanoUsd: MOST }), perS: 1e6, concurrency: 4, budgetNanoUsd: 1e9,
    publisher, streams, prefix: "infer", signal: new AbortController().signal, keep: () => Promise.resolve(), onProgress: () => undefined, patienceMs: 0, now: () => performance.now(), ...over,
  });

it("asks each request once and adds up what its tiers cost", async () => {
  const workers = workersOf();
  expect(await run(workers)).toMatchObject({ end: "all", tally: { requests: COUNT, unanswered: 0, calls: { large: COUNT, medium: COUNT }, cost_nano_usd: { large: COUNT * COST, medium: COUNT * COST } } });
  expect(workers.jobs).toHaveLength(COUNT);
});

it.each([
  ["no room for the most that one may cost", MOST - 1, 0],
  ["room for one more at its most, again and again as they cost less", MOST + 2 * COST, 2],
])("with %s asks as many as fit, however many may be under way", async (_what, budgetNanoUsd, asked) => {
  const workers = workersOf();
  expect(await run(workers, { budgetNanoUsd })).toMatchObject({ end: "budget", tally: { requests: asked } });
  expect(workers.jobs).toHaveLength(asked);
});

it("takes what does not come back as spent to the most, and stops for it", async () => {
  const workers = workersOf({ answersNext: false });
  expect(await run(workers, { concurrency: 1, budgetNanoUsd: 2.5 * MOST })).toMatchObject({ end: "budget", tally: { requests: 2, unanswered: 2, presumed_nano_usd: 2 * (MOST - COST) } });
});

it("waits for nobody after a baseline that gave no sound answer", async () => {
  expect(await run(workersOf({ agreement: null }), { patienceMs: 60_000 })).toMatchObject({ end: "all", tally: { requests: COUNT, unlabelled: COUNT, unanswered: 0 } });
});

it("asks the sample alone", async () => {
  const workers = workersOf();
  expect(await run(workers, { isSampled: ({ request_id }) => request_id === "r-3" })).toMatchObject({ tally: { requests: 1, skipped: { not_sampled: COUNT - 1 } } });
  expect(workers.jobs).toEqual(["r-3"]);
});

import { expect, it } from "vitest";

import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import { Shadow, ShadowTierEvent } from "#shared/contracts/shadow.ts";

import { addEvents, mergedShadowTallies, newShadowTally, ShadowTally, spentOf } from "./shadowTally.ts";

const FIXTURE = Shadow.parse(shadowFixture);
const [TIER] = FIXTURE.tiers;
const tierOf = (tier: string, cost_nano_usd: number, is_shadow: boolean) => ({ ...TIER, tier, is_shadow, is_kept: !is_shadow, cost_nano_usd });
const label = (agreement: number | null): Shadow => Shadow.parse({ ...FIXTURE, kept: { ...FIXTURE.kept, tier: "small" }, agreement, tiers: [tierOf("small", 5, false), tierOf("large", 70, true)] });
const OTHER = ShadowTierEvent.parse({ type: "shadow_tier.v1", tenant_id: "t", request_id: "r", ...tierOf("medium", 20, true), at_ms: 1 });

it("counts what the shadow's own calls cost, by tier, and how far the kept answers agree", () => {
  const tally = newShadowTally();
  addEvents(tally, [label(1), OTHER], { mostNanoUsd: 500, isComplete: true });
  addEvents(tally, [label(0.5)], { mostNanoUsd: 500, isComplete: true });
  addEvents(tally, [label(null)], { mostNanoUsd: 500, isComplete: true });
  expect(tally).toMatchObject({ requests: 3, unlabelled: 1, agreement: { small: { labels: 2, sum: 1.5 } }, calls: { large: 3, medium: 1 }, cost_nano_usd: { large: 210, medium: 20 } });
  expect(spentOf(tally)).toBe(230);
});

it("presumes that what did not come back cost the most that it can", () => {
  const tally = newShadowTally();
  addEvents(tally, [label(1)], { mostNanoUsd: 500, isComplete: false });
  expect([tally.unanswered, spentOf(tally)]).toEqual([1, 500]);
});

it("comes to the same in parts, put together after JSON, as in one", () => {
  const whole = newShadowTally(), first = newShadowTally(), second = newShadowTally();
  for (const [tally, events] of [[first, [label(1), OTHER]], [second, [label(0.5)]]] as const) for (const one of [whole, tally]) addEvents(one, events, { mostNanoUsd: 500, isComplete: true });
  expect(mergedShadowTallies(ShadowTally.parse(JSON.parse(JSON.stringify(first))), second)).toEqual(whole);
});

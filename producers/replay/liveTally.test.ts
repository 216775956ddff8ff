import { expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";

import { addOutcome, latencyOf, LiveTally, mergedTallies, mixChange, newLiveTally } from "./liveTally.ts";

const EVENT = Completion.parse(fixture);
const [ATTEMPT] = EVENT.attempts;
const of = (tier: string, over: Partial<Completion> = {}): Completion => Completion.parse({ ...EVENT, tier, attempts: [{ ...ATTEMPT, tier }], cost_nano_usd: 100, latency_ms: 40, ...over });

it("compares what came with what is recorded, request by request and in all", () => {
  const tally = newLiveTally();
  addOutcome(tally, of("small"), of("small", { cost_nano_usd: nanoUsd(90) }));
  addOutcome(tally, of("small"), of("large", { cost_nano_usd: nanoUsd(500), latency_ms: 400 }));
  addOutcome(tally, of("small", { attempts: [] }), of("small", { outcome: "rejected" }));
  addOutcome(tally, of("large"), null);
  expect(tally).toMatchObject({ requests: 4, unanswered: 1, same_tier: 2, same_path: 1, now: { tiers: { small: 2, large: 1 }, cost_nano_usd: 690 }, recorded: { tiers: { small: 3 }, cost_nano_usd: 300 } });
  expect(tally.now.outcomes).toMatchObject({ rejected: 1 });
  expect(mixChange(tally.recorded, tally.now)).toBeCloseTo(1 / 3, 9);
  expect(latencyOf(tally.now, 0.5)).toBeGreaterThan(20);
  expect(latencyOf(newLiveTally().now, 0.5)).toBeNull();
});

it("comes to the same in parts, put together after JSON, as in one", () => {
  const pairs = [[of("small"), of("large")], [of("large"), of("large")], [of("small"), null]] as const;
  const whole = newLiveTally(), first = newLiveTally(), second = newLiveTally();
  pairs.forEach(([recorded, now], i) => { for (const one of [whole, i === 0 ? first : second]) addOutcome(one, recorded, now); });
  expect(mergedTallies(LiveTally.parse(JSON.parse(JSON.stringify(first))), second)).toEqual(whole);
});

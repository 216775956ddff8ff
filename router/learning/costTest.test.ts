import { describe, expect, it } from "vitest";

import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { costState, withCost } from "./costTest.ts";
import { lossEvidence } from "./lossTest.ts";

const RISK = 0.05;
interface World {
  readonly share: number;
  /** Mean cost of the arm's requests, where the control's is 1 nano-dollar times `scale`. */
  readonly times: number;
  readonly cost: (random: () => number) => number;
  readonly mostRequests: number;
  readonly scale?: number;
}
const exponential = (random: () => number): number => -Math.log(1 - random());
/** A cascade that asks a tier a hundred times as dear for one request in ten. */
const escalated = (random: () => number): number => (random() < 0.1 ? 100 : 1) / 10.9;
const constant = (): number => 1;

/** Requests of both arms until the evidence was there; `null`: it never was. */
function requestsUntilFound({ share, times, cost, mostRequests, scale = 1_000 }: World, seed: number): number | null {
  const random = seededRandom(seed);
  let state = costState();
  while (state.requests < mostRequests) {
    const isArm = random() < share;
    state = withCost(state, { isArm, costNanoUsd: scale * cost(random) * (isArm ? times : 1) }, { armShare: share, controlShare: 1 - share, mostMore: 0.2 });
    if (lossEvidence(state.test) >= 1 / RISK) return state.requests;
  }
  return null;
}
function shareFound(count: number, world: World): number {
  return Array.from({ length: count }, (_, seed) => requestsUntilFound(world, seed + 1)).filter((one) => one !== null).length / count;
}

describe("the test of an arm's cost", () => {
  it.each([["equal", constant, 0.1], ["spread", exponential, 0.1], ["spread", exponential, 0.5], ["escalated", escalated, 0.1]])("with %s costs rarely finds as much more as is tolerated, however long one looks", (_name, cost, share) => {
    expect(shareFound(200, { share, times: 1.2, cost, mostRequests: 2_000 })).toBeLessThan(RISK + 3 * Math.sqrt((RISK * (1 - RISK)) / 200));
  });

  it("hardly ever finds more where it costs the same", () => { expect(shareFound(100, { share: 0.1, times: 1, cost: exponential, mostRequests: 3_000 })).toBeLessThan(0.02); });

  it.each([["equal", 1_000, constant], ["spread", 10_000, exponential]])("with %s costs finds half as much again within %d requests", (_name, mostRequests, cost) => {
    expect(shareFound(20, { share: 0.1, times: 1.5, cost, mostRequests })).toBe(1);
  });

  it("finds three times as much within 1,000 requests, whatever a request costs", () => {
    expect([1, 1e6].map((scale) => shareFound(20, { share: 0.1, times: 3, cost: exponential, mostRequests: 1_000, scale }))).toEqual([1, 1]);
  });

  it("is not misled by one huge request, and says nothing where all is free", () => {
    const terms = { armShare: 0.1, controlShare: 0.9, mostMore: 0.2 };
    let state = costState();
    for (let i = 0; i < 100; i++) state = withCost(state, { isArm: i % 10 === 0, costNanoUsd: 100 }, terms);
    expect(lossEvidence(withCost(state, { isArm: true, costNanoUsd: 1e12 }, terms).test)).toBeLessThan(10 * lossEvidence(state.test));
    let free = costState();
    for (let i = 0; i < 100; i++) free = withCost(free, { isArm: i % 10 === 0, costNanoUsd: 0 }, terms);
    expect(lossEvidence(free.test)).toBeCloseTo(1);
  });
});

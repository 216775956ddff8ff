import { describe, expect, it } from "vitest";

import { SetupError } from "#infra/embedded/setupError.ts";
import { newEstimate } from "#producers/replay/estimate.ts";
import { newLiveTally } from "#producers/replay/liveTally.ts";
import { newShadowTally } from "#producers/replay/shadowTally.ts";

import { wantedOf } from "./liveMode.ts";
import { estimateText, howFar, liveText } from "./liveText.ts";
import { shadowWantedOf } from "./shadowMode.ts";
import { shadowText } from "./shadowText.ts";

describe("options of --mode live", () => {
  it("are the recorded pace unless another is named", () => {
    expect(wantedOf({}).pace).toEqual({ kind: "original", speed: 1 });
    expect(wantedOf({ speed: "2x" }).pace).toEqual({ kind: "original", speed: 2 });
    expect(wantedOf({ rate: "0.5" }).pace).toEqual({ kind: "rate", perS: 0.5 });
    expect(wantedOf({ max: true }).pace).toEqual({ kind: "max" });
  });

  it("read amounts and tenants", () => {
    expect(wantedOf({ budget: "0.5", "max-cost": "2", yes: true, "tenant-map": ["a=b", "c=b"] })).toMatchObject({ budgetNanoUsd: 5e8, maxCostNanoUsd: 2e9, tenantMap: new Map([["a", "b"], ["c", "b"]]) });
  });

  it.each<[Record<string, unknown>, RegExp]>([
    [{ speed: "2x", rate: "5" }, /--speed and --rate exclude/], [{ speed: "fast" }, /--speed/], [{ rate: "0" }, /--rate/], [{ rate: "" }, /--rate/], [{ concurrency: "0" }, /--concurrency/], [{ "max-cost": "-1" }, /--max-cost/], [{ "max-cost": "" }, /--max-cost/],
    [{ budget: "cheap" }, /--budget/], [{ yes: true }, /--yes needs --max-cost/], [{ run: "a-b" }, /--run/], [{ "tenant-map": ["a"] }, /--tenant-map/], [{ "tenant-map": ["a=b=c"] }, /--tenant-map/], [{ "tenant-map": ["a=b", "a=c"] }, /twice/],
  ])("are refused: %j", (values, message) => {
    expect(() => wantedOf(values as never)).toThrow(message);
    expect(() => wantedOf(values as never)).toThrow(SetupError);
  });
});

it.each<[Record<string, unknown>, RegExp]>([[{}, /needs --budget/], [{ budget: "1", sample: "0" }, /--sample/], [{ budget: "1", sample: "1.1" }, /--sample/], [{ budget: "x" }, /--budget/]])("options of --mode shadow are refused: %j", (values, message) => {
  expect(() => shadowWantedOf(values as never)).toThrow(message);
});

it("says for people what a run would cost, how far it is and what came of it", () => {
  const estimate = { ...newEstimate(), requests: 2, expected_nano_usd: 1_000, most_nano_usd: 2e9 };
  expect(estimateText(estimate, { skipped: { no_input: 3 }, unreadable: { gone: 1 } })).toBe("2 requests: about 0.000001 USD by what the recorded ones would cost today, 2.000000 USD at most by their budgets\nnot sent: 3 no input kept\nnot read: 1 gone");
  expect(howFar({ done: 6, doneBefore: 2, of: 10, underWay: 1, costNanoUsd: 1e9, forMs: 2_000 })).toMatch(/6 of 10 requests, 2\.0\/s, 2 s left, 1 under way, 1\.000000 USD$/);
  const tally = newLiveTally();
  expect(liveText("a1", "interrupted", tally)).toMatch(/^live replay a1: interrupted; 0 requests\n/);
  Object.assign(tally, { requests: 2, unanswered: 1, same_path: 1 });
  tally.now.outcomes["completed"] = 1;
  expect(liveText("a1", "all", tally)).toMatch(/1 of them without an outcome in time[^]*the same tiers in the same order: 1 of 1/);
  expect(shadowText("budget", { ...newShadowTally(), requests: 1, agreement: { small: { labels: 2, sum: 1 } } })).toMatch(/stopped: the budget[^]*small +2 +50\.0 %/);
});

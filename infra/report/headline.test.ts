import { describe, expect, it } from "vitest";

import { headline, marginSentence } from "./headline.ts";
import { evaluation, ordinary, policyReport, tiersAlone } from "./madeUpEvaluations.ts";

const said = (over: Parameters<typeof ordinary>[0]) => headline(evaluation(ordinary(over)), "all").replaceAll("\u00A0", " ");

describe("the headline", () => {
  it("is the whole result in one sentence", () => expect(said({})).toBe("cascade-routing saves 40.0 % of the cost of always-large (95 % interval 38.0 to 42.0 %) and keeps 98.0 % of its quality on 1,200 requests: the target of 97 % is held."));
  it("says MISSED when the target is missed, and only then", () => {
    expect(said({ target_held: false })).toContain("the target of 97 % is MISSED.");
    expect(said({})).not.toContain("MISSED");
  });
  it("calls a negative saving what it is", () => expect(said({ saving: -0.1, saving_ci95: [-0.15, -0.05] })).toContain("costs 10.0 % more than always-large (95 % interval 5.0 to 15.0 %)"));
  it("does not sell the baseline alone as a result", () => {
    expect(said({ saving: 0, saving_ci95: [0, 0], quality_ratio: 1, tier_share: { small: 0, large: 1 }, escalation_share: { small: 0, large: 0 } })).toBe("cascade-routing knows nothing cheaper that was shown to hold the target of 97 %, so it asks always-large alone on all 1,200 requests: nothing is saved.");
  });
  it("speaks of the policy that proves its floor, not of the one that looks best here", () => {
    const policies = [policyReport({ policy: "cascade-point-estimate", saving: 0.9 }), policyReport({ policy: "cascade", saving: 0.2, target_held: false }), ...tiersAlone()];
    expect(headline(evaluation(policies), "all")).toMatch(/^cascade saves 20\.0.*MISSED/);
  });
  it("promises nothing when no learned policy was played", () => expect(headline(evaluation(tiersAlone()), "all")).toContain("No learned policy was played"));
});

describe("the sentence about the margin", () => {
  it.each([[[0.01, 0.02], "1.0 to 2.0 points above"], [[-0.02, -0.01], "1.0 to 2.0 points below"], [[-0.01, 0.02], "do not settle"]] as const)("%j", (margin_ci95, words) => {
    expect(marginSentence(policyReport({ policy: "cascade", margin_ci95 }))).toContain(words);
  });
});

import { describe, expect, it } from "vitest";

import { queryFeatures } from "#router/policy/queryFeatures.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { EvaluationError } from "./evaluationError.ts";
import { learningCurve, UNLABELLED } from "./learningCurve.ts";
import type { OutcomeRow } from "./outcomeLog.ts";

/** The cheap model is right when it says so with 0.9 or more, which is seven times of ten; else it is wrong. */
function rows(n: number): OutcomeRow[] {
  const random = seededRandom(7);
  return Array.from({ length: n }, (_, i) => {
    const isRight = random() < 0.7;
    const query = "what is it";
    return {
      id: String(i), dataset: "d", query, features: queryFeatures(query),
      tiers: [{ quality: isRight ? 1 : 0, cost_usd: 1, verify_cost_usd: 0, confidence: isRight ? 0.9 + 0.04 * random() : 0.5 * random(), latency_ms: 10 }, { quality: 1, cost_usd: 10, verify_cost_usd: 0, confidence: 1, latency_ms: 10 }],
    };
  });
}
const options = { train: rows(900), tiers: ["cheap", "dear"], policies: ["cascade-routing"], baselineTier: null, target: 0.97, risk: 0.05, latencySloMs: null, paysVerification: true, seed: 1, onProgress: () => undefined };
// Outside of the tests' limit: each fits twelve models, which a busy machine does slowly.
const play = () => learningCurve(options, { labels: [0, 30, 500], shuffles: 4 });
const curve = play(), again = play();
const at = (policy: string, labels: number) => curve.points.find((point) => point.policy === policy && point.labels === labels);

describe("a learning curve", () => {
  it("begins with the cascade that needs no labels", () => {
    expect(at("cascade-routing", 0)).toEqual({ ...at(UNLABELLED, 0), policy: "cascade-routing" });
    expect(at("cascade-routing", 0)).toMatchObject({ shown_share: 0, saving: expect.closeTo(-0.1) as number }); // no confidence reaches 0.95, so each cheap answer is paid in vain
  });
  it("keeps what labels show to be good enough, and promises nothing before", () => {
    expect(at("cascade-routing", 30)?.shown_share).toBe(0);
    expect(at("cascade-routing", 500)).toMatchObject({ shown_share: 1, missed_share: 0 });
    expect(at("cascade-routing", 500)?.saving).toBeGreaterThan(0.5);
  });
  it("plays the same number of unseen rows at each count, and is the same for the same seed", () => {
    expect(curve.rows).toBe(400);
    expect(again).toEqual(curve);
  });
  it.each([[[900], /leave fewer than 100 to play/], [[7], /20 labels or more/]])("refuses %s labels", (labels, message) => {
    expect(() => learningCurve(options, { labels, shuffles: 1 })).toThrow(EvaluationError);
    expect(() => learningCurve(options, { labels, shuffles: 1 })).toThrow(message);
  });
});

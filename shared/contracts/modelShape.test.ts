import { describe, expect, it } from "vitest";

import fixture from "./fixtures/routing_model.v1.json" with { type: "json" };
import { shapeProblems } from "./modelShape.ts";
import { type RoutingModelFile, RoutingModelFile as Schema, type StateValues } from "./routingModel.ts";

const changed = (change: (model: RoutingModelFile) => void): RoutingModelFile => {
  const model = Schema.parse(structuredClone(fixture));
  change(model);
  return model;
};
const state = (model: RoutingModelFile, key: string): StateValues => model.levels[1]?.states[key] as StateValues;
const shorter = (weights: number[] | null | undefined): void => { weights?.pop(); };

describe("the parts of a routing model", () => {
  it("fit each other in one that was trained", () => { expect(shapeProblems(Schema.parse(fixture))).toEqual([]); });

  it.each<[string, (model: RoutingModelFile) => void, string]>([
    ["a tier that is there twice", (model) => { model.tiers[1] = "small"; }, "tiers: small is there twice"],
    ["a baseline that is no tier", (model) => { model.baseline_tier = "huge"; }, "baseline_tier: huge is none of the tiers small, medium, large"],
    ["a target of nothing", (model) => { model.target = 0; }, "target: 0 is not above 0 and at most 1"],
    ["a risk of nothing", (model) => { model.risk = 0; }, "risk: 0 is not above 0 and at most 0.5"],
    ["a risk that promises nothing", (model) => { model.risk = 0.6; }, "risk: 0.6 is not above 0 and at most 0.5"],
    ["a class that is there twice", (model) => { model.classes.names[1] = "books"; }, "classes.names: books is there twice"],
    ["a class without a centre", (model) => { model.classes.centroids.pop(); }, "classes.centroids: 1 of them for 2 classes"],
    ["a short centre", (model) => { shorter(model.classes.centroids[1]); }, "classes.centroids.1: 255 numbers, not 256"],
    ["a tier without a calibration", (model) => { model.calibration.pop(); }, "calibration: 2 of them for 3 tiers"],
    ["a calibration of fewer classes", (model) => { shorter(model.calibration[1]?.class_slopes); }, "calibration.1.class_slopes: 1 numbers for 2 classes"],
    ["a place beyond the levels", (model) => { model.operating.cascade_routing_level = 5; }, "operating.cascade_routing_level: there is no level 5, only 5 of them"],
    ["levels in another order", (model) => { model.levels.reverse(); }, "levels.1.lambda_per_usd: levels go from the most careful down, so it must be above the"],
    ["no beginning", (model) => { model.levels[1] = { lambda_per_usd: model.levels[1]?.lambda_per_usd ?? 0, states: {} }; }, 'levels.1.states: the state "" is not there'],
    ["no first step", (model) => { Object.assign(state(model, ""), { read: [null, null, null], blind: [null, null, null] }); }, "levels.1.states.: no tier can be run first"],
    ["a state that cannot be", (model) => { Object.assign(model.levels[1]?.states ?? {}, { "1,0": state(model, "0,1") }); }, "levels.1.states.1,0: no state;"],
    ["a state of a tier that is not there", (model) => { Object.assign(model.levels[1]?.states ?? {}, { 7: state(model, "1") }); }, "levels.1.states.7: no state;"],
    ["a state that is missing", (model) => { delete model.levels[1]?.states["0,1"]; }, "levels.1.states.0.read.1: leads to the state 0,1, which is not there"],
    ["short weights of stopping", (model) => { shorter(state(model, "0,1").stop); }, "levels.1.states.0,1.stop: 12 weights for 13 features"],
    ["short weights before an answer", (model) => { shorter(state(model, "").blind[2]); }, "levels.1.states..blind.2: 6 weights for 7 features"],
    ["short weights of a step", (model) => { shorter(state(model, "0").read[1]); }, "levels.1.states.0.read.1: 10 weights for 11 features"],
    ["fewer steps than tiers", (model) => { state(model, "0").blind.pop(); }, "levels.1.states.0.blind: 2 entries for 3 tiers"],
    ["nothing to keep an answer by", (model) => { state(model, "1").stop = null; }, "levels.1.states.1.stop: null, though there is an answer to keep"],
    ["an answer before any was given", (model) => { state(model, "").stop = [0, 0, 0, 0, 0, 0, 0]; }, "levels.1.states..stop: there is no answer to keep yet"],
    ["a step back", (model) => { state(model, "1").blind[0] = state(model, "1").blind[2] ?? null; }, "levels.1.states.1.blind.0: the tier is not above the latest that answered"],
    ["a confidence that means nothing", (model) => { model.calibration[1] = null; }, "levels.0.states.0.read.1: the tier has no calibration"],
  ])("do not with %s, and the problem says where", (_name, change, problem) => {
    expect(shapeProblems(changed(change)).some((one) => one.startsWith(problem)), shapeProblems(changed(change)).join("\n")).toBe(true);
  });
});

import { describe, expect, it } from "vitest";

import fixture from "#shared/contracts/fixtures/routing_model.v1.json" with { type: "json" };
import { RoutingModelFile } from "#shared/contracts/routingModel.ts";

import { modelVersion, readModel } from "./readModel.ts";

const MODEL = RoutingModelFile.parse(fixture);
const reversed = (value: unknown): unknown =>
  (Array.isArray(value) ? value.map(reversed) : typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value).reverse().map(([key, inner]) => [key, reversed(inner)])) : value);

describe("a routing model's file", () => {
  it("is read when its version names its content, in whatever order its keys are", () => {
    expect(readModel(fixture)).toEqual({ model: MODEL });
    expect(readModel(reversed(fixture))).toEqual({ model: MODEL });
  });

  it("is refused after an edit, and says what to do if the edit is wanted", () => {
    const edited = { ...fixture, operating: { ...fixture.operating, cascade_keep_from: 0.8 } };
    const named = modelVersion(edited as RoutingModelFile);
    expect(named).not.toBe(MODEL.version);
    expect(readModel(edited)).toEqual({ problems: [`version: it was edited: ${MODEL.version} no longer names its content; if the change is wanted, set version to ${named} and import the file`] });
    expect(readModel({ ...edited, version: named })).toMatchObject({ model: { version: named, operating: { cascade_keep_from: 0.8 } } });
  });

  it.each([
    ["a field that nobody knows", { ...fixture, note: "faster" }, /no longer names its content/],
    ["another type", { ...fixture, type: "routing_model.v2" }, /^type: /],
    ["a part that does not fit", { ...fixture, calibration: [] }, /^calibration: 0 of them for 3 tiers/],
    ["something else", [], /expected object/],
  ])("is refused with %s", (_name, value, problem) => {
    expect(readModel(value)).toEqual({ problems: expect.arrayContaining([expect.stringMatching(problem)]) as string[] });
  });
});

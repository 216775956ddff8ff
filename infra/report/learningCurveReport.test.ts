import { expect, it } from "vitest";

import type { CurvePoint, LearningCurve } from "#router/evaluation/learningCurve.ts";

import { learningCurveChart, learningCurveReport } from "./learningCurveReport.ts";

const point = (policy: string, labels: number, saving: number, quality_ratio: number, shown_share: number): CurvePoint => ({ policy, labels, saving, quality_ratio, shown_share, missed_share: 0.25 });
const CURVE: LearningCurve = {
  seed: 1, rows: 485, shuffles: 20, tiers: ["small", "large"], baseline: "large", target: 0.97, risk: 0.05, cost: "total",
  points: [point("cascade without labels", 0, 0.4, 0.96, 0), point("cascade-routing", 0, 0.4, 0.96, 0), point("cascade-routing", 30, 0.2, 0.977, 0), point("cascade-routing", 300, 0.5, 0.985, 0.9)],
};

it("leads each policy from no labels to many, and marks where the floor was not shown to hold", () => {
  const { lines, landmarks, references } = learningCurveChart(CURVE);
  expect(lines.map(({ series, points }) => [series.family, points])).toEqual([["cascade-routing", [{ x: 0.4, y: 0.96 }, { x: 0.2, y: 0.977 }, { x: 0.5, y: 0.985 }]]]);
  expect(landmarks.map(({ name, isHollow }) => [name, isHollow])).toEqual([["0 labels", true], ["30 labels", true], ["300 labels", false]]);
  expect(references).toEqual([{ y: 0.97, text: "target 97\u00a0%" }]);
});

it("is a picture with the figures beside it", () => {
  const [svg, json] = learningCurveReport(CURVE);
  expect([svg?.name, json?.name, JSON.parse(json?.content ?? "")]).toEqual(["learning-curve.svg", "learning-curve.json", CURVE]);
  for (const said of ["300 labels", "What labels are worth", "cascade-routing"]) expect(svg?.content).toContain(said);
});

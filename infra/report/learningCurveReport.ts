/** From a learning curve to its picture: the way of each policy through saving and quality as labels are added. Pure. */
import { type CurvePoint, type LearningCurve, UNLABELLED } from "#router/evaluation/learningCurve.ts";

import type { Chart, Landmark } from "./chart.ts";
import { chartSvg, FILE_LOOK } from "./chartSvg.ts";
import type { ReportFile } from "./evaluationReport.ts";
import { count, percent, percentExactly, percentOf } from "./figures.ts";
import { familyOf, seriesOf } from "./policyKinds.ts";
import { padded } from "./scale.ts";

export function learningCurveReport(curve: LearningCurve): ReportFile[] {
  return [{ name: CURVE_NAME, content: `${chartSvg(learningCurveChart(curve), FILE_LOOK).markup}\n` }, { name: "learning-curve.json", content: `${JSON.stringify(curve)}\n` }];
}
export const CURVE_NAME = "learning-curve.svg";

const LEAST_SPAN = 0.04;
/** In most shuffles. */
const MOSTLY = 0.5;

/** Hollow: in most shuffles the floor was not shown to hold. */
export function learningCurveChart({ points, tiers, baseline, target, rows, shuffles }: LearningCurve): Chart {
  const fitted = points.filter(({ policy }) => policy !== UNLABELLED);
  const series = seriesOf({ tiers, policies: fitted });
  const lines = series.map((one) => ({ series: one, points: fitted.filter(({ policy }) => familyOf(policy) === one.family).map(({ saving, quality_ratio }) => ({ x: saving, y: quality_ratio })) }));
  const landmarks = fitted.filter(isFirstThere).map(({ policy, labels, saving, quality_ratio, shown_share, missed_share }): Landmark => ({
    x: saving, y: quality_ratio, name: `${count(labels)} labels`, short: count(labels), isHollow: shown_share < MOSTLY,
    beyond: { x: `saving ${percent(saving)}`, y: percentExactly(quality_ratio) },
    says: `${policy}, ${count(labels)} labels: saving ${percentOf(saving)} %, ${percentExactly(quality_ratio)} of the baseline, below the target in ${percent(missed_share)} of the shuffles`,
  }));
  const around = (values: readonly number[]) => padded([Math.min(...values), Math.max(...values)], LEAST_SPAN, 0.1);
  return {
    title: `What labels are worth (means of ${count(shuffles)} shuffles, n = ${count(rows)})`, lines, marks: [], landmarks, landmarkTexts: { filled: "floor mostly shown to hold", hollow: "mostly not" }, series,
    x: { title: `Saving, % of the cost of always-${baseline}`, domain: around(fitted.map(({ saving }) => saving)), format: (value, digits) => percentOf(value, Math.max(0, digits - 2)) },
    y: { title: `Quality, % of always-${baseline}`, domain: around([target, ...fitted.map(({ quality_ratio }) => quality_ratio)]), format: (value, digits) => percentOf(value, Math.max(0, digits - 2)) },
    references: [{ y: target, text: `target ${percent(target)}` }],
  };
}

/** Policies without labels, or with few, are the same cascade. */
const isFirstThere = (point: CurvePoint, place: number, all: readonly CurvePoint[]): boolean => all.findIndex(({ saving, quality_ratio }) => saving === point.saving && quality_ratio === point.quality_ratio) === place;

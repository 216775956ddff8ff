/** From an evaluation to its two charts of one data set: quality against saving, and p95 latency against saving. Pure. */
import type { Evaluation, FrontierPoint, PolicyReport } from "#router/evaluation/evaluate.ts";

import type { Axis, Chart, Landmark, Line, Mark, ValuePoint } from "./chart.ts";
import { count, duration, interval, milliseconds, percent, percentExactly, percentOf } from "./figures.ts";
import { datasetTitle, familyOf, isPointEstimate, kindOf, ofDataset, type Series, seriesOf, tierOf } from "./policyKinds.ts";
import { type Domain, finite, padded } from "./scale.ts";

/** Of a saving, of a quality ratio. */
const LEAST_SPAN = 0.04;
/** How far below the baseline's cost, or above it, a curve is followed; other points reach further. */
const CURVE_FROM_SAVING = -0.25;

export function qualityChart(evaluation: Evaluation, dataset: string): Chart {
  const y = (one: { quality_ratio: number }) => one.quality_ratio;
  const parts = partsOf(evaluation, dataset, y, (value) => percentExactly(value));
  const focus = [...parts.marks.map((mark) => mark.y), 1, evaluation.target];
  const top = Math.max(...focus, ...parts.landmarks.map((point) => point.y), ...parts.lines.flatMap(({ points }) => points.filter(({ x }) => x >= CURVE_FROM_SAVING).map((point) => point.y)));
  const low = Math.min(...focus);
  // What matters lies close to the target: it gets more than a quarter of the height.
  const bottom = Math.min(low, Math.max(top - 3.5 * Math.max(top - low, LEAST_SPAN), Math.min(...focus, ...parts.landmarks.map((point) => point.y))));
  return {
    title: `Quality and saving, ${datasetTitle(dataset)} (n = ${count(parts.n)})`, ...parts,
    y: { title: `Quality, % of always-${evaluation.baseline}`, domain: padded([bottom, top], LEAST_SPAN), format: (value, digits) => percentOf(value, Math.max(0, digits - 2)) },
    references: [{ y: evaluation.target, text: `target ${percent(evaluation.target)}` }],
  };
}

/** `null` when no latency is known. */
export function latencyChart(evaluation: Evaluation, dataset: string, latencySloMs: number | null): Chart | null {
  const y = (one: { latency_p95_ms: number | null }) => one.latency_p95_ms;
  const parts = partsOf(evaluation, dataset, y, (value) => `p95 ${milliseconds(value)} ms`);
  if (parts.marks.length + parts.landmarks.length === 0) return null;
  const baseline = parts.landmarks.find(({ name }) => name === evaluation.baseline);
  const references = [
    ...(baseline === undefined ? [] : [{ y: baseline.y, text: `baseline’s p95 ${duration(baseline.y)}` }]),
    ...(latencySloMs === null ? [] : [{ y: latencySloMs, text: `SLO ${duration(latencySloMs)}` }]),
  ];
  const focus = Math.max(1, ...parts.marks.map((mark) => mark.y), ...references.map((one) => one.y));
  const top = Math.min(2 * focus, Math.max(focus, ...parts.landmarks.map((point) => point.y)));
  return {
    title: `p95 latency and saving, ${datasetTitle(dataset)} (n = ${count(parts.n)})`, ...parts, references,
    y: { title: "p95 latency", domain: [0, 1.08 * top], format: duration },
  };
}

/** For charts that are looked at side by side. */
export function sharingAxes(charts: readonly Chart[]): Chart[] {
  const around = (domains: readonly Domain[]): Domain => [Math.min(...domains.map(([low]) => low)), Math.max(...domains.map(([, high]) => high))];
  const [xDomain, yDomain] = [around(charts.map(({ x }) => x.domain)), around(charts.map(({ y }) => y.domain))];
  return charts.map((chart) => ({ ...chart, x: { ...chart.x, domain: xDomain }, y: { ...chart.y, domain: yDomain } }));
}

interface Parts extends Pick<Chart, "lines" | "marks" | "landmarks" | "landmarkTexts" | "series" | "x"> {
  readonly n: number;
}

/** All that is finite. `y`: of a policy and of a point of its frontier alike. */
function partsOf(evaluation: Evaluation, dataset: string, y: (one: PolicyReport | FrontierPoint) => number | null, sayY: (value: number) => string): Parts {
  const reports = ofDataset(evaluation, dataset);
  const pointOf = (one: PolicyReport | FrontierPoint): ValuePoint[] => {
    const value = y(one);
    return value !== null && Number.isFinite(value) && Number.isFinite(one.saving) ? [{ x: one.saving, y: value }] : [];
  };
  const says = (one: PolicyReport, value: number) => `${one.policy}: saving ${percentOf(one.saving)} % (${interval(one.saving_ci95)}), ${sayY(value)}`;
  const series = seriesOf(evaluation).filter(({ family }) => reports.some(({ policy }) => familyOf(policy) === family));
  const lines = series.flatMap((one) => lineOf(one, reports, pointOf));
  const marks = series.flatMap((one) => reports.filter(({ policy }) => familyOf(policy) === one.family).flatMap((report) => pointOf(report).map((point): Mark => (
    { ...point, series: one, isHollow: isPointEstimate(report.policy), interval: finite(report.saving_ci95).length === 2 ? report.saving_ci95 : null, says: says(report, point.y) }
  ))));
  const landmarks = reports.filter(({ policy }) => ["tier", "oracle"].includes(kindOf(policy, evaluation))).flatMap((report) => pointOf(report).map((point): Landmark => {
    const place = evaluation.tiers.indexOf(tierOf(report.policy));
    return { ...point, name: tierOf(report.policy), short: place < 0 ? report.policy : String(place + 1), beyond: { x: `saving ${percent(point.x)}`, y: sayY(point.y) }, isHollow: place < 0, says: says(report, point.y) };
  }));
  return { n: reports[0]?.n ?? 0, lines, marks, landmarks, landmarkTexts: { filled: "one tier alone", hollow: "oracle" }, series, x: savingAxis(evaluation, lines, marks, landmarks) };
}

/** One for the whole family. A knob may be unsorted or not monotone, so points are joined in order of cost. */
function lineOf(series: Series, reports: readonly PolicyReport[], pointOf: (one: FrontierPoint) => ValuePoint[]): Line[] {
  const frontier = reports.find(({ policy, frontier: points = [] }) => familyOf(policy) === series.family && points.length > 1)?.frontier ?? [];
  const points = frontier.flatMap(pointOf).toSorted((a, b) => b.x - a.x || b.y - a.y);
  return points.length < 2 ? [] : [{ series, points }];
}

/** A tier or a baseline much dearer than all that matters is drawn at the edge, so that it does not press the rest together. */
function savingAxis({ baseline }: Evaluation, lines: readonly Line[], marks: readonly Mark[], landmarks: readonly Landmark[]): Axis {
  const learned = lines.filter(({ series }) => series.kind === "learned").flatMap(({ points }) => points.map(({ x }) => x));
  const reach = (kind: Series["kind"]) => marks.filter(({ series }) => series.kind === kind).flatMap(({ x, interval: range }) => [x, ...(range ?? [])]);
  const [own, others] = [reach("learned"), [...reach("baseline"), ...landmarks.map(({ x }) => x)]];
  const focusLow = Math.min(0, ...own, ...learned.filter((x) => x >= CURVE_FROM_SAVING));
  const high = Math.max(0, ...own, ...learned, ...others);
  const low = Math.min(focusLow, ...others.filter((x) => x >= focusLow - 0.5 * Math.max(LEAST_SPAN, high - focusLow)));
  const domain: Domain = padded([low, high], LEAST_SPAN);
  return { title: `Saving, % of the cost of always-${baseline}`, domain, format: (value, digits) => percentOf(value, Math.max(0, digits - 2)) };
}

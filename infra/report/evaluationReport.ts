/** All files of a report, from an evaluation alone. Pure: the same evaluation gives the same bytes. */
import type { Evaluation } from "#router/evaluation/evaluate.ts";

import { latencyChart, qualityChart } from "./charts.ts";
import { chartSvg, FILE_LOOK } from "./chartSvg.ts";
import { datasetsOf } from "./policyKinds.ts";
import { type ReportContext, reportPage } from "./reportPage.ts";

export interface ReportFile {
  /** A bare file name. */
  readonly name: string;
  readonly content: string;
}

export const PAGE_NAME = "report.html";

export function evaluationReport(evaluation: Evaluation, context: ReportContext): ReportFile[] {
  const datasets = datasetsOf(evaluation);
  const names = fileNames(datasets);
  const charts = datasets.flatMap((dataset, i) => {
    const latency = latencyChart(evaluation, dataset, context.latencySloMs);
    const svg = (kind: string, content: string): ReportFile => ({ name: `${kind}-${names[i] ?? ""}.svg`, content: `${content}\n` });
    return [svg("curve", chartSvg(qualityChart(evaluation, dataset), FILE_LOOK).markup), ...(latency === null ? [] : [svg("latency", chartSvg(latency, FILE_LOOK).markup)])];
  });
  return [...charts, { name: "evaluation.json", content: `${JSON.stringify(evaluation)}\n` }, { name: PAGE_NAME, content: reportPage(evaluation, context) }];
}

const LONGEST_NAME = 80;
/** A data set's name may hold anything, a slash too; and some file systems do not tell "MMLU" from "mmlu". */
function fileNames(datasets: readonly string[]): string[] {
  const taken = new Set<string>();
  return datasets.map((dataset) => {
    const plain = dataset.replace(/[^A-Za-z0-9_-]+/g, "_").slice(0, LONGEST_NAME);
    let name = plain;
    for (let n = 2; taken.has(name.toLowerCase()); n++) name = `${plain}-${n}`;
    taken.add(name.toLowerCase());
    return name;
  });
}

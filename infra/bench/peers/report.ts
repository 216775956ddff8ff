/** The figures of a run as tables: each target's median over rounds, and ratios of the same round. Pure. */
import { textTable } from "#infra/cli/textTable.ts";

import type { Figures } from "./measure.ts";
import type { TargetName } from "./targets.ts";

export interface Cell {
  readonly target: TargetName;
  readonly round: number;
  /** Of the model. */
  readonly delay_ms: number;
  readonly load: { readonly connections: number } | { readonly per_s: number };
  readonly figures: Figures;
}
export interface PeersRun {
  readonly setting: Readonly<Record<string, string | number>>;
  readonly cells: readonly Cell[];
  /** Of the bare hops, at 32 callers; one of each round. */
  readonly floor_requests_per_s: readonly number[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[Math.floor((sorted.length - 1) / 2)] ?? NaN) + (sorted[Math.floor(sorted.length / 2)] ?? NaN)) / 2;
}

const loadName = (load: Cell["load"]): string => ("connections" in load ? `c=${load.connections}` : `${load.per_s}/s`);
const keyOf = ({ delay_ms, load }: Cell): string => `${delay_ms} ms, ${loadName(load)}`;
type Measure = (figures: Figures) => number;

/** A ratio of each round, since the machine is not the same in two of them. */
export function ratios({ cells }: PeersRun, { of, to, at, measure }: { of: TargetName; to: TargetName; at: string; measure: Measure }): number[] {
  const found = (target: TargetName, round: number) => cells.find((cell) => cell.target === target && cell.round === round && keyOf(cell) === at);
  const rounds = [...new Set(cells.map(({ round }) => round))];
  return rounds.flatMap((round) => {
    const [ours, theirs] = [found(of, round), found(to, round)];
    return ours === undefined || theirs === undefined ? [] : [measure(ours.figures) / measure(theirs.figures)];
  });
}

const spread = (values: readonly number[]): string => (values.length === 0 ? "-" : `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`);

export function peersReport(run: PeersRun): string {
  const { setting, cells, floor_requests_per_s: floor } = run;
  const keys = [...new Set(cells.map(keyOf))], targets = [...new Set(cells.map(({ target }) => target))];
  const rows = keys.flatMap((key) => targets.flatMap((target) => {
    const figures = cells.filter((cell) => cell.target === target && keyOf(cell) === key).map((cell) => cell.figures);
    if (figures.length === 0) return [];
    const of = (measure: Measure, digits: number) => median(figures.map(measure)).toFixed(digits);
    return [[key, target, of((one) => one.requests_per_s, 0), of((one) => one.p50_ms, 2), of((one) => one.p99_ms, 1), of((one) => one.cpu_us_all, 0), of((one) => one.memory_mib, 0), String(figures.reduce((sum, one) => sum + one.errors, 0))]];
  }));
  const compared = (["ours", "ours-strict"] as const).filter((name) => targets.includes(name) && targets.includes("portkey"));
  const against = compared.flatMap((of) => keys.map((at) => {
    const ratio = (measure: Measure) => spread(ratios(run, { of, to: "portkey", at, measure }));
    return [at, of, ratio((one) => one.requests_per_s), ratio((one) => one.p50_ms), ratio((one) => one.p99_ms), ratio((one) => one.cpu_us_all)];
  }));
  const ours = cells.filter(({ target, delay_ms, load }) => target === "ours" && delay_ms === 0 && loadName(load) === "c=32");
  const toFloor = ours.flatMap(({ round, figures }) => (floor[round] === undefined ? [] : [figures.requests_per_s / floor[round]]));
  return [
    `${setting["cores"]} x ${setting["cpu"]}, Node ${setting["node"]}; ${setting["rounds"]} rounds of ${setting["seconds"]} s; medians over rounds, ratios of the same round with their spread`, "",
    textTable(["MODEL, LOAD", "TARGET", "REQ/S", "P50 MS", "P99 MS", "CPU US/REQ", "MIB", "ERRORS"], rows), "",
    ...(against.length === 0 ? [] : ["divided by Portkey's:", textTable(["MODEL, LOAD", "TARGET", "REQ/S", "P50", "P99", "CPU"], against), ""]),
    `the bare hops at 32 callers: ${median(floor).toFixed(0)} requests/s; ours at c=32 and no delay divided by it: ${spread(toFloor)}`, "",
  ].join("\n");
}

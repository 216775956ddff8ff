/** What many windows of each way to spend a budget come to, and its table for people. Pure. */
import { textTable } from "#infra/cli/textTable.ts";
import type { WindowOutcome } from "#router/evaluation/pacingRun.ts";
import { mean } from "#router/evaluation/routingMetrics.ts";

/** Mean over all windows of all seeds, and the least and the greatest of them. */
export interface Range {
  readonly mean: number;
  readonly least: number;
  readonly greatest: number;
}
export interface PacingFigures {
  readonly shape: string;
  readonly way: string;
  readonly windows: number;
  /** Of the budget, at the end of its window. */
  readonly spent: Range;
  readonly blocked_requests: Range;
  readonly blocked_time: Range;
  readonly quality: Range;
  /** Of the best in hindsight. */
  readonly of_best: Range;
}
const rangeOf = (values: readonly number[]): Range => ({ mean: mean(values), least: Math.min(...values), greatest: Math.max(...values) });

export const pacingFigures = (shape: string, way: string, windows: readonly WindowOutcome[]): PacingFigures => ({
  shape, way, windows: windows.length,
  spent: rangeOf(windows.map(({ spentShare }) => spentShare)), blocked_requests: rangeOf(windows.map(({ blocked }) => blocked)), blocked_time: rangeOf(windows.map(({ blockedTime }) => blockedTime)),
  quality: rangeOf(windows.map(({ quality }) => quality)), of_best: rangeOf(windows.map(({ quality, bestQuality }) => quality / bestQuality)),
});

const percent = (share: number, digits: number) => (100 * share).toFixed(digits);
const range = ({ mean, least, greatest }: Range, digits = 1) => `${percent(mean, digits)} (${percent(least, digits)} to ${percent(greatest, digits)})`;
export const describePacing = (figures: readonly PacingFigures[]): string => textTable(
  ["DEMAND", "SPENDING", "SPENT, % OF BUDGET", "BLOCKED, % OF REQUESTS", "% OF TIME", "QUALITY", "% OF BEST IN HINDSIGHT"],
  figures.map(({ shape, way, spent, blocked_requests, blocked_time, quality, of_best }) => [shape, way, range(spent, 2), range(blocked_requests), percent(blocked_time.mean, 1), quality.mean.toFixed(4), range(of_best)]),
);

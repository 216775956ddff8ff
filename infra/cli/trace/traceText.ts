/** A request's timeline for people, as wide as the terminal is. Neither what was asked nor what was answered is in it. Pure. */
import type { Completion } from "#shared/contracts/events.ts";

import { cut, type Paint, printable, type Style, wrapped } from "../paint.ts";
import { callUsdText } from "../reportText.ts";
import { fittingTable } from "../textTable.ts";
import type { AttemptShown, DecisionShown, Timeline } from "./timeline.ts";

export interface View {
  readonly columns: number;
  readonly paint: Paint;
}

const OUTCOMES: Readonly<Record<Completion["outcome"], Style>> = { completed: "green", degraded: "yellow", failed: "red", rejected: "red" };
const BECAME: Readonly<Record<AttemptShown["became"], Style>> = { kept: "green", handed_on: "yellow", failed: "red" };
const LEAST_BAR = 10, MOST_BAR = 100;
/** For the times behind a bar. */
const TIMES_ROOM = 24;

export function traceText(completion: Completion, timeline: Timeline, view: View): string {
  const { paint, columns } = view;
  return [
    ...headOf(completion, view), "",
    ...barsOf(timeline, view), "",
    ...timeline.decisions.flatMap((decision) => [...decisionLines(decision, view), ""]),
    ...moneyOf(completion, timeline, paint),
  ].map((line) => cut(line, columns)).join("\n");
}

function headOf(completion: Completion, { paint, columns }: View): string[] {
  const { tenant_id, request_id, outcome, degraded_reason, error, tier, model, cache, user_id, policy, task, trace_id, accepted_at_ms, latency_ms } = completion;
  const from = tier === null ? "" : ` on ${tier} (${printable(model ?? "")})`;
  return [
    `${paint("bold", request_id)} of tenant ${tenant_id}: ${paint(OUTCOMES[outcome], outcome)}${degraded_reason === null ? "" : ` (${degraded_reason})`}${from}, after ${msText(latency_ms)}`,
    ...(error === null ? [] : wrapped(printable(`${error.code}: ${error.message}`), columns - 2).map((line) => `  ${paint("red", line)}`)),
    ...(cache === undefined ? [] : [`  the answer was made for request ${cache.source_request_id}, ${msText(cache.age_ms)} before (${cache.kind})`]),
    `  accepted ${new Date(accepted_at_ms).toISOString()}, user ${printable(user_id ?? "-")}, policy ${policy ?? "-"}, task ${printable(task ?? "-")}`,
    `  trace ${trace_id}`,
  ];
}

function barsOf({ latency_ms, routed_after_ms, attempts }: Timeline, { columns, paint }: View): string[] {
  const labels = attempts.map(({ attempt, tier }) => `${attempt} ${tier}`);
  const labelled = Math.max("routed".length, ...labels.map(({ length }) => length));
  const width = Math.max(LEAST_BAR, Math.min(MOST_BAR, columns - labelled - TIMES_ROOM - 6));
  const row = (label: string, bar: string, times: string): string => `  ${label.padEnd(labelled)} |${bar}| ${times}`;
  const spanMs = Math.max(1, latency_ms, ...attempts.map(({ ends_at_ms }) => ends_at_ms));
  return [
    ...(routed_after_ms === null ? [] : [row("routed", barOf([{ fromMs: 0, toMs: routed_after_ms, mark: "." }], spanMs, width).text, msText(routed_after_ms))]),
    ...attempts.flatMap((one, i) => {
      const { text, wait, run } = barOf([{ fromMs: one.decided_at_ms, toMs: one.begins_at_ms, mark: "." }, { fromMs: one.begins_at_ms, toMs: one.ends_at_ms, mark: "#" }], spanMs, width);
      const bar = text.slice(0, wait) + paint("dim", text.slice(wait, run)) + paint(BECAME[one.became], text.slice(run).trimEnd()) + " ".repeat(text.length - text.trimEnd().length);
      return [
        row(labels[i] ?? "", bar, `waited ${msText(one.waited_ms)}, ran ${msText(one.ends_at_ms - one.begins_at_ms)}`),
        ...wrapped(printable(one.says), columns - 4).map((line) => `    ${paint(BECAME[one.became], line)}`),
        `    ${printable(one.model)}${one.replica === null ? "" : ` at ${one.replica}`}, ${callUsdText(one.cost_nano_usd)} USD`,
      ];
    }),
    ...(attempts.length === 0 ? ["  no model was asked"] : []),
  ];
}

interface Span { readonly fromMs: number; readonly toMs: number; readonly mark: string }
/** Each span from its beginning; the last one takes a column at least. `wait` and `run`: where the first and the last begin. */
export function barOf(spans: readonly Span[], spanMs: number, width: number): { readonly text: string; readonly wait: number; readonly run: number } {
  const at = (ms: number): number => Math.min(width, Math.floor((ms / spanMs) * width));
  const first = spans[0], last = spans.at(-1);
  if (first === undefined || last === undefined) return { text: " ".repeat(width), wait: 0, run: 0 };
  const run = Math.min(width - 1, at(last.fromMs)), end = Math.max(run + 1, Math.min(width, Math.ceil((last.toMs / spanMs) * width)));
  const wait = Math.min(run, at(first.fromMs));
  return { text: (" ".repeat(wait) + first.mark.repeat(run - wait) + last.mark.repeat(end - run)).padEnd(width), wait, run };
}

const HEAD = ["tier", "quality", "keeps from", "value", "expected USD", "at most USD", "latency", "on time", "breaker", "workers", "queue", ""];
/** What is least missed goes first where a terminal is narrow. */
const DROPPED = ["breaker", "workers", "queue", "at most USD", "keeps from", "value", "on time"];

function decisionLines({ at_ms, after_attempt, says, why, candidates }: DecisionShown, { columns, paint }: View): string[] {
  const title = after_attempt === 0 ? "First decision" : `Decision after attempt ${after_attempt}`;
  const rows = candidates.map((one) => [
    one.tier, one.quality.toFixed(3), one.keeps_from.toFixed(3), one.value === null ? "-" : one.value.toFixed(4), callUsdText(one.expected_cost_nano_usd), callUsdText(one.max_cost_nano_usd), msText(one.expected_latency_ms),
    `${(100 * one.on_time).toFixed(1)} %`, one.breaker, String(one.workers), String(one.queue_depth),
    one.is_chosen ? paint("green", one.says) : one.excluded_by === null ? one.says : paint("dim", one.says),
  ]);
  return [
    `${paint("bold", title)}, at ${msText(at_ms)}: ${says}`,
    ...why.flatMap((line) => wrapped(printable(line), columns - 2)).map((line) => `  ${line}`),
    ...fittingTable(HEAD, rows, { columns: columns - 2, dropped: DROPPED }).split("\n").map((line) => `  ${line}`),
  ];
}

function moneyOf({ baseline_tier }: Completion, { cost_nano_usd, baseline_cost_nano_usd, saving_nano_usd }: Timeline, paint: Paint): string[] {
  const cost = `cost ${callUsdText(cost_nano_usd)} USD`;
  if (baseline_cost_nano_usd === null || saving_nano_usd === null) return [`${cost}; what the baseline would have cost is not known`];
  const share = baseline_cost_nano_usd === 0 ? "" : ` (${((100 * saving_nano_usd) / baseline_cost_nano_usd).toFixed(1)} %)`;
  const saved = saving_nano_usd < 0 ? paint("red", `${callUsdText(-saving_nano_usd)} USD more than the baseline${share}`) : paint("green", `saved ${callUsdText(saving_nano_usd)} USD${share}`);
  return [`${cost}: ${saved}`, `on the baseline tier ${baseline_tier ?? "-"} it would have been ${callUsdText(baseline_cost_nano_usd)} USD`];
}

const EXACT_BELOW_MS = 10;
const msText = (ms: number): string => (ms >= 10_000 ? `${(ms / 1_000).toFixed(1)} s` : `${ms < EXACT_BELOW_MS && !Number.isInteger(ms) ? ms.toFixed(1) : Math.round(ms)} ms`);

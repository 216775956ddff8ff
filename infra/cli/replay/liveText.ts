/** What a live replay is going to cost, how far it is and what came of it, for people and as JSON. Pure. */
import { type Estimate, type Estimated, usdOf } from "#producers/replay/estimate.ts";
import { latencyOf, type LiveTally, mixChange, type Side } from "#producers/replay/liveTally.ts";
import type { LiveEnd } from "#producers/replay/replayLive.ts";

import { progressBar } from "../progressBar.ts";
import { textTable } from "../textTable.ts";

const count = (n: number): string => n.toLocaleString("en");
const usd = (nano: number): string => `${usdOf(nano).toFixed(6)} USD`;
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const listed = (counts: Readonly<Record<string, number>>, words: Readonly<Record<string, string>> = {}): string => Object.entries(counts).map(([key, n]) => `${count(n)} ${words[key] ?? key}`).join(", ");
const SKIPPED = { no_input: "no input kept", tenant_unknown: "of a tenant that is not here", invalid: "that the service would not take" };
const MOST_TENANTS = 20;

export function estimateReport(estimate: Estimate, { skipped, unreadable }: Pick<LiveTally, "skipped" | "unreadable">) {
  const shown = ({ requests, expected_nano_usd, most_nano_usd }: Estimated) => ({ requests, expected_usd: usdOf(expected_nano_usd), most_usd: usdOf(most_nano_usd) });
  return { ...shown(estimate), tenants: [...estimate.tenants].map(([tenant_id, one]) => ({ tenant_id, ...shown(one) })), skipped, unreadable };
}

export function estimateText(estimate: Estimate, { skipped, unreadable }: Pick<LiveTally, "skipped" | "unreadable">): string {
  const tenants = [...estimate.tenants].sort(([, a], [, b]) => b.requests - a.requests);
  const rows = tenants.slice(0, MOST_TENANTS).map(([name, one]) => [name, count(one.requests), usdOf(one.expected_nano_usd).toFixed(6), usdOf(one.most_nano_usd).toFixed(6)]);
  return [
    `${count(estimate.requests)} requests: about ${usd(estimate.expected_nano_usd)} by what the recorded ones would cost today, ${usd(estimate.most_nano_usd)} at most by their budgets`,
    ...(rows.length === 0 ? [] : [textTable(["TENANT", "REQUESTS", "ABOUT USD", "MOST USD"], rows)]),
    ...(tenants.length > MOST_TENANTS ? [`and ${count(tenants.length - MOST_TENANTS)} tenants more`] : []),
    ...leftOut(skipped, unreadable),
  ].join("\n");
}

function leftOut(skipped: LiveTally["skipped"], unreadable: LiveTally["unreadable"]): string[] {
  const lines = [["not sent", listed(skipped, SKIPPED)], ["not read", listed(unreadable)]] as const;
  return lines.filter(([, what]) => what !== "").map(([how, what]) => `${how}: ${what}`);
}

export interface HowFar {
  readonly done: number;
  readonly doneBefore: number;
  readonly of: number;
  readonly underWay: number;
  readonly costNanoUsd: number;
  readonly forMs: number;
}
export function howFar({ done, doneBefore, of, underWay, costNanoUsd, forMs }: HowFar): string {
  const perS = forMs <= 0 ? 0 : (1_000 * (done - doneBefore)) / forMs;
  const left = perS === 0 ? "" : `, ${count(Math.ceil(Math.max(0, of - done) / perS))} s left`;
  return `${progressBar(done, of)} requests, ${perS.toFixed(1)}/s${left}, ${count(underWay)} under way, ${usd(costNanoUsd)}`;
}

const ENDS: Readonly<Record<LiveEnd, string>> = { all: "all sent", interrupted: "interrupted", max_cost: "stopped: --max-cost is spent" };

export function liveReport(runId: string, end: LiveEnd, tally: LiveTally) {
  const side = (one: Side) => ({ outcomes: one.outcomes, cost_usd: usdOf(one.cost_nano_usd), tiers: one.tiers, latency_p50_ms: latencyOf(one, 0.5), latency_p95_ms: latencyOf(one, 0.95) });
  const { requests, unanswered, same_path, same_tier, skipped, unreadable } = tally;
  return { run_id: runId, end, requests, unanswered, now: side(tally.now), recorded: side(tally.recorded), same_path, same_tier, tier_mix_changed_by: mixChange(tally.recorded, tally.now), skipped, unreadable };
}

export function liveText(runId: string, end: LiveEnd, tally: LiveTally): string {
  const { requests, unanswered, now, recorded, skipped, unreadable } = tally;
  const answered = requests - unanswered;
  const ms = (side: Side, share: number): string => { const at = latencyOf(side, share); return at === null ? "-" : Math.round(at).toLocaleString("en"); };
  const names = [...new Set([...Object.keys(recorded.outcomes), ...Object.keys(now.outcomes)])].sort();
  const tiers = [...new Set([...Object.keys(recorded.tiers), ...Object.keys(now.tiers)])].sort();
  const rows = [
    ...names.map((name) => [name, count(recorded.outcomes[name] ?? 0), count(now.outcomes[name] ?? 0)]),
    ["cost, USD", usdOf(recorded.cost_nano_usd).toFixed(6), usdOf(now.cost_nano_usd).toFixed(6)],
    ["median, ms", ms(recorded, 0.5), ms(now, 0.5)],
    ["p95, ms", ms(recorded, 0.95), ms(now, 0.95)],
    ...tiers.map((tier) => [`answered by ${tier}`, count(recorded.tiers[tier] ?? 0), count(now.tiers[tier] ?? 0)]),
  ];
  return [
    `live replay ${runId}: ${ENDS[end]}; ${count(requests)} requests${unanswered === 0 ? "" : `, ${count(unanswered)} of them without an outcome in time`}`,
    ...(answered === 0 ? [] : [
      textTable(["", "RECORDED", "NOW"], rows),
      `the same tiers in the same order: ${count(tally.same_path)} of ${count(answered)} (${percent(tally.same_path / answered)}); the tier mix changed by ${percent(mixChange(recorded, now))}`,
    ]),
    ...leftOut(skipped, unreadable),
    `its requests have metadata replay_run=${runId}`,
  ].join("\n");
}

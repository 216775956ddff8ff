/** How far a shadow replay is and what came of it, for people and as JSON. Pure. */
import { usdOf } from "#producers/replay/estimate.ts";
import type { ShadowEnd } from "#producers/replay/replayShadow.ts";
import { type ShadowTally, spentOf } from "#producers/replay/shadowTally.ts";

import { progressBar } from "../progressBar.ts";
import { textTable } from "../textTable.ts";

const count = (n: number): string => n.toLocaleString("en");
const SKIPPED: Readonly<Record<string, string>> = {
  not_sampled: "not in the sample", no_answer: "without a kept answer to compare with", no_input: "no input kept", tenant_unknown: "of a tenant that is not here", ruled_out: "that rule the baseline tier out", labelled: "labelled before",
};
const listed = (counts: Readonly<Record<string, number>>): string => Object.entries(counts).map(([key, n]) => `${count(n)} ${SKIPPED[key] ?? key}`).join(", ");

export function shadowHowFar({ asked, askedBefore, underWay, spentNanoUsd, budgetNanoUsd, forMs }: { readonly asked: number; readonly askedBefore: number; readonly underWay: number; readonly spentNanoUsd: number; readonly budgetNanoUsd: number; readonly forMs: number }): string {
  const perS = forMs <= 0 ? 0 : (1_000 * (asked - askedBefore)) / forMs;
  return `${progressBar(Math.round(spentNanoUsd / 1_000), Math.round(budgetNanoUsd / 1_000))} micro-dollars of the budget; ${count(asked)} requests asked, ${perS.toFixed(1)}/s, ${count(underWay)} under way`;
}

const ENDS: Readonly<Record<ShadowEnd, string>> = { all: "all done", interrupted: "interrupted", budget: "stopped: the budget has no room for the next request at its most" };

export const shadowReport = (end: ShadowEnd, tally: ShadowTally) => ({
  end, requests: tally.requests, unlabelled: tally.unlabelled, unanswered: tally.unanswered,
  agreement: Object.fromEntries(Object.entries(tally.agreement).map(([tier, { labels, sum }]) => [tier, { labels, mean: sum / labels }])),
  calls: tally.calls, cost_usd: Object.fromEntries(Object.entries(tally.cost_nano_usd).map(([tier, nano]) => [tier, usdOf(nano)])), presumed_usd: usdOf(tally.presumed_nano_usd), spent_usd: usdOf(spentOf(tally)),
  skipped: tally.skipped, unreadable: tally.unreadable,
});

export function shadowText(end: ShadowEnd, tally: ShadowTally): string {
  const { requests, unlabelled, unanswered, agreement, calls, cost_nano_usd, presumed_nano_usd, skipped, unreadable } = tally;
  const kept = Object.entries(agreement).map(([tier, { labels, sum }]) => [tier, count(labels), `${((100 * sum) / labels).toFixed(1)} %`]);
  const asked = Object.entries(calls).map(([tier, n]) => [tier, count(n), usdOf(cost_nano_usd[tier] ?? 0).toFixed(6)]);
  return [
    `shadow replay: ${ENDS[end]}; ${count(requests)} requests, ${usdOf(spentOf(tally)).toFixed(6)} USD`,
    ...(kept.length === 0 ? [] : [textTable(["ANSWER KEPT FROM", "LABELS", "AGREES WITH THE BASELINE"], kept)]),
    ...(asked.length === 0 ? [] : [textTable(["ASKED", "CALLS", "COST USD"], asked)]),
    ...(unlabelled === 0 ? [] : [`${count(unlabelled)} have no label: the baseline tier gave no sound answer`]),
    ...(unanswered === 0 ? [] : [`${count(unanswered)} did not come back in time; ${usdOf(presumed_nano_usd).toFixed(6)} USD is counted for them`]),
    ...(Object.keys(skipped).length === 0 ? [] : [`not asked: ${listed(skipped)}`]),
    ...(Object.keys(unreadable).length === 0 ? [] : [`not read: ${listed(unreadable)}`]),
  ].join("\n");
}

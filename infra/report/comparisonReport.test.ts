import { expect, it } from "vitest";

import type { SourceComparison } from "#router/evaluation/compareSources.ts";

import { comparisonReport } from "./comparisonReport.ts";
import { evaluation, ordinary } from "./madeUpEvaluations.ts";
import { xmlFault } from "./xmlFault.ts";

const { policies, notes, ...about } = evaluation(ordinary({ checks_per_1k_usd: 0.25, saving_at_ratio: { "0.97": 0.55 }, saving_at_ratio_ci95: { "0.97": [0.5, 0.6] } }));
const onTier = { tier: "small", dataset: "all", n: 900, share: 0.75, auc: 0.81234, brier: 0.15, ece: 0.02 };
const COMPARISON: SourceComparison = { ...about, sources: [
  { source: "token_logprobs", notes, policies, on_tiers: [onTier] },
  { source: "tier_agreement", notes: ["<b>a note</b>"], policies, on_tiers: [{ ...onTier, n: 0, share: 0, auc: null, brier: null, ece: null }] },
] };
const files = comparisonReport(COMPARISON, { command: "inferctl evaluate --train 'a & b.jsonl'", latencySloMs: null });
const page = files.find(({ name }) => name === "report.html")?.content ?? "";

it("is a page of its own that shows no number that is none, and has each source's report beside it", () => {
  expect(xmlFault(page)).toBeNull();
  expect(page).not.toMatch(/NaN|undefined|Infinity|\bnull\b|<b>/);
  expect(new Set(files.map(({ name }) => name)).size).toBe(files.length);
  expect(files.map(({ name }) => name)).toEqual(expect.arrayContaining(["token_logprobs-report.html", "tier_agreement-report.html", "comparison.json"]));
});

it("says of each source what it costs, saves and ranks", () => {
  expect(page).toMatch(/>token_logprobs<\/th><td>cascade-routing<\/td><td>held<\/td>.*<td>0\.2500<\/td>.*<td>55\.0<\/td><td>50\.0 to 60\.0<\/td>/);
  expect(page).toMatch(/>token_logprobs<\/th><td>small<\/td><td>75\.0<\/td><td>0\.812<\/td><td>0\.1500<\/td><td>2\.0<\/td>/);
  expect(page).toMatch(/>tier_agreement<\/th><td>small<\/td><td>0\.0<\/td><td>–<\/td>/);
});

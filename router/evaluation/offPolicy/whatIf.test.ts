import { describe, expect, it } from "vitest";

import { mean } from "#router/evaluation/routingMetrics.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import type { Estimate } from "./estimators.ts";
import { rank } from "./rank.ts";
import { cascade, covers, logOf, plain, reportOf, truthOf } from "./testLog.ts";
import { makeWhatIf } from "./whatIf.ts";

const CANDIDATES = [plain("always-small"), plain("always-medium"), plain("always-large"), plain("static"), plain("random"), cascade("careful", 0.95, 0.9, 0), cascade("ordinary", 0.8, 0.8, 0), cascade("bold", 0.5, 0.4, 0)];

describe("from a log of the policy random", () => {
  const log = logOf(1, 3_000);
  const { actual, candidates } = reportOf(log, CANDIDATES);
  it.each(CANDIDATES.map((candidate, i) => [candidate.name, i] as const))("says of %s what would have come, to a few standard errors", (_name, i) => {
    const [candidate, report] = [CANDIDATES[i], candidates[i]];
    if (candidate === undefined || report === undefined) throw new Error("no report");
    const truth = truthOf(log, candidate);
    const within = (estimate: Estimate | null, is: number) => { if (estimate === null) throw new Error("refused"); expect(Math.abs(estimate.value - is)).toBeLessThanOrEqual(2 * (estimate.high - estimate.low) + 1e-9 * is); };
    within(report.quality.estimate, truth.quality);
    within(report.quality.snips, truth.quality);
    within(report.quality.ips, truth.quality);
    within(report.cost.estimate, truth.cost);
    within(report.escalated.estimate, truth.escalated);
    within(report.latency_ms_p50, truth.latencies[1_500] ?? NaN);
    within(report.latency_ms_p95, truth.latencies[2_850] ?? NaN);
    expect(report.shares.unknown).toBe(0);
    expect(report.shares.exact + report.shares.estimated).toBeCloseTo(1, 9);
  });
  it("knows what happened without a doubt, since every answer was judged", () => {
    expect(actual).toMatchObject({ requests: 3_000, judged_share: 1 });
    expect(actual.quality?.low).toBe(actual.quality?.high);
    expect(actual.cost.value).toBeCloseTo(mean(log.events.map(({ costNanoUsd }) => costNanoUsd)), 3);
  });
  it("ranks the cheapest of those that lose nothing first, and refused ones last", () => {
    const ranked = rank({ actual, candidates }, 0.01);
    expect(ranked.map(({ rank: place }) => place)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const holding = ranked.filter(({ holdsQuality }) => holdsQuality).map(({ candidate }) => candidate.cost.estimate?.value ?? NaN);
    expect(holding.length).toBeGreaterThan(1);
    expect(holding).toEqual(holding.toSorted((a, b) => a - b));
  });
  it("goes on where it was interrupted, to the same totals", () => {
    const many = logOf(2, 10_500).events;
    const [whole, begun] = [makeWhatIf(CANDIDATES.slice(5, 6), { shadowShare: 0 }), makeWhatIf(CANDIDATES.slice(5, 6), { shadowShare: 0 })];
    for (const event of many) whole.add(event);
    for (const event of many.slice(0, 10_200)) begun.add(event);
    const kept: unknown = JSON.parse(JSON.stringify(begun.state()));
    const resumed = makeWhatIf(CANDIDATES.slice(5, 6), { shadowShare: 0, resumed: kept });
    for (const event of many.slice(10_200)) resumed.add(event);
    expect(resumed.report()).toEqual(whole.report());
    expect(() => makeWhatIf(CANDIDATES, { shadowShare: 0, resumed: kept })).toThrow("other candidates");
  });
});

it.each([[100], [120]])("covers the truth in 95 of 100 logs, is unbiased, and DR is closer to it than IPS, in 20 logs from seed %d on", (first) => {
  const seeds = 20, wanted = CANDIDATES.slice(4, 8);
  let inside = 0, asked = 0;
  const errors = { ips: [] as number[], dr: [] as number[] };
  for (let seed = first; seed < first + seeds; seed++) {
    const log = logOf(seed, 1_000);
    for (const [i, report] of reportOf(log, wanted).candidates.entries()) {
      const candidate = wanted[i];
      if (candidate === undefined) throw new Error("no candidate");
      const truth = truthOf(log, candidate);
      for (const [estimate, is] of [[report.quality.estimate, truth.quality], [report.cost.estimate, truth.cost], [report.escalated.estimate, truth.escalated]] as const) { asked++; if (covers(estimate, is)) inside++; }
      errors.ips.push((report.quality.ips?.value ?? NaN) - truth.quality);
      errors.dr.push((report.quality.estimate?.value ?? NaN) - truth.quality);
    }
  }
  const spread = (values: readonly number[]) => Math.sqrt(mean(values.map((value) => value ** 2)));
  expect(inside / asked).toBeGreaterThan(0.93);
  expect(inside / asked).toBeLessThan(0.98);
  for (const values of [errors.ips, errors.dr]) expect(Math.abs(mean(values))).toBeLessThan((4 * spread(values)) / Math.sqrt(values.length / wanted.length));
  expect(spread(errors.dr)).toBeLessThan(0.75 * spread(errors.ips));
});

describe("from a log of one policy that leaves nothing to chance", () => {
  const log = logOf(3, 1_000, { policy: "cascade" });
  it("computes a cheaper stop exactly", () => {
    const [report] = reportOf(log, [cascade("bolder", 0.5, 0.5, 0)]).candidates;
    const truth = truthOf(log, cascade("bolder", 0.5, 0.5, 0));
    expect(report?.shares).toMatchObject({ exact: 1, unknown: 0 });
    expect(report?.cost.estimate?.value).toBeCloseTo(truth.cost, 3);
    expect((report?.cost.estimate?.high ?? NaN) - (report?.cost.estimate?.low ?? NaN)).toBeLessThan(1e-6);
    expect(report?.quality_refused).toContain("stop after small"); // nobody judged an answer that was not kept
  });
  it("computes what happened again, quality included", () => {
    const [report] = reportOf(log, [plain("cascade")]).candidates;
    expect(report?.quality.estimate?.value).toBeCloseTo(truthOf(log, plain("cascade")).quality, 9);
    expect(report?.quality_shares).toEqual({ exact: 1, estimated: 0, unknown: 0 });
  });
  it("refuses what needs tiers that it never ran there, and says which", () => {
    const [report] = reportOf(log, [plain("always-large")]).candidates;
    expect(report).toMatchObject({ refused: expect.stringMatching(/could not hold the outcome of 100.0 % of requests: it never takes large first/) as unknown, shares: { unknown: expect.closeTo(1, 1) as unknown } });
    expect(report?.quality.estimate).toBeNull();
    expect(report?.cost.estimate).toBeNull();
  });
  it("estimates it where a sample of requests was shadowed on all tiers", () => {
    const random = seededRandom(8);
    const shadowed = logOf(3, 3_000, { policy: "cascade", shadowed: () => random() < 0.3 });
    const [large] = reportOf(shadowed, [plain("always-large")], 0.3).candidates;
    const truth = truthOf(shadowed, plain("always-large"));
    expect(large?.refused).toBeNull();
    expect(Math.abs((large?.cost.estimate?.value ?? NaN) - truth.cost) / truth.cost).toBeLessThan(0.08);
    expect(Math.abs((large?.quality.estimate?.value ?? NaN) - truth.quality)).toBeLessThan(0.06);
  });
});

it("refuses to say anything by a handful of requests", () => {
  const [report] = reportOf(logOf(4, 90), [plain("always-large")]).candidates;
  expect(report?.refused).toMatch(/says as much as \d+ requests would, and it takes 100/);
});

it("judges by the answers that somebody judged, when these were a fair sample", () => {
  const random = seededRandom(9);
  const log = logOf(5, 4_000, { judged: () => random() < 0.4 });
  const { actual, candidates: [report] } = reportOf(log, [plain("always-medium")]);
  expect(actual.judged_share).toBeCloseTo(0.4, 1);
  expect(actual.quality?.high).toBeGreaterThan(actual.quality?.low ?? NaN);
  expect(Math.abs((report?.quality.estimate?.value ?? NaN) - truthOf(log, plain("always-medium")).quality)).toBeLessThan(0.06);
});

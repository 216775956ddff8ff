import { expect, it } from "vitest";

import type { Report, ReportRow } from "#shared/contracts/report.ts";

import { reportCsv, reportText, usdText } from "./reportText.ts";

const ROW: ReportRow = {
  group: "a", requests: 200, outcomes: { completed: 190, degraded: 6, failed: 3, rejected: 1 }, spend_nano_usd: "12345678901", verification_nano_usd: "1", exploration_nano_usd: "2", shadow_nano_usd: "500000", cache_audit_nano_usd: "0", waste_nano_usd: "7000",
  total_nano_usd: "12346185901", baseline_nano_usd: "12000000000", unknown_baselines: 2, net_saving_nano_usd: "-346185901", net_saving_95: { lower: "-400000000", upper: "-300000000" }, cached: 50, cached_saved_nano_usd: "9", agreement: { labels: 20, agreeing: 18, lower: 0.683, upper: 0.9877, mean: 0.91 }, partly_known: 1, slo: { requests: 40, within: 37 },
};
const REPORT: Report = {
  by: "user", from: "2026-11-01T00:00:00.000Z", to: "2026-12-01T00:00:00.000Z", time_zone: "UTC", baseline_tiers: ["large"], rows: [ROW, { ...ROW, group: null, net_saving_95: null, agreement: null }], rows_left_out: 3, total: { ...ROW, group: null },
  forecast: { method: "linear", spend_nano_usd: "24691357802", total_nano_usd: "24692371802", net_saving_nano_usd: "-692371802" },
};

it("shows dollars exactly, whatever their size and sign", () => {
  expect(["0", "1", "499", "500", "-499", "-1500", "999999499", "999999500", "1000000000", "1000050000", "-123456789012345678901234"].map(usdText)).toEqual([
    "0.000000", "0.000000", "0.000000", "0.000001", "0.000000", "-0.000002", "0.999999", "1.000000", "1.0000", "1.0001", "-123456789012345.6789",
  ]);
});

it("tells people of a loss, of what is not known, of what is left out and where it leads", () => {
  const text = reportText(REPORT);
  expect(text.split("\n")[0]).toBe("2026-11-01T00:00:00.000Z to 2026-12-01T00:00:00.000Z (UTC), USD, against large");
  expect(text).toMatch(/^a +200 +12\.3457 +0\.000500 +0\.000007 +12\.0000 +-0\.346186 LOSS +-0\.400000 to -0\.300000 +25\.0 % +95\.0 % +3\.0 % +2\.0 % +92\.5 % +68\.3 % to 98\.8 % of 20$/m);
  expect(text).toMatch(/^\(not known\) .* - /m);
  for (const note of ["3 more, which cost less", "2 answered requests have no known baseline", "1 requests have a call that was cut off", "(linear): spend 24.6914"]) expect(text).toContain(note);
});

it("gives spreadsheets exact nano-dollars, one column for each figure", () => {
  const [head = "", first = "", second = "", total = ""] = reportCsv(REPORT).split("\n");
  const cell = (line: string, name: string) => line.split(",")[head.split(",").indexOf(name)];
  expect([head, first, second, total].map((line) => line.split(",").length)).toEqual(Array.from({ length: 4 }, () => 28));
  expect([cell(first, "row"), cell(first, "user"), cell(first, "net_saving_nano_usd"), cell(second, "user"), cell(second, "agreement_lower"), cell(total, "row"), cell(total, "with_slo"), cell(total, "within_slo")]).toEqual(["group", "a", "-346185901", "", "", "total", "40", "37"]);
});

import { describe, expect, it } from "vitest";

import { ALL_DASHBOARDS } from "./allDashboards.ts";
import { quantile, toGrafana } from "./dashboard.ts";

interface Placed { readonly title: string; readonly type: string; readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number } }
const panelsOf = (dashboard: (typeof ALL_DASHBOARDS)[number]) => (toGrafana(dashboard) as { panels: Placed[] }).panels;

describe.each(ALL_DASHBOARDS.map((dashboard) => [dashboard.uid, dashboard] as const))("%s", (_uid, dashboard) => {
  it("has a title and a description for each panel, and a legend for each query", () => {
    const panels = dashboard.rows.flatMap((row) => row.panels);
    expect(panels.filter(({ title, description, queries }) => title === "" || description.length < 20 || queries.length === 0 || queries.some(({ legend }) => legend === ""))).toEqual([]);
  });

  it("lays its panels beside and below each other, and none over another", () => {
    const panels = panelsOf(dashboard);
    const overlap = ({ gridPos: a }: Placed, { gridPos: b }: Placed) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
    expect(panels.flatMap((one, i) => panels.slice(i + 1).filter((other) => overlap(one, other)).map((other) => [one.title, other.title]))).toEqual([]);
    expect(panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
  });
});

it("takes a quantile over a histogram's buckets, by labels", () => {
  expect(quantile(0.95, 'infer_a_seconds{tier="x"}', "tier")).toBe('histogram_quantile(0.95, sum by (le, tier) (rate(infer_a_seconds_bucket{tier="x"}[$__rate_interval])))');
  expect(quantile(0.5, "infer_a_seconds")).toBe("histogram_quantile(0.5, sum by (le) (rate(infer_a_seconds_bucket[$__rate_interval])))");
});

/** Dashboards as data, and as the JSON that Grafana reads. Pure. */

export interface Query {
  readonly expr: string;
  /** Grafana's: `{{tier}}` is the value of a label. */
  readonly legend: string;
}
/** Grafana's ids of units. */
type Unit = "reqps" | "ops" | "s" | "percentunit" | "currencyUSD" | "bytes" | "short";
export interface Panel {
  readonly title: string;
  /** What it shows, what is normal, and where to look next. */
  readonly description: string;
  readonly unit: Unit;
  readonly queries: readonly Query[];
  /** Default: `lines`. */
  readonly as?: "lines" | "stacked" | "figure";
  /** Why it is rightly empty where its feature is not used. */
  readonly mayBeEmpty?: string;
}
export interface Dashboard {
  /** Part of its address, and of its file's name. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly rows: readonly { readonly title: string; readonly panels: readonly Panel[] }[];
  readonly hasTierVariable?: boolean;
}

export const query = (expr: string, legend: string): Query => ({ expr, legend });
/** Per second. */
export const rate = (series: string): string => `rate(${series}[$__rate_interval])`;
/** What a counter rose by in the time that is shown; 0 where there is no such series. */
export const inRange = (series: string): string => `(sum(increase(${series}[$__range])) or vector(0))`;
/** 0 where a counter has no series, as before the first of what it counts. */
export const orZero = (expr: string): string => `(${expr}) or on() vector(0)`;
export const quantile = (q: number, histogram: string, by = ""): string => {
  const [, name = histogram, matchers = ""] = /^([a-z_]+)(\{.*\})?$/.exec(histogram) ?? [];
  return `histogram_quantile(${q}, sum by (le${by === "" ? "" : `, ${by}`}) (${rate(`${name}_bucket${matchers}`)}))`;
};
export const quantiles = (histogram: string): Query[] => [0.5, 0.95, 0.99].map((q) => query(quantile(q, histogram), `p${q * 100}`));

const DATASOURCE = { type: "prometheus", uid: "prometheus" };
const COLUMNS = 24;
const FIGURE = { w: 4, h: 4 }, GRAPH = { w: 8, h: 8 };

export function toGrafana({ uid, title, description, rows, hasTierVariable = false }: Dashboard): object {
  let id = 0, y = 0;
  const panels: object[] = [];
  for (const row of rows) {
    panels.push({ id: ++id, type: "row", title: row.title, collapsed: false, gridPos: { x: 0, y, w: COLUMNS, h: 1 }, panels: [] });
    y += 1;
    let x = 0, height = 0;
    for (const panel of row.panels) {
      const size = panel.as === "figure" ? FIGURE : GRAPH;
      if (x + size.w > COLUMNS) [x, y, height] = [0, y + height, 0];
      panels.push({ id: ++id, gridPos: { x, y, ...size }, ...panelOf(panel) });
      x += size.w;
      height = Math.max(height, size.h);
    }
    y += height;
  }
  return {
    uid, title, description, tags: ["infer"], timezone: "browser", editable: false, graphTooltip: 1, refresh: "30s", schemaVersion: 39, version: 1,
    time: { from: "now-6h", to: "now" }, templating: { list: hasTierVariable ? [TIER] : [] },
    links: [{ type: "dashboards", title: "Other dashboards", tags: ["infer"], asDropdown: true, includeVars: false, keepTime: true }],
    panels,
  };
}

const TIER = {
  name: "tier", label: "Tier", type: "query", datasource: DATASOURCE, query: { query: "label_values(infer_attempts_total, tier)", refId: "tier" },
  definition: "label_values(infer_attempts_total, tier)", refresh: 2, sort: 1, multi: true, includeAll: true, allValue: ".*", current: { text: "All", value: "$__all" },
};

function panelOf({ title, description, unit, queries, as = "lines" }: Panel): object {
  const targets = queries.map(({ expr, legend }, i) => ({ refId: String.fromCharCode(65 + i), datasource: DATASOURCE, expr, legendFormat: legend, range: true, instant: false }));
  if (as === "figure") {
    return { type: "stat", title, description, datasource: DATASOURCE, targets, fieldConfig: { defaults: { unit }, overrides: [] }, options: { reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false }, colorMode: "none", graphMode: "area", textMode: "auto" } };
  }
  const custom = { drawStyle: "line", lineWidth: 1, fillOpacity: as === "stacked" ? 30 : 5, showPoints: "never", stacking: { mode: as === "stacked" ? "normal" : "none", group: "A" } };
  return {
    type: "timeseries", title, description, datasource: DATASOURCE, targets, fieldConfig: { defaults: { unit, min: 0, custom }, overrides: [] },
    options: { legend: { displayMode: "table", placement: "bottom", showLegend: true, calcs: ["lastNotNull", "max"] }, tooltip: { mode: "multi", sort: "desc" } },
  };
}

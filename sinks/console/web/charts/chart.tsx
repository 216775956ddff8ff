import { BarChart, CustomChart, LineChart, SankeyChart, ScatterChart } from "echarts/charts";
import { AriaComponent, GridComponent, LegendPlainComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import { type EChartsType, init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useRef } from "preact/hooks";

import { go } from "../parts/navigation.ts";
import { useScheme } from "../parts/scheme.ts";
import { DataTable } from "../parts/dataTable.tsx";
import type { ChartModel } from "./model.ts";
import { themeOf } from "./theme.ts";

// The canvas renderer: that for SVG puts style attributes into markup, which the page's Content-Security-Policy forbids.
use([BarChart, CustomChart, LineChart, SankeyChart, ScatterChart, AriaComponent, GridComponent, LegendPlainComponent, MarkLineComponent, TooltipComponent, CanvasRenderer]);

const NARROW_PX = 480;

interface ChartProps {
  readonly model: ChartModel;
  readonly title: string;
  readonly size?: "tall" | "medium" | "strip" | "timeline";
  /** Of a timeline: its height follows. */
  readonly rows?: number;
}

/** The drawing and, behind "Show as table", the same with links. */
export function Chart({ model, title, size = "tall", rows = 0 }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType | null>(null);
  const latest = useRef(model);
  latest.current = model;
  const scheme = useScheme();

  const draw = () => {
    const element = box.current;
    if (element === null) return;
    const style = getComputedStyle(element);
    const option = latest.current.option(themeOf((name) => style.getPropertyValue(name)), element.clientWidth < NARROW_PX);
    chart.current?.setOption(option, { notMerge: true });
  };

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const own = init(element, null, { renderer: "canvas" });
    chart.current = own;
    own.on("click", ({ dataIndex, seriesIndex, dataType }) => {
      const href = latest.current.hrefAt?.(dataIndex, seriesIndex ?? 0, dataType);
      if (href !== undefined) go(href);
    });
    const observer = new ResizeObserver(() => { own.resize(); draw(); });
    observer.observe(element);
    return () => {
      observer.disconnect();
      own.dispose();
      chart.current = null;
    };
  }, []);
  useEffect(draw, [model, scheme]);

  return (
    <figure class="chart">
      <div ref={box} role="img" aria-label={model.summary} class={`chart-box ${size}`} style={size === "timeline" ? { height: `${44 + Math.max(2, rows) * 34}px` } : {}} />
      <details>
        <summary>Show as table<span class="sr-only">: {title}</span></summary>
        <DataTable caption={title} table={model.table} />
      </details>
    </figure>
  );
}

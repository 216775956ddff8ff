/** What each line and mark means: entries in columns below the plot. Pure. */
import type { Chart } from "./chart.ts";
import { glyph } from "./glyph.ts";
import { type Markup, markup } from "./markup.ts";
import { textWidth } from "./placeLabels.ts";
import type { Series } from "./policyKinds.ts";

export type LegendEntry =
  | { readonly kind: "series"; readonly series: Series; readonly hasLine: boolean; readonly text: string }
  | { readonly kind: "point-estimate"; readonly series: Series; readonly text: string }
  | { readonly kind: "filled"; readonly text: string }
  | { readonly kind: "hollow"; readonly text: string }
  /** Which number stands for which tier. */
  | { readonly kind: "key"; readonly short: string; readonly text: string };

/** Groups, each of which begins in a new row. */
export function legendRows({ series, lines, marks, landmarks, landmarkTexts }: Chart, key: readonly LegendEntry[]): LegendEntry[][] {
  const hollow = marks.find(({ isHollow }) => isHollow);
  const [hasFilled, hasHollow] = [landmarks.some(({ isHollow }) => !isHollow), landmarks.some(({ isHollow }) => isHollow)];
  return [
    [
      ...series.map((one): LegendEntry => ({ kind: "series", series: one, hasLine: lines.some((line) => line.series === one), text: one.family })),
      ...(hollow === undefined ? [] : [{ kind: "point-estimate", series: hollow.series, text: "hollow: …-point-estimate" } as const]),
      ...(hasFilled ? [{ kind: "filled", text: landmarkTexts.filled } as const] : []),
      ...(hasHollow ? [{ kind: "hollow", text: landmarkTexts.hollow } as const] : []),
    ],
    [...key],
  ];
}

interface LegendPlace {
  readonly left: number;
  readonly top: number;
  readonly widthPx: number;
  readonly fontPx: number;
}
const MARK_PX = 34;

export function placeLegend(groups: readonly (readonly LegendEntry[])[], { left, top, widthPx, fontPx }: LegendPlace): { markup: Markup; bottomPx: number } {
  let y = top;
  const drawn = groups.filter((group) => group.length > 0).map((group) => {
    const columnPx = Math.max(...group.map(({ text }) => MARK_PX + textWidth(text, fontPx) + 14));
    const columns = Math.max(1, Math.floor((widthPx + 14) / columnPx));
    const entries = group.map((entry, i) => drawEntry(entry, { x: left + (i % columns) * columnPx, y: y + Math.floor(i / columns) * 1.6 * fontPx, fontPx }));
    y += Math.ceil(group.length / columns) * 1.6 * fontPx + 0.3 * fontPx;
    return markup`<g>${entries}</g>`;
  });
  return { markup: markup`<g class="ink" color="#1b1f24">${drawn}</g>`, bottomPx: y };
}

function drawEntry(entry: LegendEntry, { x, y, fontPx }: { x: number; y: number; fontPx: number }): Markup {
  return markup`<g transform="translate(${x} ${y})">${entry.kind === "key" ? markup`<text x="${MARK_PX - 12}" text-anchor="end" fill="currentColor">${entry.short}</text>` : legendMark(entry, -0.35 * fontPx)}<text x="${entry.kind === "key" ? MARK_PX - 4 : MARK_PX}" fill="currentColor">${entry.text}</text></g>`;
}

/** 28 px wide; its middle is at `y`. */
export function legendMark(entry: Exclude<LegendEntry, { kind: "key" }>, y: number): Markup {
  const isHollow = entry.kind === "point-estimate" || entry.kind === "hollow";
  const place = { x: 14, y, sizePx: 5, isHollow };
  if (entry.kind === "filled" || entry.kind === "hollow") return glyph("diamond", place);
  const { colour, className, dash, kind, shape } = entry.series;
  const line = entry.kind === "series" && entry.hasLine && markup`<path d="M0 ${y}H28" stroke="currentColor" stroke-width="${kind === "learned" ? 2.6 : 1.3}" stroke-dasharray="${dash}"/>`;
  return markup`<g class="${className}" color="${colour}">${line}${glyph(shape, kind === "learned" ? place : { ...place, sizePx: 4.2 })}</g>`;
}

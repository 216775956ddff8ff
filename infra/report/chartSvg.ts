/**
 * A chart as SVG: text is text, the background is its own, and colours are attributes, so that it looks the same wherever it
 * is put; a page may give the classes other colours. Pure.
 */
import type { Chart, Landmark, Line, Mark } from "./chart.ts";
import { legendRows, type LegendEntry, placeLegend } from "./chartLegend.ts";
import { glyph } from "./glyph.ts";
import { type Markup, markup } from "./markup.ts";
import { alongLine, type Box, boxAround, holds, overlap, type Placed, placeLabels, type Point, textWidth } from "./placeLabels.ts";
import { linear, type Tick, ticksOf } from "./scale.ts";

export interface Look {
  readonly widthPx: number;
  /** Of the plot itself. */
  readonly plotHeightPx: number;
  readonly fontPx: number;
  readonly hasTitle: boolean;
  readonly hasLegend: boolean;
  /** `never`: the short ones, for small multiples. */
  readonly names: "where-they-fit" | "never";
}
/** Readable when it is shown 400 px wide, and when 900. */
export const FILE_LOOK: Look = { widthPx: 620, plotHeightPx: 350, fontPx: 15, hasTitle: true, hasLegend: true, names: "where-they-fit" };
export const WIDE_LOOK: Look = { widthPx: 920, plotHeightPx: 440, fontPx: 13, hasTitle: false, hasLegend: true, names: "where-they-fit" };
export const NARROW_LOOK: Look = { widthPx: 388, plotHeightPx: 300, fontPx: 12, hasTitle: false, hasLegend: true, names: "where-they-fit" };
export const SMALL_LOOK: Look = { widthPx: 440, plotHeightPx: 290, fontPx: 12.5, hasTitle: false, hasLegend: false, names: "never" };

const INK = "#1b1f24";
const MUTED = "#59626d";
const GRID = "#e4e7eb";
const PAPER = "#ffffff";
const FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif";

interface Frame {
  readonly plot: Box;
  readonly toX: (value: number) => number;
  readonly toY: (value: number) => number;
  readonly xTicks: readonly Tick[];
  readonly yTicks: readonly Tick[];
  readonly fontPx: number;
}
/** A named point on paper; `edge`: beyond the axes, so it is drawn at their edge. */
interface Pinned extends Point {
  readonly landmark: Landmark;
  readonly edge: "left" | "right" | "above" | "below" | null;
}

export function chartSvg(chart: Chart, look: Look): Markup {
  const { widthPx, fontPx } = look;
  const frame = frameOf(chart, look);
  const { plot } = frame;
  const pinned = chart.landmarks.map((landmark) => pin(landmark, frame));
  const { labels, isShort } = labelsOf(chart, pinned, frame, look);
  const legend = look.hasLegend ? legendRows(chart, isShort ? keyOf(pinned) : []) : [];
  const placed = placeLegend(legend, { left: 8, top: plot.bottom + 4.6 * fontPx, widthPx: widthPx - 16, fontPx });
  const heightPx = Math.ceil(look.hasLegend ? placed.bottomPx + 6 : plot.bottom + 3.2 * fontPx);
  return markup`<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="${describe(chart)}" viewBox="0 0 ${widthPx} ${heightPx}" width="${widthPx}" height="${heightPx}" font-family="${FONT}" font-size="${fontPx}">
<rect class="paper" width="${widthPx}" height="${heightPx}" color="${PAPER}" fill="currentColor"/>
${look.hasTitle && markup`<text class="ink" x="8" y="${1.5 * fontPx}" font-weight="bold" color="${INK}" fill="currentColor">${chart.title}</text>`}
${axes(chart, frame, look)}
<svg x="${plot.left}" y="${plot.top}" width="${plot.right - plot.left}" height="${plot.bottom - plot.top}" viewBox="${plot.left} ${plot.top} ${plot.right - plot.left} ${plot.bottom - plot.top}">
${[...references(chart, frame), ...curves(chart, frame)]}
</svg>
${[...pinned.map(drawLandmark), ...drawingOrder(chart.marks).map((mark) => drawMark(mark, frame))]}
${[...referenceTexts(chart, frame), ...labels.map((label) => drawLabel(label, fontPx))]}
${placed.markup}
</svg>`;
}

/** The one a reader looks for lies on top; of several at one place, the first. */
const drawingOrder = (marks: readonly Mark[]): Mark[] => marks.toReversed().sort((a, b) => rank(a) - rank(b));
const rank = ({ series, isHollow }: Mark): number => (series.kind === "learned" ? 2 : 0) + (isHollow ? 0 : 1);

const describe = ({ title, marks, landmarks }: Chart): string => `${title}. ${[...marks, ...landmarks].map(({ says }) => says).join("; ")}.`;

function frameOf({ x, y }: Chart, { widthPx, plotHeightPx, fontPx, hasTitle }: Look): Frame {
  const yTicks = ticksOf(y.domain, plotHeightPx / 55, y.format);
  const left = Math.ceil(Math.max(...yTicks.map(({ text }) => textWidth(text, fontPx)), fontPx) + 14);
  const top = (hasTitle ? 1.9 * fontPx : 0) + 2.2 * fontPx;
  const plot = { left, top, right: widthPx - 14, bottom: top + plotHeightPx };
  return { plot, yTicks, fontPx, xTicks: ticksOf(x.domain, (plot.right - left) / 75, x.format), toX: linear(x.domain, plot.left, plot.right), toY: linear(y.domain, plot.bottom, plot.top) };
}

function axes({ x, y }: Chart, { plot, xTicks, yTicks, toX, toY, fontPx }: Frame, { hasTitle }: Look): Markup {
  return markup`<g class="grid-lines" color="${GRID}" stroke="currentColor">${xTicks.map(({ value }) => markup`<path d="M${toX(value)} ${plot.top}V${plot.bottom}"/>`)}${yTicks.map(({ value }) => markup`<path d="M${plot.left} ${toY(value)}H${plot.right}"/>`)}</g>
<path class="muted" d="M${plot.left} ${plot.bottom}H${plot.right}" color="${MUTED}" stroke="currentColor"/>
<g class="muted" color="${MUTED}" fill="currentColor">${xTicks.map(({ value, text }) => markup`<text x="${toX(value)}" y="${plot.bottom + 1.3 * fontPx}" text-anchor="middle">${text}</text>`)}${yTicks.map(({ value, text }) => markup`<text x="${plot.left - 7}" y="${toY(value) + 0.35 * fontPx}" text-anchor="end">${text}</text>`)}
<text x="8" y="${(hasTitle ? 1.9 * fontPx : 0) + 1.3 * fontPx}">${y.title}</text>
<text x="${plot.right}" y="${plot.bottom + 2.7 * fontPx}" text-anchor="end">${x.title}</text></g>`;
}

const isWithin = (value: number, [low, high]: readonly [number, number]) => value >= low && value <= high;

function references({ references: lines, y }: Chart, { plot, toY }: Frame): Markup[] {
  return lines.filter((line) => isWithin(line.y, y.domain)).map((line) => markup`<path class="ink" d="M${plot.left} ${toY(line.y)}H${plot.right}" color="${INK}" stroke="currentColor" stroke-width="1.2" stroke-dasharray="1 3" stroke-linecap="round"/>`);
}

/** Where each line's text lies: just above or below it, wherever least is in its way. */
function referenceBoxes(chart: Chart, frame: Frame): { text: string; box: Box }[] {
  const { plot, toX, toY, fontPx } = frame;
  const points = [...chart.marks, ...chart.landmarks].map((point) => ({ x: toX(point.x), y: toY(point.y) }));
  const curvePoints = chart.lines.flatMap((line) => alongCurve(line, frame));
  return chart.references.filter((line) => isWithin(line.y, chart.y.domain)).map(({ y, text }) => {
    const widthPx = textWidth(text, fontPx) + 6;
    const places = Array.from({ length: 13 }, (_, i) => plot.left + 5 + (i / 12) * (plot.right - plot.left - 10 - widthPx)).flatMap((left) => [-1.35, 0.1].map((above) => {
      const box = { left, right: left + widthPx, top: toY(y) + above * fontPx, bottom: toY(y) + (above + 1.25) * fontPx };
      const isOut = box.top < plot.top || box.bottom > plot.bottom;
      const cost = curvePoints.filter((at) => holds(box, at)).length + 20 * points.filter((at) => overlap(box, boxAround(at, 12, 7))).length + (isOut ? 200 : 0) + (above > 0 ? 1 : 0);
      return { box, cost };
    }));
    return { text, box: places.reduce((best, place) => (place.cost < best.cost ? place : best)).box };
  });
}
const referenceTexts = (chart: Chart, frame: Frame): Markup[] => referenceBoxes(chart, frame).map(({ text, box }) => label(text, { x: box.left, y: box.bottom - 0.3 * frame.fontPx }));

function curves({ lines }: Chart, { toX, toY }: Frame): Markup[] {
  const order = lines.toSorted((a, b) => Number(a.series.kind === "learned") - Number(b.series.kind === "learned"));
  return order.map(({ series, points }) => {
    const d = points.map(({ x, y }, i) => markup`${i === 0 ? "M" : "L"}${toX(x)} ${toY(y)}`);
    return markup`<path class="${series.className}" d="${d}" color="${series.colour}" stroke="currentColor" fill="none" stroke-width="${series.kind === "learned" ? 2.6 : 1.3}" stroke-dasharray="${series.dash}" stroke-linejoin="round"/>`;
  });
}

function drawMark(mark: Mark, { toX, toY, plot }: Frame): Markup {
  const { series, says, isHollow } = mark;
  const [x, y] = [toX(mark.x), toY(mark.y)];
  const clamp = (value: number) => Math.min(plot.right, Math.max(plot.left, toX(value)));
  const [from, to] = (mark.interval ?? [mark.x, mark.x]).map(clamp);
  const range = mark.interval !== null && from !== undefined && to !== undefined && from < to && markup`<path d="M${from} ${y}H${to}M${from} ${y - 4}v8M${to} ${y - 4}v8" stroke="currentColor" stroke-width="1.4"/>`;
  const shape = x < plot.left ? arrow("left", { x: plot.left, y }) : glyph(series.shape, { x, y, sizePx: series.kind === "learned" ? 6 : 4.2, isHollow });
  return markup`<g class="${series.className}" color="${series.colour}"><title>${says}</title>${range}${shape}</g>`;
}

function pin(landmark: Landmark, { plot, toX, toY }: Frame): Pinned {
  const [x, y] = [toX(landmark.x), toY(landmark.y)];
  const edge = x < plot.left ? "left" : x > plot.right ? "right" : y < plot.top ? "above" : y > plot.bottom ? "below" : null;
  return { landmark, edge, x: Math.min(plot.right, Math.max(plot.left, x)), y: Math.min(plot.bottom, Math.max(plot.top, y)) };
}

const ARROWS = { left: "M-1 0l9 -5v10z", right: "M1 0l-9 -5v10z", above: "M0 -1l-5 9h10z", below: "M0 1l-5 -9h10z" };
const arrow = (edge: keyof typeof ARROWS, { x, y }: Point): Markup => markup`<path transform="translate(${x} ${y})" d="${ARROWS[edge]}" fill="currentColor"/>`;

function drawLandmark({ landmark, edge, x, y }: Pinned): Markup {
  const shape = edge === null ? glyph("diamond", { x, y, sizePx: 5, isHollow: landmark.isHollow }) : arrow(edge, { x, y });
  return markup`<g class="ink" color="${INK}"><title>${landmark.says}</title>${shape}</g>`;
}

function nameOf({ landmark, edge }: Pinned): string {
  if (edge === null) return landmark.name;
  return `${landmark.name} (${edge === "left" || edge === "right" ? landmark.beyond.x : landmark.beyond.y})`;
}
const keyOf = (pinned: readonly Pinned[]): LegendEntry[] => pinned.filter(({ landmark }) => landmark.short !== landmark.name).map((point) => ({ kind: "key", short: point.landmark.short, text: nameOf(point) }));

function labelsOf(chart: Chart, pinned: readonly Pinned[], frame: Frame, { names, fontPx }: Look): { labels: Placed[]; isShort: boolean } {
  const { plot, toX, toY } = frame;
  const markBoxes = chart.marks.map((mark) => {
    const [from, to] = mark.interval ?? [mark.x, mark.x];
    return { left: Math.min(toX(from), toX(mark.x) - 7), right: Math.max(toX(to), toX(mark.x) + 7), top: toY(mark.y) - 7, bottom: toY(mark.y) + 7 };
  });
  const surroundings = { bounds: plot, fontPx, obstacles: [...markBoxes, ...pinned.map((point) => boxAround(point, 6, 6)), ...referenceBoxes(chart, frame).map(({ box }) => box)], onLines: samples(chart, frame) };
  const place = (text: (point: Pinned) => string) => placeLabels(pinned.map((point) => ({ x: point.x, y: point.y, text: text(point) })), surroundings);
  const full = names === "never" ? [] : place(nameOf);
  if (names === "where-they-fit" && full.every(({ isClear }) => isClear)) return { labels: full, isShort: false };
  return { labels: place(({ landmark }) => landmark.short), isShort: true };
}

function samples({ lines, references: horizontals, y }: Chart, frame: Frame): Point[] {
  const { plot, toY } = frame;
  return [
    ...lines.flatMap((line) => alongCurve(line, frame)),
    ...horizontals.filter((line) => isWithin(line.y, y.domain)).flatMap((line) => alongLine([{ x: plot.left, y: toY(line.y) }, { x: plot.right, y: toY(line.y) }])),
  ];
}

function alongCurve({ points }: Line, { plot, toX, toY }: Frame): Point[] {
  const path = points.map((point) => ({ x: toX(point.x), y: toY(point.y) }));
  return path.flatMap((to, i) => alongLine([path[i - 1] ?? to, to])).filter((at) => holds(plot, at));
}

function drawLabel({ text, box, leader }: Placed, fontPx: number): Markup {
  const line = leader === null ? null : markup`<path class="muted" d="M${leader[0].x} ${leader[0].y}L${leader[1].x} ${leader[1].y}" color="${MUTED}" stroke="currentColor" stroke-width="0.8"/>`;
  return markup`${line}${label(text, { x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2 + 0.35 * fontPx }, "middle")}`;
}

/** With a halo, so that it can be read across a line. */
const label = (text: string, { x, y }: Point, anchor: "start" | "middle" = "start"): Markup =>
  markup`<text class="ink halo" x="${x}" y="${y}" text-anchor="${anchor}" color="${INK}" fill="currentColor" stroke="${PAPER}" stroke-width="3" stroke-linejoin="round" paint-order="stroke">${text}</text>`;

/** Cost against quality of all candidates, with their intervals, and what happened, as SVG. Pure: the same figures give the same text. */
import type { Ranked } from "./rank.ts";
import type { ActualReport } from "./whatIf.ts";

const WIDTH = 860, HEIGHT = 480;
const MARGIN = { left: 70, right: 24, top: 20, bottom: 52 };
const TICKS = 5;
const NANO_PER_1000 = 1e6; // nano-dollars per request, in USD per 1,000 requests

interface Point { readonly name: string; readonly x: readonly [number, number, number]; readonly y: readonly [number, number, number]; readonly kind: "actual" | "frontier" | "other" }

/** `null`: nothing is said of any. */
export function paretoSvg(actual: ActualReport, ranked: readonly Ranked[]): string | null {
  const points = [
    ...(actual.quality === null ? [] : [{ name: "what happened", x: threeOf(actual.cost), y: threeOf(actual.quality), kind: "actual" as const }]),
    ...ranked.flatMap(({ candidate: { name, cost, quality }, isOnFrontier }): Point[] =>
      (cost.estimate === null || quality.estimate === null ? [] : [{ name, x: threeOf(cost.estimate), y: threeOf(quality.estimate), kind: isOnFrontier ? "frontier" : "other" }])),
  ].map((point): Point => ({ ...point, x: scaled(point.x, NANO_PER_1000) }));
  if (points.length === 0) return null;
  const xs = scaleOf(points.flatMap(({ x }) => x), MARGIN.left, WIDTH - MARGIN.right), ys = scaleOf(points.flatMap(({ y }) => y), HEIGHT - MARGIN.bottom, MARGIN.top);
  const frontier = points.filter(({ kind }) => kind === "frontier").sort((a, b) => a.x[0] - b.x[0]);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Cost against quality of ${points.length} policies">`,
    ...xs.ticks.map((tick) => `<line class="grid" x1="${at(xs.of(tick))}" x2="${at(xs.of(tick))}" y1="${MARGIN.top}" y2="${HEIGHT - MARGIN.bottom}"/><text class="tick" x="${at(xs.of(tick))}" y="${HEIGHT - MARGIN.bottom + 18}" text-anchor="middle">${shortNumber(tick)}</text>`),
    ...ys.ticks.map((tick) => `<line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at(ys.of(tick))}" y2="${at(ys.of(tick))}"/><text class="tick" x="${MARGIN.left - 8}" y="${at(ys.of(tick) + 4)}" text-anchor="end">${(100 * tick).toFixed(1)}</text>`),
    `<text class="axis" x="${WIDTH / 2}" y="${HEIGHT - 10}" text-anchor="middle">USD per 1,000 requests</text>`,
    `<text class="axis" transform="translate(16 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">quality, %</text>`,
    ...(frontier.length < 2 ? [] : [`<polyline class="frontier" points="${frontier.map(({ x, y }) => `${at(xs.of(x[0]))},${at(ys.of(y[0]))}`).join(" ")}"/>`]),
    ...points.map((point) => markOf(point, xs.of, ys.of)),
    "</svg>",
  ].join("\n");
}

function markOf({ name, x, y, kind }: Point, xOf: Scale["of"], yOf: Scale["of"]): string {
  const [cx, cy] = [at(xOf(x[0])), at(yOf(y[0]))];
  const bars = `<line class="bar" x1="${at(xOf(x[1]))}" x2="${at(xOf(x[2]))}" y1="${cy}" y2="${cy}"/><line class="bar" x1="${cx}" x2="${cx}" y1="${at(yOf(y[1]))}" y2="${at(yOf(y[2]))}"/>`;
  const mark = kind === "actual" ? `<rect x="${at(xOf(x[0]) - 5)}" y="${at(yOf(y[0]) - 5)}" width="10" height="10" transform="rotate(45 ${cx} ${cy})"/>` : `<circle cx="${cx}" cy="${cy}" r="5"/>`;
  const isRight = xOf(x[0]) > WIDTH * 0.75;
  return `<g class="${kind}"><title>${escaped(name)}: ${shortNumber(x[0])} USD per 1,000 requests, quality ${(100 * y[0]).toFixed(1)} %</title>${bars}${mark}<text x="${at(xOf(x[0]) + (isRight ? -9 : 9))}" y="${at(yOf(y[0]) - 8)}" text-anchor="${isRight ? "end" : "start"}">${escaped(name)}</text></g>`;
}

interface Scale { readonly of: (value: number) => number; readonly ticks: readonly number[] }
function scaleOf(values: readonly number[], from: number, to: number): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const room = Math.max(1e-9, (most - least) * 0.06);
  const [low, high] = [least - room, most + room];
  const step = niceStep((high - low) / TICKS);
  const first = Math.ceil(low / step);
  return { of: (value) => from + ((value - low) / (high - low)) * (to - from), ticks: Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, i) => (first + i) * step) };
}
function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
}
const threeOf = ({ value, low, high }: { readonly value: number; readonly low: number; readonly high: number }): Point["x"] => [value, low, high];
const scaled = ([a, b, c]: Point["x"], by: number): Point["x"] => [a / by, b / by, c / by];
const at = (place: number): string => place.toFixed(1);
const shortNumber = (value: number): string => Number(value.toPrecision(3)).toString();
export const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

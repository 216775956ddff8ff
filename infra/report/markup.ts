/**
 * HTML and SVG whose strings cannot be anything but text. Names of data sets and tiers come from other people's files, so a
 * value is escaped where it is put in, and only what `markup` made goes in as it is. The result is well-formed XML too.
 */
export interface Markup {
  readonly markup: string;
}
/** `null` and `false` put in nothing. A number is a coordinate: two decimals, and never NaN. */
type Value = string | number | null | false | Markup | readonly Markup[];

export function markup(parts: TemplateStringsArray, ...values: readonly Value[]): Markup {
  return { markup: parts.map((part, i) => part + written(values[i] ?? null)).join("") };
}

function written(value: Value): string {
  if (value === null || value === false) return "";
  if (typeof value === "string") return escaped(value);
  if (typeof value === "number") return coordinate(value);
  return "markup" in value ? value.markup : value.map((one) => one.markup).join("");
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
// What XML cannot hold, not even as an entity.
const NOT_XML = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu;
const escaped = (text: string): string => text.replace(NOT_XML, "\uFFFD").replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");

function coordinate(value: number): string {
  if (!Number.isFinite(value)) throw new Error("a coordinate is not a finite number");
  return String(Math.round(100 * value) / 100);
}

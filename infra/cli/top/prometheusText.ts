/** The part of Prometheus's text format (0.0.4) that roles write: samples with their labels. Strict: what is not of it throws, with its line. Pure. */

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}
/** By name of the metric, in their order. */
export type Samples = ReadonlyMap<string, readonly Sample[]>;

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/y;
const ESCAPED: Readonly<Record<string, string>> = { "\\\\": "\\", '\\"': '"', "\\n": "\n" };
const INFINITE: Readonly<Record<string, number>> = { "+Inf": Infinity, "-Inf": -Infinity, Inf: Infinity, NaN };

/** Of metrics whose names begin so; others are checked and left out. */
export function parsePrometheusText(text: string, prefix = ""): Samples {
  const found = new Map<string, Sample[]>();
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [, name = "", labels, value = ""] = LINE.exec(line) ?? fail(i, line);
    const sample = { labels: labels === undefined ? {} : labelsOf(labels, i, line), value: valueOf(value, i, line) };
    if (!name.startsWith(prefix)) continue;
    const before = found.get(name);
    if (before === undefined) found.set(name, [sample]);
    else before.push(sample);
  }
  return found;
}

function labelsOf(text: string, i: number, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  for (let at = 0; at < text.length; at = LABEL.lastIndex) {
    const [, name = "", value = ""] = LABEL.exec(text) ?? fail(i, line);
    labels[name] = value.replaceAll(/\\[\\"n]/g, (escaped) => ESCAPED[escaped] ?? escaped);
  }
  return labels;
}

function valueOf(text: string, i: number, line: string): number {
  const value = INFINITE[text] ?? Number(text);
  return Number.isNaN(value) && text !== "NaN" ? fail(i, line) : value;
}

function fail(i: number, line: string): never {
  throw new Error(`line ${i + 1} is no sample of a metric: ${line.slice(0, 100)}`);
}

/** From values to places on paper. Pure. */
export type Domain = readonly [low: number, high: number];
export interface Tick {
  readonly value: number;
  readonly text: string;
}

export const finite = (values: readonly number[]): number[] => values.filter((value) => Number.isFinite(value));

/** With a margin on both sides; never empty. `least`: how far it reaches at any rate. */
export function padded([low, high]: Domain, least: number, share = 0.04): Domain {
  const missing = Math.max(0, least - (high - low)) / 2;
  const margin = share * Math.max(least, high - low);
  return [low - missing - margin, high + missing + margin];
}

export const linear = ([low, high]: Domain, from: number, to: number) => (value: number): number => from + ((to - from) * (value - low)) / (high - low);

/** Round values inside the domain, about `wanted` of them. `format` gets how many digits tell neighbours apart. */
export function ticksOf([low, high]: Domain, wanted: number, format: (value: number, digits: number) => string): Tick[] {
  const rough = (high - low) / Math.max(1, wanted);
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = magnitude * ([1, 2, 5, 10].find((factor) => factor * magnitude >= rough) ?? 10);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step).map((value) => ({ value, text: format(value, digits) }));
}

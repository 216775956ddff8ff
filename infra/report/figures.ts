/** Numbers as people read them. What is not finite, as a ratio to a baseline that never answers right, is a dash. Pure. */
const NONE = "–";
const SPACE = "\u00A0";

function fixed(value: number | null, least: number, most = least): string {
  if (value === null || !Number.isFinite(value)) return NONE;
  const said = new Intl.NumberFormat("en-GB", { minimumFractionDigits: least, maximumFractionDigits: most }).format(value);
  return /[1-9]/.test(said) ? said.replace("-", "−") : said.replace("-", "");
}

export const count = (value: number): string => fixed(value, 0);
/** Of a share, without the sign. */
export const percentOf = (share: number, digits = 1): string => fixed(100 * share, digits);
/** Of a share, as few digits as say it. */
export const percent = (share: number): string => (Number.isFinite(share) ? `${fixed(100 * share, 0, 1)}${SPACE}%` : NONE);
export const percentExactly = (share: number): string => (Number.isFinite(share) ? `${percentOf(share)}${SPACE}%` : NONE);
export const interval = ([low, high]: readonly [number, number]): string => (Number.isFinite(low) && Number.isFinite(high) ? `${percentOf(low)} to ${percentOf(high)}` : NONE);
export const usd = (value: number): string => fixed(value, 4);
export const milliseconds = (value: number | null): string => fixed(value, 0);
export const duration = (ms: number): string => (Math.abs(ms) < 1_000 ? `${fixed(ms, 0)}${SPACE}ms` : `${fixed(ms / 1_000, 0, 2)}${SPACE}s`);
export const measure = (value: number | undefined, digits: number): string => fixed(value ?? null, digits);

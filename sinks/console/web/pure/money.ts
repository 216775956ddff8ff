/** Nano-dollars in words. They come as digits, since sums go beyond what a number holds. */
const NANO_PER_USD = 1_000_000_000n;
/** Digits that say something, of amounts below a dollar. */
const SIGNIFICANT = 3;
const grouped = new Intl.NumberFormat("en-US");

/** `$1,234.57`; below a dollar three digits that count: `$0.0000155`. */
export function formatUsd(nanoUsd: bigint | string): string {
  const amount = BigInt(nanoUsd);
  if (amount === 0n) return "$0";
  const [sign, size] = amount < 0n ? ["−", -amount] : ["", amount];
  const decimals = size >= NANO_PER_USD ? 2 : Math.min(9, 9 - size.toString().length + SIGNIFICANT);
  const unit = 10n ** BigInt(9 - decimals);
  const rounded = (size + unit / 2n) / unit;
  const scale = 10n ** BigInt(decimals);
  return `${sign}$${grouped.format(rounded / scale)}.${(rounded % scale).toString().padStart(decimals, "0")}`;
}

/** For a chart's axis, where the last digits do not matter. */
export const usdNumber = (nanoUsd: bigint | string): number => Number(nanoUsd) / 1e9;

/** Of a dollar amount that is a number already. */
export const formatUsdNumber = (usd: number): string => formatUsd(BigInt(Math.round(usd * 1e9)));

export const formatUsdRange = (lower: string, upper: string): string => `${formatUsd(lower)} to ${formatUsd(upper)}`;

/** `null`: of nothing. */
export function shareOf(part: string, whole: string): number | null {
  return BigInt(whole) === 0n ? null : Number((BigInt(part) * 100_000n) / BigInt(whole)) / 100_000;
}

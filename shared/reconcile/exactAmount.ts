/** Decimal dollars as they are written, without floats. Pure. */

/** 10^-18 USD: what a price of a token has, and some digits more. */
const DIGITS = 18;
const ATTO_PER_NANO = 10n ** 9n;
const DECIMAL = /^([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?$|^([+-]?)\.(\d+)$/;

/** In 10^-18 USD; `null` for what is no number, or has more digits than that. */
export function attoUsd(text: string): bigint | null {
  const found = DECIMAL.exec(text.trim());
  if (found === null) return null;
  const [, sign = found[5] ?? "", whole = "0", fraction = found[6] ?? "", exponent = "0"] = found;
  const shift = DIGITS - fraction.length + Number(exponent);
  const digits = BigInt(whole + fraction);
  const scaled = shift >= 0 ? digits * 10n ** BigInt(shift) : digits % 10n ** BigInt(-shift) === 0n ? digits / 10n ** BigInt(-shift) : null;
  return scaled === null ? null : sign === "-" ? -scaled : scaled;
}

export const attoOfNano = (nano: number): bigint => BigInt(nano) * ATTO_PER_NANO;
/** Half away from zero. */
export function nanoOfAtto(atto: bigint): bigint {
  const size = atto < 0n ? -atto : atto;
  const rounded = (size + ATTO_PER_NANO / 2n) / ATTO_PER_NANO;
  return atto < 0n ? -rounded : rounded;
}

/** A share as `0.5%` or `0.005`, in millionths, exactly; `null` for anything else, and for what is not in [0, 1]. */
export function millionths(text: string): bigint | null {
  const isPercent = text.trim().endsWith("%");
  const atto = attoUsd(isPercent ? text.trim().slice(0, -1) : text);
  if (atto === null || atto < 0n) return null;
  const unit = 10n ** BigInt(DIGITS - 6) * (isPercent ? 100n : 1n);
  const share = atto / unit;
  return atto % unit === 0n && share <= 1_000_000n ? share : null;
}

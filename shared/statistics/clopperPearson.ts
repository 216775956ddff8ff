/**
 * The exact interval of a share, 95 % and two-sided (Clopper, Pearson: "The use of confidence or fiducial limits illustrated in
 * the case of the binomial", Biometrika 26, 1934): it covers the true share at least so often, also where nothing was counted. Pure.
 */
export interface Interval {
  readonly lower: number;
  readonly upper: number;
}

const HALF_RISK = 0.025;

/** Of `count` among `trials`. Without trials nothing is known. */
export function clopperPearson(count: number, trials: number): Interval {
  return {
    lower: count === 0 ? 0 : betaQuantile(HALF_RISK, count, trials - count + 1),
    upper: count === trials ? 1 : betaQuantile(1 - HALF_RISK, count + 1, trials - count),
  };
}

function betaQuantile(probability: number, a: number, b: number): number {
  let [low, high] = [0, 1];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (betaShare(middle, a, b) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** The regularised incomplete beta function, by its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22). */
function betaShare(x: number, a: number, b: number): number {
  if (x > (a + 1) / (a + b + 2)) return 1 - betaShare(1 - x, b, a); // where it converges fast
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) + logGamma(a + b) - logGamma(a) - logGamma(b)) / a;
  let [c, d] = [1, 1 / (1 - ((a + b) * x) / (a + 1))];
  let fraction = d;
  for (let m = 1; m <= 1_000; m++) {
    for (const term of [(m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)), (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))]) {
      d = 1 / (1 + term * d);
      c = 1 + term / c;
      fraction *= c * d;
    }
    if (Math.abs(c * d - 1) < 1e-14) break;
  }
  return front * fraction;
}

/** Of whole numbers and halves from 1 on, by Stirling's series: `x` is moved up to where that is exact. */
function logGamma(x: number): number {
  let [shift, at] = [0, x];
  for (; at < 10; at++) shift += Math.log(at);
  const inverse = 1 / at;
  return (at - 0.5) * Math.log(at) - at + 0.5 * Math.log(2 * Math.PI) + inverse * (1 / 12 - inverse ** 2 * (1 / 360 - inverse ** 2 / 1_260)) - shift;
}

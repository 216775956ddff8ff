/**
 * Is a share above what is allowed? A test that may be looked at after every trial.
 *
 * H0: given all before it, each trial counts with a probability of `most` at the most. A bet on a share p above it multiplies its capital by
 * `p / most` when the trial counts and by `(1 - p) / (1 - most)` when it does not, so under H0 no capital is expected to grow, and
 * the probability that the mean of several ever reaches 1 / risk is `risk` at most (Ville), however often one looks: an e-process
 * (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2023, arXiv 2010.09686, section 4).
 * An interval of fixed size that is looked at after every trial promises nothing of the kind. It needs the two counts only. Pure.
 */
/** With which the share is ever said to be above `most` where it is not. */
const RISK = 0.05;
/** Bets on shares between `most` and 1, each half as far above `most` as the one before: a little more than allowed is found late, much more at once. */
const BETS = 8;

/** How many times its stake the mean of the bets is worth, after `count` of `trials` counted. `most` in (0, 1). */
export function evidenceAbove(count: number, trials: number, most: number): number {
  let sum = 0;
  for (let halvings = 1; halvings <= BETS; halvings++) {
    const share = most + (1 - most) * 2 ** -halvings;
    sum += Math.exp(count * Math.log(share / most) + (trials - count) * (Math.log1p(-share) - Math.log1p(-most))) / BETS;
  }
  return sum;
}

/** It may become false again: whoever acts on it remembers it. */
export const isAbove = (count: number, trials: number, most: number): boolean => evidenceAbove(count, trials, most) >= 1 / RISK;

import { describe, expect, it } from "vitest";

import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { hmacOf, isSecretOf, newKeyText, readKeyText, subkey } from "./keyText.ts";

const PEPPER = subkey("p".repeat(32), "api-keys");

it("reads the keys that it makes, each another one", () => {
  const keys = Array.from({ length: 200 }, newKeyText);
  for (const { text, keyId, secret } of keys) expect(readKeyText(text)).toEqual({ keyId, secret });
  expect(new Set(keys.map(({ keyId }) => keyId)).size).toBe(200);
});

it.each(["", "cao_", "sk-abc", "unused", `cao_${"a".repeat(12)}_${"b".repeat(42)}`, `cao_${"a".repeat(12)}_${"b".repeat(44)}`, `cao_${"A".repeat(12)}_${"b".repeat(43)}`, ` cao_${"a".repeat(12)}_${"b".repeat(43)}`])("%j is no key", (text) => {
  expect(readKeyText(text)).toBeNull();
});

it("tells a secret from all others, and knows none of an unknown key", () => {
  const { secret } = newKeyText();
  const stored = hmacOf(PEPPER, secret);
  const other = secret.startsWith("A") ? `B${secret.slice(1)}` : `A${secret.slice(1)}`;
  expect([isSecretOf(stored, PEPPER, secret), isSecretOf(stored, PEPPER, other), isSecretOf(null, PEPPER, secret), isSecretOf(stored, subkey("q".repeat(32), "api-keys"), secret)]).toEqual([true, false, false, false]);
});

it("gives each use a key of its own", () => {
  expect(subkey("s".repeat(32), "cache").equals(subkey("s".repeat(32), "admission"))).toBe(false);
});

/** What a call costs, in nanoseconds, wrong in the first character and in the last. Interleaved, in an order that is drawn, so that what else the machine does falls on both alike. */
function timesOf(compare: (secret: string) => unknown, [first, last]: readonly [string, string]): [number[], number[]] {
  const random = seededRandom(7);
  const times: [number[], number[]] = [[], []];
  for (let i = -WARM_UP; i < TIMED; i++) {
    const order = random() < 0.5 ? [0, 1] as const : [1, 0] as const;
    for (const which of order) {
      const secret = which === 0 ? first : last;
      const began = process.hrtime.bigint();
      compare(secret);
      const tookNs = Number(process.hrtime.bigint() - began);
      if (i >= 0) times[which].push(tookNs);
    }
  }
  return times;
}
const TIMED = 50_000, WARM_UP = 5_000;

/** Welch's t of what is below the 90 % quantile of both together: above it are interrupts and collections of garbage, not the comparison. */
function welchT([a, b]: readonly [readonly number[], readonly number[]]): number {
  const most = [...a, ...b].sort((x, y) => x - y)[Math.floor(0.9 * (a.length + b.length))] ?? Infinity;
  const [one, other] = [a, b].map((times) => {
    const kept = times.filter((time) => time <= most);
    const mean = kept.reduce((sum, time) => sum + time, 0) / kept.length;
    return { mean, squaredError: kept.reduce((sum, time) => sum + (time - mean) ** 2, 0) / (kept.length - 1) / kept.length };
  });
  if (one === undefined || other === undefined) throw new Error("two were made");
  return (one.mean - other.mean) / Math.sqrt(one.squaredError + other.squaredError);
}
/** Beyond 4.5 is taken for a leak (TVLA); a machine that is noisy may give it by chance, three times in a row it does not. */
const LEAK_T = 4.5;
const leaks = (compare: (secret: string) => unknown, guesses: readonly [string, string]): boolean => [1, 2, 3].every(() => Math.abs(welchT(timesOf(compare, guesses))) > LEAK_T);

describe("the time that a wrong key takes", () => {
  const { secret } = newKeyText();
  const flipped = (at: number): string => `${secret.slice(0, at)}${secret[at] === "A" ? "B" : "A"}${secret.slice(at + 1)}`;
  const guesses = [flipped(0), flipped(42)] as const;

  it("does not tell whether it was wrong in the first or in the last character (n = 50,000, Welch's t)", () => {
    const stored = hmacOf(PEPPER, secret);
    expect(leaks((guess) => isSecretOf(stored, PEPPER, guess), guesses)).toBe(false);
  }, 60_000);

  it("would tell of a comparison that ends at the first difference", () => {
    const isEqual = (guess: string): boolean => {
      for (let i = 0; i < secret.length; i++) if (guess.charCodeAt(i) !== secret.charCodeAt(i)) return false;
      return true;
    };
    expect(leaks(isEqual, guesses)).toBe(true);
  }, 60_000);
});

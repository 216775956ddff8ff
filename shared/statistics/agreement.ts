/**
 * How far two answers to the same question are the same, in [0, 1]. Pure and symmetric.
 *
 * 1 when they are equal but for case, white space and punctuation; for two JSON values, whether they are the same value;
 * otherwise the F1 of their words, as SQuAD scores answers (Rajpurkar, Zhang, Lopyrev, Liang: "SQuAD: 100,000+ Questions
 * for Machine Comprehension of Text", EMNLP 2016, section 6.1, and its `evaluate-v1.1.py`). Apart from that script, English
 * articles count, since an answer may be "A" or in another language, and a number keeps its sign and its separators, since
 * 1.5 is not 15.
 */
export function agreement(one: string, other: string): number {
  const [first, second] = [normalised(one), normalised(other)];
  if (first === second && first !== "") return 1;
  const [json, otherJson] = [jsonOf(one), jsonOf(other)];
  if (json !== null && otherJson !== null) return isSame(json.value, otherJson.value) ? 1 : 0;
  if (first === "" || second === "") return one.trim() === other.trim() ? 1 : 0; // nothing but punctuation, or nothing at all
  return wordF1(first.split(" "), second.split(" "));
}

/** Unicode's punctuation, and the symbols that `string.punctuation` of the SQuAD script has beside it; but no minus before a digit and no separator between two. */
const PUNCTUATION = /(?!(?<!\p{L})-\d|(?<=\d)[.,:/]\d)[\p{P}$+<=>^`|~]/gu;
const normalised = (text: string): string => text.normalize("NFKC").toLowerCase().replaceAll(PUNCTUATION, "").trim().replaceAll(/\s+/g, " ");

/** Harmonic mean of the shares of words that each has in common with the other; a repeated word counts as often as it is there. */
function wordF1(words: readonly string[], others: readonly string[]): number {
  const left = new Map<string, number>();
  for (const word of words) left.set(word, (left.get(word) ?? 0) + 1);
  let common = 0;
  for (const word of others) {
    const count = left.get(word) ?? 0;
    if (count === 0) continue;
    left.set(word, count - 1);
    common++;
  }
  return (2 * common) / (words.length + others.length);
}

/** All words of one are among the other's, as often: the shorter may be the same answer without a sentence around it. Not of JSON values, which are compared as such. */
export function isContained(one: string, other: string): boolean {
  const [shorter = [], longer = []] = [one, other].map((text) => normalised(text).split(" ").filter((word) => word !== "")).sort((a, b) => a.length - b.length);
  if (shorter.length === 0 || (jsonOf(one) !== null && jsonOf(other) !== null)) return false;
  return wordF1(shorter, longer) === (2 * shorter.length) / (shorter.length + longer.length);
}

function jsonOf(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}

/** Deep equality of JSON values, whatever the order of keys. With a list of its own: a model may nest deeper than the stack. */
function isSame(one: unknown, other: unknown): boolean {
  const pairs: [unknown, unknown][] = [[one, other]];
  for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
    const [a, b] = pair;
    if (a === b) continue;
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null || Array.isArray(a) !== Array.isArray(b)) return false;
    const entries = Object.entries(a);
    if (entries.length !== Object.keys(b).length) return false;
    for (const [key, value] of entries) {
      if (!Object.hasOwn(b, key)) return false;
      pairs.push([value, (b as Record<string, unknown>)[key]]);
    }
  }
  return true;
}

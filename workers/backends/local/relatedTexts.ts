/**
 * Finds texts that must not be divided between training and test: near-duplicates (a spam sent again with another
 * name in it) and one conversation (replies quote each other). Relations chain: a like b and b like c puts all three
 * in one group.
 */
import { hashText, mix } from "./hash.ts";

const SHINGLE_WORDS = 3;
/** Two texts of Jaccard similarity s meet with probability 1-(1-s^3)^10: .35 at .35, .74 at .5, .985 at .7. */
const BANDS = 10;
const ROWS = 3;
/** Words of a text that are compared. Beyond that, two texts alike so far are alike enough. */
const MAX_WORDS = 300;
/** Shorter subjects ("hello", "test") do not name a conversation. */
const MIN_SUBJECT_LENGTH = 8;

/** `texts` have their subject in the first line. Gives for each text the index of its group's first text. */
export function groupRelated(texts: readonly string[]): number[] {
  const groups = new UnionFind(texts.length);
  const firstWithKey = new Map<string, number>();
  texts.forEach((text, index) => {
    for (const key of [...conversationKey(text), ...similarityKeys(text)]) {
      const other = firstWithKey.get(key);
      if (other === undefined) firstWithKey.set(key, index);
      else groups.join(other, index);
    }
  });
  return texts.map((_, index) => groups.find(index));
}

/** Digits and case do not count: "CNET 12/08" and "Cnet 13/08" are one series. */
const words = (text: string): string[] => text.toLowerCase().match(/[a-z\u0080-\uffff][a-z'\u0080-\uffff]*/g) ?? [];

function conversationKey(text: string): string[] {
  const end = text.indexOf("\n");
  const subject = (end === -1 ? text : text.slice(0, end)).replace(/^subject:\s*/i, "").replace(/^(?:(?:re|fwd?|aw|sv)(?:\[\d+\])?:\s*)+/i, "");
  const key = words(subject).join(" ");
  return key.length < MIN_SUBJECT_LENGTH ? [] : [`subject ${key}`];
}

function similarityKeys(text: string): string[] {
  const minima = minHashes(text);
  const keys: string[] = [];
  for (let band = 0; band < BANDS && minima !== undefined; band += 1) {
    keys.push(`${band} ${minima.subarray(band * ROWS, (band + 1) * ROWS).join(" ")}`);
  }
  return keys;
}

function minHashes(text: string): Uint32Array | undefined {
  const hashes = words(text.slice(0, MAX_WORDS * 10)).slice(0, MAX_WORDS).map((word) => hashText(word));
  if (hashes.length < SHINGLE_WORDS) return undefined;
  const minima = new Uint32Array(BANDS * ROWS).fill(0xffffffff);
  const seen = new Set<number>();
  for (let i = 0; i + SHINGLE_WORDS <= hashes.length; i += 1) {
    let shingle = 0;
    for (let j = i; j < i + SHINGLE_WORDS; j += 1) shingle = mix(Math.imul(shingle, 31) + (hashes[j] ?? 0));
    if (seen.has(shingle)) continue;
    seen.add(shingle);
    for (let k = 0; k < minima.length; k += 1) {
      const value = mix(shingle + Math.imul(k + 1, 0x9e3779b9));
      if (value < (minima[k] ?? 0)) minima[k] = value;
    }
  }
  return minima;
}

class UnionFind {
  readonly #parent: number[];
  constructor(size: number) {
    this.#parent = Array.from({ length: size }, (_, index) => index);
  }
  find(index: number): number {
    let root = index;
    for (let next = this.#parent[root] ?? root; next !== root; next = this.#parent[root] ?? root) root = next;
    this.#parent[index] = root;
    return root;
  }
  /** The smaller index becomes the group's. */
  join(a: number, b: number): void {
    const [rootA, rootB] = [this.find(a), this.find(b)];
    this.#parent[Math.max(rootA, rootB)] = Math.min(rootA, rootB);
  }
}

/** Which requests were there already, in a fixed amount of memory: of the last two million at least, and never more than twice as many. */
export interface SeenIds {
  /** Whether it is new. It is known from now on. */
  readonly add: (tenantId: string, requestId: string) => boolean;
}

const MOST = 2 ** 21;

/** By 64 bits of each id: of four million, two are taken for the same once in two million runs. */
export function makeSeenIds(most: number = MOST): SeenIds {
  let now = makeTable(2 * most), before = makeTable(2 * most);
  return {
    add(tenantId, requestId) {
      const [high, low] = hashOf(`${tenantId}.${requestId}`);
      if (before.has(high, low) || !now.add(high, low)) return false;
      if (now.size() >= most) [before, now] = [now, makeTable(2 * most)];
      return true;
    },
  };
}

/** Open addressing; `slots` is a power of two. A pair of zeros is no id. */
function makeTable(slots: number) {
  const pairs = new Uint32Array(2 * slots);
  let size = 0;
  const placeOf = (high: number, low: number): number => {
    let at = low & (slots - 1);
    while ((pairs[2 * at] !== 0 || pairs[2 * at + 1] !== 0) && (pairs[2 * at] !== high || pairs[2 * at + 1] !== low)) at = (at + 1) & (slots - 1);
    return 2 * at;
  };
  const isAt = (at: number, high: number, low: number): boolean => pairs[at] === high && pairs[at + 1] === low;
  return {
    has: (high: number, low: number): boolean => isAt(placeOf(high, low), high, low),
    add(high: number, low: number): boolean {
      const at = placeOf(high, low);
      if (isAt(at, high, low)) return false;
      pairs[at] = high;
      pairs[at + 1] = low;
      size++;
      return true;
    },
    size: () => size,
  };
}

/** Two lanes of multiply and xor, mixed at the end (cyrb53, public domain). */
function hashOf(text: string): [number, number] {
  let a = 0xdeadbeef, b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 2_654_435_761);
    b = Math.imul(b ^ unit, 1_597_334_677);
  }
  a = Math.imul(a ^ (a >>> 16), 2_246_822_507) ^ Math.imul(b ^ (b >>> 13), 3_266_489_909);
  b = Math.imul(b ^ (b >>> 16), 2_246_822_507) ^ Math.imul(a ^ (a >>> 13), 3_266_489_909);
  return [a >>> 0, (b | 1) >>> 0];
}

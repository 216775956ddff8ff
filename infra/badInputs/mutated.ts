/** For property tests: JSON that is nearly right. What is made up from nothing hardly gets past the first field. */
import fc from "fast-check";

/** Runs until the time is over. A failure prints its seed and path, with which it comes again. */
export const fuzzing = (forMs: number): { readonly numRuns: number; readonly interruptAfterTimeLimit: number; readonly markInterruptAsFailure: false; readonly seed: number } => {
  const seed = Date.now() % 2 ** 31;
  process.stdout.write(`fuzzing for ${forMs} ms, seed ${seed}\n`);
  return { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: forMs, markInterruptAsFailure: false, seed };
};

const NASTY_TEXTS = ["", " ", "constructor", "toString", "__proto__", "hasOwnProperty", "\0", "\ud800", "\u202e", "🌍", "1", "null", "*", "a.b", ">", "-0", "1e400", "data: x\n\n"];
const nastyNumber = fc.constantFrom(0, -0, -1, 0.5, 1, 2 ** 31, 2 ** 53 + 2, 1e21, 1e308, 5e-324);
const leaf = fc.oneof({ arbitrary: fc.constantFrom(...NASTY_TEXTS), weight: 4 }, fc.constantFrom(null, true, false), fc.string({ unit: "binary" }), nastyNumber, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer());
/** Any value that JSON has. */
export const anyJson: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof({ maxDepth: 4, depthSize: "small" }, { arbitrary: leaf, weight: 6 }, fc.array(tie("value"), { maxLength: 4 }), fc.dictionary(fc.oneof(fc.constantFrom(...NASTY_TEXTS), fc.string()), tie("value"), { maxKeys: 4, noNullPrototype: true })),
})).value;

interface Change {
  readonly at: number;
  readonly kind: "replace" | "remove" | "add";
  readonly value: unknown;
  readonly key: string;
}
const change: fc.Arbitrary<Change> = fc.record({ at: fc.nat(), kind: fc.constantFrom("replace", "remove", "add"), value: anyJson, key: fc.constantFrom(...NASTY_TEXTS, "x") });

/** One of these values with a few places replaced, removed or added to. Safe: `__proto__` becomes a key as any other. */
export const mutated = (...from: readonly [unknown, ...unknown[]]): fc.Arbitrary<unknown> =>
  fc.tuple(fc.constantFrom(...from), fc.array(change, { maxLength: 4 })).map(([value, changes]) => changes.reduce(applied, structuredClone(value)));

function applied(root: unknown, { at, kind, value, key }: Change): unknown {
  const places: { readonly owner: object; readonly key: string }[] = [];
  const visit = (one: unknown): void => {
    if (typeof one !== "object" || one === null) return;
    for (const [name, inner] of Object.entries(one)) {
      places.push({ owner: one, key: name });
      visit(inner);
    }
  };
  visit(root);
  const place = places[at % Math.max(1, places.length)];
  if (place === undefined) return value;
  if (kind === "remove") Reflect.deleteProperty(place.owner, place.key);
  else Object.defineProperty(place.owner, kind === "add" && !Array.isArray(place.owner) ? key : place.key, { value, enumerable: true, configurable: true, writable: true });
  return root;
}

/** Its bytes, a few of which are others, doubled or gone. */
export const garbled = (text: fc.Arbitrary<string>): fc.Arbitrary<Buffer> =>
  fc.tuple(text, fc.array(fc.record({ at: fc.nat(), kind: fc.constantFrom("set", "insert", "cut"), byte: fc.nat({ max: 255 }) }), { maxLength: 3 })).map(([whole, changes]) => {
    let bytes = Buffer.from(whole);
    for (const { at, kind, byte } of changes) {
      const place = at % (bytes.length + 1);
      if (kind === "cut") bytes = bytes.subarray(0, place);
      else bytes = Buffer.concat([bytes.subarray(0, place), Buffer.from([byte]), bytes.subarray(kind === "set" ? place + 1 : place)]);
    }
    return bytes;
  });

/** Fills in the prices that a tier file leaves out or takes from the price book, with the tokenizers of their models, so that all code behind sees prices and nothing else. Pure. */
import type { BookPrice, PriceFile } from "#shared/contracts/prices.ts";
import type { Tokenizer } from "#shared/contracts/tokenizer.ts";

import { findInBook, type InUse, pricesInUse } from "./pricesInUse.ts";

/** Whether the file can be read without the book. */
export const asksBook = (file: unknown): boolean => pricesInUse(file).some(({ asked }) => asked.kind === "book");

export interface Priced {
  readonly file: unknown;
  /** By path: what is unknown or over is refused, never 0. */
  readonly problems: string[];
}
export interface PriceOptions {
  /** On which the prices have to hold. */
  readonly day: string;
  /** For what charges nobody: a price that is over will do. */
  readonly acceptsOver?: boolean;
}
/** `file`: as YAML has it, for the schema to read afterwards. `booksName`: for people. */
export function withBookPrices(file: unknown, book: PriceFile, { booksName, day, acceptsOver = false }: PriceOptions & { readonly booksName: string }): Priced {
  const inUse = pricesInUse(file);
  const problems: string[] = [];
  const filled = inUse.reduce((value, one) => {
    if (one.asked.kind !== "book") return value;
    const found = findInBook(book, one, day);
    if (found.kind === "price") return withTokenizer(withValue(value, one.path, inline(found.price, one)), one, found.tokenizer);
    if (acceptsOver && found.last !== undefined) return withValue(value, one.path, inline(found.last, one));
    if (one.asked.id !== null || one.backend !== undefined) problems.push(refusal(one, found.why, booksName));
    return value;
  }, file);
  return { file: inUse.reduce((value, one) => (one.asked.kind === "first_replica" ? withValue(value, one.path, valueAt(value, [...one.path.slice(0, -1), "replicas", 0, "price"])) : value), filled), problems };
}

/** How the model's prompts are counted is the book's to say where the backend does not. */
function withTokenizer(value: unknown, { path, backend }: InUse, tokenizer: Tokenizer | undefined): unknown {
  const counts = backend?.kind === "openai-compatible" || backend?.kind === "openai-embeddings";
  return tokenizer === undefined || !counts || backend.tokenizer !== undefined ? value : withValue(value, [...path.slice(0, -1), "backend", "tokenizer"], tokenizer);
}

/** A price that the file states itself and that is over by its own word. By path. */
export const overdue = (file: unknown, day: string): string[] =>
  pricesInUse(file).flatMap(({ path, owner, asked }) => {
    const until = asked.kind === "inline" ? endOf(asked.price) : undefined;
    return until === undefined || until >= day ? [] : [`${path.join(".")}: ${owner}: its price ended on ${until}. Put in the one that holds now, or remove it to take the price book's; inferctl prices check says more`];
  });
const endOf = (price: unknown): string | undefined => (typeof price === "object" && price !== null && "valid_until" in price && typeof price.valid_until === "string" ? price.valid_until : undefined);

function refusal({ path, owner, backend }: InUse, why: string, booksName: string): string {
  return `${path.join(".")}: ${owner}${backend === undefined ? "" : ` (model ${backend.model})`} has no price: ${why}. Add it to ${booksName} (INFER_PRICES_FILE), or state it here; inferctl prices check says more`;
}

/** As the tier file would state it; an embedder's has no more than input and request. */
function inline({ read_on: _read, usd_per_million_output_tokens, usd_per_million_cached_input_tokens: cached, usd_per_million_cache_write_tokens: written, usd_per_million_reasoning_output_tokens: reasoning, above, ...price }: BookPrice, { makesVectors }: Pick<InUse, "makesVectors">): object {
  if (makesVectors) return price;
  return {
    ...price, usd_per_million_output_tokens,
    ...(cached === undefined ? {} : { usd_per_million_cached_input_tokens: cached }),
    ...(written === undefined ? {} : { usd_per_million_cache_write_tokens: written }),
    ...(reasoning === undefined ? {} : { usd_per_million_reasoning_output_tokens: reasoning }),
    ...(above === undefined ? {} : { above }),
  };
}

type Path = readonly (string | number)[];
type Tree = Readonly<Record<string | number, unknown>>;
const isTree = (value: unknown): value is Tree => typeof value === "object" && value !== null;
const valueAt = (value: unknown, path: Path): unknown => path.reduce((inner: unknown, key) => (isTree(inner) ? inner[key] : undefined), value);

/** A copy with `given` at the path, which is there but for its last step. */
function withValue(value: unknown, [key, ...rest]: Path, given: unknown): unknown {
  if (key === undefined) return given;
  if (Array.isArray(value)) return value.map((item: unknown, i) => (i === key ? withValue(item, rest, given) : item));
  return isTree(value) ? { ...value, [key]: withValue(value[key], rest, given) } : value;
}

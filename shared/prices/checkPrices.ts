/** What each tier, replica and embedder of a tier file is charged, where that comes from, and what is wrong with it. Pure. */
import { type BookPrice, oddities, PriceFigures, type PriceFile } from "#shared/contracts/prices.ts";

import type { Found } from "./lookUp.ts";
import { findInBook, type InUse, pricesInUse } from "./pricesInUse.ts";

/** Beyond this share of the book's figure an inline price is another price. */
const MOST_DIFFERENCE = 0.2;
/** A figure that was read longer ago should be read again. */
const STALE_AFTER_DAYS = 180;

export interface Finding {
  /** A warning alone fails nothing. */
  readonly level: "problem" | "warning";
  readonly kind: "unknown" | "expired" | "not_yet_valid" | "implausible" | "differs" | "stale" | "unusual";
  readonly message: string;
}
export interface CheckedPrice {
  /** Of the price in the tier file, with dots. */
  readonly path: string;
  readonly owner: string;
  readonly model: string | null;
  /** `book`: with its entry. `tier`: the first replica's price, which has a line of its own. */
  readonly from: "inline" | "book" | "first replica";
  readonly book_entry: string | null;
  readonly figures: PriceFigures | null;
  readonly source: string | null;
  readonly valid_from: string | null;
  readonly valid_until: string | null;
  readonly read_on: string | null;
  readonly findings: readonly Finding[];
}

/** `file`: a tier file as YAML has it. `day`: on which its prices have to hold. */
export const checkPrices = (file: unknown, book: PriceFile, day: string): CheckedPrice[] =>
  pricesInUse(file).map((one) => {
    const found = findInBook(book, one, day);
    switch (one.asked.kind) {
      case "inline": return inlinePrice(one, one.asked.price, found, day);
      case "book": return bookPrice(one, found, day);
      case "first_replica": return { ...NOTHING, ...placeOf(one), from: "first replica" };
    }
  });

const NOTHING = { book_entry: null, figures: null, source: null, valid_from: null, valid_until: null, read_on: null, findings: [] } as const;
const placeOf = ({ path, owner, backend }: InUse) => ({ path: path.join("."), owner, model: backend?.model ?? null });

function bookPrice(one: InUse, found: Found, day: string): CheckedPrice {
  if (found.kind === "none") return { ...NOTHING, ...placeOf(one), from: "book", findings: [{ level: "problem", kind: found.problem, message: `no price: ${found.why}. Add it there, or state it in the tier file` }] };
  const { id, price } = found;
  return { ...placeOf(one), from: "book", book_entry: id, ...shownOf(price), read_on: price.read_on, findings: [...cheapOutput(price), ...stale(price, day)] };
}

interface Dated {
  readonly source?: string | undefined;
  readonly valid_from?: string | undefined;
  readonly valid_until?: string | undefined;
}
const shownOf = (price: PriceFigures & Dated) => ({ figures: PriceFigures.parse(price), source: price.source ?? null, valid_from: price.valid_from ?? null, valid_until: price.valid_until ?? null });

/** What the file's schema has to say of it is not repeated here. */
function inlinePrice(one: InUse, raw: unknown, found: Found, day: string): CheckedPrice {
  const figures = PriceFigures.safeParse(raw);
  if (!figures.success) return { ...NOTHING, ...placeOf(one), from: "inline", findings: [{ level: "problem", kind: "unknown", message: "no price that can be read: give USD per million tokens, or { book: <provider>/<model> }" }] };
  const { source, valid_from, valid_until, unusual } = textsOf(raw);
  const dates: Finding[] = [];
  if (valid_until !== undefined && valid_until < day) dates.push({ level: "problem", kind: "expired", message: `it ended on ${valid_until}: put in the one that holds now, or take the price book's` });
  if (valid_from !== undefined && valid_from > day) dates.push({ level: "problem", kind: "not_yet_valid", message: `it begins on ${valid_from}, and is charged already` });
  const odd = oddities(figures.data).filter(({ isExcusable }) => !isExcusable || unusual === undefined).map(({ field, message }): Finding => ({ level: "problem", kind: "implausible", message: `${field}: ${message}. If it is right, say why in "unusual"` }));
  return {
    ...placeOf(one), from: "inline", book_entry: found.kind === "price" ? found.id : null, ...shownOf({ ...figures.data, source, valid_from, valid_until }), read_on: null,
    findings: [...dates, ...odd, ...(found.kind === "price" ? differences(figures.data, found.id, found.price) : []), ...cheapOutput(figures.data)],
  };
}

function textsOf(raw: unknown): Dated & { readonly unusual?: string | undefined } {
  const text = (key: string) => {
    const value: unknown = typeof raw === "object" && raw !== null ? (raw as Record<string, unknown>)[key] : undefined;
    return typeof value === "string" ? value : undefined;
  };
  return { source: text("source"), valid_from: text("valid_from"), valid_until: text("valid_until"), unusual: text("unusual") };
}

/** What a price leaves out costs as the rest of its kind: that is said where it makes a difference of its own, and fails nothing where it charges too much. */
function differences(inline: PriceFigures, id: string, book: BookPrice): Finding[] {
  const steps = new Set([...(inline.above ?? []), ...(book.above ?? [])].map(({ input_tokens }) => input_tokens));
  const longer = [...steps].sort((a, b) => a - b).flatMap((step) => differ(figuresAbove(inline, step), figuresAbove(book, step), id, ` of prompts above ${step.toLocaleString("en")} tokens`));
  return [...differ(inline, book, id, ""), ...longer];
}

/** What a prompt of more than so many tokens costs. */
function figuresAbove(figures: PriceFigures, inputTokens: number): PriceFigures {
  const step = figures.above?.findLast(({ input_tokens }) => input_tokens <= inputTokens);
  if (step === undefined) return figures;
  const { usd_per_million_cached_input_tokens: _cached, usd_per_million_cache_write_tokens: _written, usd_per_million_reasoning_output_tokens: _reasoning, ...rest } = figures;
  return { ...rest, ...step }; // a step has its own of these, or none
}

function differ(inline: PriceFigures, book: PriceFigures, id: string, where: string): Finding[] {
  return KINDS.flatMap(({ what, field, restOf }): Finding[] => {
    const isLeftOut = inline[field] === undefined;
    const mine = inline[field] ?? (restOf === null ? 0 : inline[restOf] ?? 0), listed = book[field] ?? (restOf === null ? 0 : book[restOf] ?? 0);
    const isRestOff = restOf !== null && isOff(inline[restOf] ?? 0, book[restOf] ?? 0);
    if (!isOff(mine, listed) || (isLeftOut && isRestOff)) return [];
    const by = listed === 0 ? "" : `: ${ratio(mine / listed)}`;
    return [{ level: isLeftOut && mine > listed ? "warning" : "problem", kind: "differs", message: `${what}${where}: ${mine} USD here${isLeftOut && restOf !== null ? ", as it is left out," : ""} and ${listed} in the price book (${id})${by}. Correct it, or remove the price to take the price book's` }];
  });
}

const isOff = (mine: number, listed: number): boolean => Math.abs(mine - listed) > MOST_DIFFERENCE * listed * (1 + 1e-9);

/** `restOf`: what counts where it is left out. */
const KINDS = [
  { what: "input", field: "usd_per_million_input_tokens", restOf: null },
  { what: "output", field: "usd_per_million_output_tokens", restOf: null },
  { what: "cached input", field: "usd_per_million_cached_input_tokens", restOf: "usd_per_million_input_tokens" },
  { what: "cache writes", field: "usd_per_million_cache_write_tokens", restOf: "usd_per_million_input_tokens" },
  { what: "reasoning", field: "usd_per_million_reasoning_output_tokens", restOf: "usd_per_million_output_tokens" },
  { what: "request", field: "usd_per_request", restOf: null },
] as const satisfies readonly { readonly what: string; readonly field: keyof PriceFigures; readonly restOf: keyof PriceFigures | null }[];

/** `of`: mine by the book's. */
function ratio(of: number): string {
  if (of > 3) return `${Number(of.toPrecision(3))} times as much`;
  if (of > 0 && of < 1 / 3) return `a ${Number((1 / of).toPrecision(3))}th of it`;
  return `${(100 * Math.abs(of - 1)).toFixed(0)} % ${of > 1 ? "more" : "less"}`;
}

function cheapOutput({ usd_per_million_input_tokens: input, usd_per_million_output_tokens: output }: PriceFigures): Finding[] {
  return output === undefined || output >= input ? [] : [{ level: "warning", kind: "unusual", message: `output (${output} USD) is cheaper than input (${input}): are they the right way round?` }];
}

function stale({ read_on }: BookPrice, day: string): Finding[] {
  const days = Math.floor((Date.parse(day) - Date.parse(read_on)) / 86_400_000);
  return days <= STALE_AFTER_DAYS ? [] : [{ level: "warning", kind: "stale", message: `it was read ${days} days ago, on ${read_on}: look again whether it still holds` }];
}

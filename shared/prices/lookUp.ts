/** Which price of the book holds for a backend on a day. Pure. */
import type { BookModel, BookPrice, PriceFile } from "#shared/contracts/prices.ts";
import type { BackendConfig } from "#shared/contracts/tiers.ts";
import type { Tokenizer } from "#shared/contracts/tokenizer.ts";

export type Found =
  /** `id`: `<provider>/<model>`. */
  | { readonly kind: "price"; readonly id: string; readonly price: BookPrice; readonly tokenizer?: Tokenizer }
  /** The book has nothing for that day; `why` is a clause that says what it has, `last` the price that held before. */
  | { readonly kind: "none"; readonly problem: "unknown" | "expired" | "not_yet_valid"; readonly why: string; readonly last?: BookPrice };

/** By the host of the backend's `base_url` and its model. A backend in the worker's own process has no list price. */
export function findByBackend(book: PriceFile, backend: BackendConfig, day: string): Found {
  if (!("base_url" in backend)) return unknown(`${backend.kind} models run in the worker and have no list price`);
  const { hostname } = new URL(backend.base_url);
  const provider = Object.entries(book.providers).find(([, { hosts }]) => hosts.includes(hostname))?.[0];
  return provider === undefined ? unknown(`no provider of the price book has the host ${hostname}`) : priceOn(modelOf(book, provider, backend.model), `${provider}/${backend.model}`, day);
}

/** `id`: `<provider>/<model or alias>`. */
export function findById(book: PriceFile, id: string, day: string): Found {
  const slash = id.indexOf("/");
  if (slash === -1) return unknown(`the price book has no ${id}: name it as <provider>/<model>`);
  return priceOn(modelOf(book, id.slice(0, slash), id.slice(slash + 1)), id, day);
}

const modelOf = (book: PriceFile, provider: string, name: string): BookModel | undefined =>
  book.models.find((one) => one.provider === provider && (one.model === name || one.aliases.includes(name)));

/** The one whose days hold `day`: its schema made sure that there is no second one. */
export const currentPrice = ({ prices }: Pick<BookModel, "prices">, day: string): BookPrice | undefined =>
  prices.find(({ valid_from, valid_until }) => valid_from <= day && (valid_until === undefined || day <= valid_until));

/** The latest of those that are over. */
export const lastEnded = ({ prices }: Pick<BookModel, "prices">, day: string): (BookPrice & { readonly valid_until: string }) | undefined =>
  prices.flatMap((price) => (price.valid_until !== undefined && price.valid_until < day ? [{ ...price, valid_until: price.valid_until }] : [])).sort((a, b) => (a.valid_until < b.valid_until ? 1 : -1))[0];

function priceOn(model: BookModel | undefined, asked: string, day: string): Found {
  if (model === undefined) return unknown(`the price book has no ${asked}`);
  const price = currentPrice(model, day);
  if (price !== undefined) return { kind: "price", id: `${model.provider}/${model.model}`, price, ...(model.tokenizer === undefined ? {} : { tokenizer: model.tokenizer }) };
  const last = lastEnded(model, day);
  if (last !== undefined) return { kind: "none", problem: "expired", why: `the price book's last price of ${asked} ended on ${last.valid_until}`, last };
  const begins = model.prices.map(({ valid_from }) => valid_from).sort()[0] ?? "";
  return { kind: "none", problem: "not_yet_valid", why: `the price book's first price of ${asked} begins on ${begins}` };
}

const unknown = (why: string): Found => ({ kind: "none", problem: "unknown", why });

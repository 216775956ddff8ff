/** What a tier file says of prices, place by place, before its schema reads it: what it states itself, and what the price book has for it. Pure. */
import { z } from "zod";

import { BookReference, type PriceFile } from "#shared/contracts/prices.ts";
import { BackendConfig } from "#shared/contracts/tiers.ts";

import { findByBackend, findById, type Found } from "./lookUp.ts";

/** A tier, a replica or an embedder, as far as prices go. */
export interface InUse {
  /** Of its price in the file. */
  readonly path: readonly (string | number)[];
  /** For people: `tier large`, `replica eu of tier large`, `embedder vectors`. */
  readonly owner: string;
  readonly makesVectors: boolean;
  /** Absent: the file has none that can be read, and its schema will say so. */
  readonly backend: BackendConfig | undefined;
  readonly asked: Asked;
}
export type Asked =
  /** As it is in the file, whether it is right or not. */
  | { readonly kind: "inline"; readonly price: unknown }
  /** By the file, or for want of a price there. */
  | { readonly kind: "book"; readonly id: string | null }
  /** The first replica's price stands for the tier's. */
  | { readonly kind: "first_replica" };

const Server = z.looseObject({ name: z.string().optional(), backend: z.unknown().optional(), price: z.unknown().optional() });
const RawTier = Server.extend({ replicas: z.array(Server).optional() });
const RawFile = z.looseObject({ tiers: z.array(z.unknown()).default([]), embedders: z.array(z.unknown()).default([]) });

/** A replica without a price has its tier's; where the tier has none either, each has the price of its own backend. */
export function pricesInUse(file: unknown): InUse[] {
  const raw = RawFile.safeParse(file);
  if (!raw.success) return [];
  const { tiers, embedders } = raw.data;
  return [
    ...tiers.flatMap((tier, i) => ofTier(tier, ["tiers", i], { noun: "tier", makesVectors: false })),
    ...embedders.flatMap((embedder, i) => ofTier(embedder, ["embedders", i], { noun: "embedder", makesVectors: true })),
  ];
}

function ofTier(value: unknown, place: readonly (string | number)[], { noun, makesVectors }: { readonly noun: string; readonly makesVectors: boolean }): InUse[] {
  const raw = RawTier.safeParse(value);
  if (!raw.success) return [];
  const { name = String(place.at(-1)), replicas = [] } = raw.data;
  const owner = `${noun} ${name}`;
  const hasNoPrice = raw.data.price === undefined && raw.data.backend === undefined && replicas.length > 0;
  const own: InUse = { path: [...place, "price"], owner, makesVectors, backend: backendOf(raw.data.backend), asked: hasNoPrice ? { kind: "first_replica" } : askedBy(raw.data.price) };
  return [own, ...replicas.flatMap((replica, i): InUse[] => {
    if (replica.price === undefined && !hasNoPrice) return [];
    return [{ path: [...place, "replicas", i, "price"], owner: `replica ${replica.name ?? String(i)} of ${owner}`, makesVectors, backend: backendOf(replica.backend), asked: askedBy(replica.price) }];
  })];
}

const backendOf = (value: unknown): BackendConfig | undefined => BackendConfig.safeParse(value).data;

function askedBy(price: unknown): Asked {
  if (price === undefined) return { kind: "book", id: null };
  const reference = BookReference.safeParse(price);
  return reference.success ? { kind: "book", id: reference.data.book } : { kind: "inline", price };
}

/** What the book has for one that asks it; for one that does not, what it would have. */
export function findInBook(book: PriceFile, { backend, asked, makesVectors }: Pick<InUse, "backend" | "asked" | "makesVectors">, day: string): Found {
  const found = asked.kind === "book" && asked.id !== null ? findById(book, asked.id, day) : backend === undefined ? NO_BACKEND : findByBackend(book, backend, day);
  if (found.kind === "price" && !makesVectors && found.price.usd_per_million_output_tokens === undefined) return { kind: "none", problem: "unknown", why: `${found.id} has no price of output tokens in the price book: it makes vectors` };
  return found;
}
const NO_BACKEND: Found = { kind: "none", problem: "unknown", why: "its backend cannot be read" };

/** A provider's bill against the ledger, by day and model. Pure. */
import type { Difference } from "#shared/contracts/difference.ts";

import type { BilledDay } from "./bill.ts";
import { differenceOf } from "./difference.ts";

/** Every line of the ledger, whoever pays for it: the provider bills them all. */
export type BookedDay = BilledDay;
export interface BillCompared {
  readonly differences: readonly Difference[];
  /** Days and models that were compared. */
  readonly days: number;
  readonly billed: bigint;
  readonly booked: bigint;
  /** Of the ledger, in the bill's days, and not on the bill at all: another provider's. */
  readonly unbilledModels: readonly string[];
}

/** `tolerance`: share of the larger amount by which the two may differ on a day, in millionths. */
export function compareBill(bill: readonly BilledDay[], books: readonly BookedDay[], tolerance: bigint): BillCompared {
  const billedModels = new Set(bill.map(({ model }) => model));
  const keyOf = ({ day, model }: BilledDay) => JSON.stringify([day, model]);
  const both = new Map<string, { day: string; model: string; billed: bigint; booked: bigint }>();
  for (const one of bill) both.set(keyOf(one), { day: one.day, model: one.model, billed: one.cost, booked: 0n });
  for (const one of books.filter(({ model }) => billedModels.has(model))) both.set(keyOf(one), { day: one.day, model: one.model, billed: both.get(keyOf(one))?.billed ?? 0n, booked: one.cost });
  const all = [...both.values()].sort((a, b) => (keyOf({ ...a, cost: 0n }) < keyOf({ ...b, cost: 0n }) ? -1 : 1));
  return {
    differences: all.filter(({ billed, booked }) => !isWithin(billed, booked, tolerance)).map(({ day, model, billed, booked }) =>
      differenceOf({ kind: "bill_differs", tenant_id: null, request_id: null, about: `${day} ${model}`, says: { bill_nano_usd: String(billed), ledger_nano_usd: String(booked), difference_nano_usd: String(billed - booked) } })),
    days: all.length,
    billed: all.reduce((sum, one) => sum + one.billed, 0n),
    booked: all.reduce((sum, one) => sum + one.booked, 0n),
    unbilledModels: [...new Set(books.map(({ model }) => model))].filter((model) => !billedModels.has(model)).sort(),
  };
}

const size = (value: bigint): bigint => (value < 0n ? -value : value);
function isWithin(billed: bigint, booked: bigint, tolerance: bigint): boolean {
  const larger = size(billed) > size(booked) ? size(billed) : size(booked);
  return size(billed - booked) * 1_000_000n <= larger * tolerance;
}

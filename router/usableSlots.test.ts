import { expect, it } from "vitest";

import type { ServedBy } from "#shared/messaging/followSubjects.ts";

import { makeUsableSlots } from "./usableSlots.ts";

const SLOTS = new Map([["small", 64], ["large", 2]]);
const after = (times: number, ...ends: readonly ServedBy[]) => {
  const usable = makeUsableSlots();
  for (let i = 0; i < times; i++) for (const servedBy of ends) usable.ended(servedBy);
  return usable;
};

it.each<[string, readonly ServedBy[], ReadonlyMap<string, number>, number]>([
  ["nothing ended: all", [], SLOTS, 66],
  ["all work was of one tier: its own", [[["large", 800]]], SLOTS, 2],
  ["of the other: its own", [[["small", 10]]], SLOTS, 64],
  ["as much as each can do: all", [[["small", 640], ["large", 20]]], SLOTS, 66],
  ["half of the work is the small tier's: four, of which two are in the large one", [[["small", 100]], [["large", 100]]], SLOTS, 4],
  ["the tier that did the work is gone: what is left", [[["large", 800]]], new Map([["small", 64], ["large", 0]]), 64],
  ["no worker is there", [[["large", 800]]], new Map(), 0],
  ["it took no time", [[["large", 0]]], SLOTS, 66],
])("%s", (_name, ends, slots, expected) => {
  expect(after(10, ...ends).among(slots)).toBe(expected);
});

it("follows where the work goes", () => {
  const usable = after(1_000, [["small", 50]]);
  for (let i = 0; i < 1_000; i++) usable.ended([["large", 50]]);
  expect(usable.among(SLOTS)).toBe(2);
});

import { expect, it } from "vitest";

import { makeRoll } from "./admitters.ts";

it("counts everybody who was heard of, itself included, and greets whoever is new", () => {
  const greeted: number[] = [];
  const roll = makeRoll("a", () => greeted.push(1));
  for (const name of ["a", "b", "b", "c", "a"]) roll.heard(name);
  expect([roll.count(), greeted.length]).toEqual([3, 2]);
});

it("forgets one that is silent while others are heard, and nobody while it does not even hear itself", () => {
  const roll = makeRoll("a", () => undefined);
  roll.heard("b");
  roll.heard("c");
  expect(roll.count()).toBe(3);
  for (let beats = 0; beats < 6; beats += 1) { roll.heard("a"); roll.heard("b"); }
  expect(roll.count()).toBe(2);
  for (let beats = 0; beats < 6; beats += 1) roll.heard("a");
  expect(roll.count()).toBe(1);
});

import { expect, it } from "vitest";

import { preparedInOrder } from "./preparedInOrder.ts";

it("prepares some ahead, never more, and hands over in order", async () => {
  let running = 0, most = 0;
  const prepare = async (n: number): Promise<number> => {
    most = Math.max(most, ++running);
    for (let turns = 0; turns < 10 - n; turns++) await Promise.resolve(); // later ones are done sooner
    running -= 1;
    return n * 2;
  };
  const taken: (readonly [number, number])[] = [];
  for await (const one of preparedInOrder([1, 2, 3, 4, 5, 6, 7], prepare, 3)) taken.push(one);
  expect(taken).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => [n, n * 2]));
  expect(most).toBe(3);
});

it("throws when it is the turn of what failed", async () => {
  const taken: number[] = [];
  const all = async () => { for await (const [n] of preparedInOrder([1, 2, 3], (n) => (n === 2 ? Promise.reject(new Error("no")) : Promise.resolve()), 3)) taken.push(n); };
  await expect(all()).rejects.toThrow("no");
  expect(taken).toEqual([1]);
});

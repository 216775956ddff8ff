import { expect, it } from "vitest";

import { makeStaleCache } from "./staleCache.ts";

/** A store that a test changes, breaks or holds, and a clock of its own. */
function world(over: { maxEntries?: number; patienceMs?: number } = {}) {
  const store = new Map<string, string>([["a", "1"]]);
  const state = { nowMs: 0, loads: 0, isDown: false, hold: null as Promise<void> | null };
  const cache = makeStaleCache<string>({
    freshMs: 10, dueMs: 25, patienceMs: over.patienceMs ?? 1_000, mostMs: 600, maxEntries: over.maxEntries ?? 100, now: () => state.nowMs,
    async load(key) {
      state.loads += 1;
      await state.hold;
      if (state.isDown) throw new Error("down");
      return store.get(key) ?? null;
    },
  });
  return { store, state, cache };
}

it("asks the store once for many who ask at once, and not again while what it knows is fresh", async () => {
  const { state, cache } = world();
  expect(await Promise.all(["a", "a", "a"].map((key) => cache.get(key)))).toEqual(["1", "1", "1"]);
  state.nowMs = 9;
  await cache.get("a");
  expect(state.loads).toBe(1);
});

it("serves what is no longer fresh and has read it again for the next", async () => {
  const { store, state, cache } = world();
  await cache.get("a");
  store.set("a", "2");
  state.nowMs = 15;
  expect(await cache.get("a")).toBe("1");
  await new Promise(setImmediate); // the store answers within a turn
  expect([await cache.get("a"), state.loads]).toEqual(["2", 2]);
});

it("waits for the store once it is due", async () => {
  const { store, state, cache } = world();
  await cache.get("a");
  store.delete("a");
  state.nowMs = 25;
  expect(await cache.get("a")).toBeNull();
});

it("serves what it knows while the store is down or hangs, for so long and no longer", async () => {
  const { state, cache } = world({ patienceMs: 5 });
  await cache.get("a");
  state.isDown = true;
  state.nowMs = 599;
  expect(await cache.get("a")).toBe("1");
  state.isDown = false;
  state.hold = new Promise(() => undefined);
  state.nowMs = 599.5;
  expect(await cache.get("a")).toBe("1");
  state.hold = null;
  const late = world();
  await late.cache.get("a");
  late.state.isDown = true;
  late.state.nowMs = 600;
  await expect(late.cache.get("a")).rejects.toThrow("down");
});

it("does not ask a store that was down just now about what it does not know", async () => {
  const { state, cache } = world();
  state.isDown = true;
  for (const key of ["x", "y", "z"]) await expect(cache.get(key)).rejects.toThrow("down");
  expect(state.loads).toBe(1);
  state.isDown = false;
  state.nowMs = 1_000;
  expect(await cache.get("x")).toBeNull();
});

it("keeps what was asked for last, and guesses push out guesses alone", async () => {
  const { store, state, cache } = world({ maxEntries: 2 });
  for (const key of ["b", "c"]) store.set(key, key);
  for (const key of ["a", "b", "a", "c", "guess-1", "guess-2", "guess-3"]) await cache.get(key);
  const before = state.loads;
  for (const key of ["a", "c", "guess-3"]) await cache.get(key);
  expect([state.loads, cache.size()]).toEqual([before, 4]);
  await cache.get("b");
  expect(state.loads).toBe(before + 1);
});

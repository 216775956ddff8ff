import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { makeBatches } from "./batches.ts";

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

/** Writes are kept open until the test ends them. */
function world(size: number, delayMs: number) {
  const written: number[][] = [];
  const open: ((outcome: Error | null) => void)[] = [];
  const batches = makeBatches<number, string>(size, delayMs, (items) => new Promise((resolve, reject) => {
    written.push([...items]);
    open.push((error) => { if (error) reject(error); else resolve(items.map((item) => `wrote ${item}`)); });
  }));
  const end = async (error: Error | null = null) => {
    open.shift()?.(error);
    await vi.advanceTimersByTimeAsync(0);
  };
  return { batches, written, end };
}

it("writes at once what fills a batch, in order", () => {
  const { batches, written } = world(3, 100);
  for (const item of [1, 2, 3]) void batches.add(item);
  expect(written).toEqual([[1, 2, 3]]);
});

it("writes after the delay what does not", async () => {
  const { batches, written } = world(3, 100);
  void batches.add(1);
  await vi.advanceTimersByTimeAsync(60);
  void batches.add(2);
  await vi.advanceTimersByTimeAsync(39);
  expect(written).toEqual([]);
  await vi.advanceTimersByTimeAsync(1); // counted from the first
  expect(written).toEqual([[1, 2]]);
});

it("gives each item its own result", async () => {
  const { batches, end } = world(2, 100);
  const both = Promise.all([batches.add(1), batches.add(2)]);
  await end();
  expect(await both).toEqual(["wrote 1", "wrote 2"]);
});

it("rejects all items of a write that failed, and none of the next", async () => {
  const { batches, written, end } = world(2, 100);
  const settled = Promise.allSettled([1, 2, 3, 4].map((item) => batches.add(item)));
  await end(new Error("down"));
  expect(written).toEqual([[1, 2], [3, 4]]);
  await end();
  expect((await settled).map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled", "fulfilled"]);
});

it("makes one write at a time: what comes meanwhile is the next batch", async () => {
  const { batches, written, end } = world(2, 100);
  for (const item of [1, 2, 3, 4, 5]) void batches.add(item);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(written).toEqual([[1, 2]]);
  await end();
  expect(written).toEqual([[1, 2], [3, 4]]);
  await end();
  await vi.advanceTimersByTimeAsync(100);
  expect(written).toEqual([[1, 2], [3, 4], [5]]);
});

it("writes at once when it is flushed, and nothing when nothing waits", async () => {
  const { batches, written, end } = world(10, 100);
  batches.flush();
  expect(written).toEqual([]);
  void batches.add(1);
  batches.flush();
  expect(written).toEqual([[1]]);
  await end();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(written).toEqual([[1]]);
});

it("leaves nobody waiting when a write says too little", async () => {
  const batches = makeBatches<number, string>(2, 100, async () => ["only one"]);
  const settled = await Promise.allSettled([batches.add(1), batches.add(2)]);
  expect(settled).toMatchObject([{ status: "fulfilled", value: "only one" }, { status: "rejected", reason: { message: "a batch was written with too few results" } }]);
});

it("never loses an item, however many come at once", async () => {
  const seen: number[] = [];
  const batches = makeBatches<number, number>(7, 10, async (items) => {
    seen.push(...items);
    return items;
  });
  const all = Promise.all(Array.from({ length: 1_000 }, (_, i) => batches.add(i)));
  await vi.runAllTimersAsync();
  expect(await all).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
  expect(seen).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
});

it("writes no more bytes at once than its cap, but an item that is larger alone, and loses none", async () => {
  const written: number[][] = [];
  const write = async (items: readonly number[]) => { written.push([...items]); return Promise.resolve(items); };
  const batches = makeBatches<number, number>(100, 50, write, { maxBytes: 10, bytesOf: (item) => item });
  const all = Promise.all([4, 4, 4, 25, 1, 9, 3].map((item) => batches.add(item)));
  await vi.runAllTimersAsync();
  expect(await all).toEqual([4, 4, 4, 25, 1, 9, 3]);
  expect(written).toEqual([[4, 4], [4], [25], [1, 9], [3]]);
});

it("writes at once what fills its cap, and counts anew after that", async () => {
  const written: number[][] = [];
  const write = async (items: readonly number[]) => { written.push([...items]); return Promise.resolve(items); };
  const batches = makeBatches<number, number>(100, 50, write, { maxBytes: 10, bytesOf: (item) => item });
  void batches.add(5);
  expect(written).toEqual([]);
  void batches.add(5);
  expect(written).toEqual([[5, 5]]);
  await vi.advanceTimersByTimeAsync(0);
  void batches.add(6);
  await vi.advanceTimersByTimeAsync(49);
  expect(written).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(written).toEqual([[5, 5], [6]]);
});

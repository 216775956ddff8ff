import { expect, it, vi } from "vitest";

import { PATIENCE_MS } from "./directory.ts";
import { watchDirectory } from "./watchDirectory.ts";

it("is in the way until Postgres has answered once, and again when it has been away for longer than keys are believed", async () => {
  vi.useFakeTimers();
  const end = new AbortController();
  let isAway = true, nowMs = 0;
  const query = vi.fn(() => (isAway ? Promise.reject(new Error("connection refused")) : Promise.resolve()));
  const problems = await watchDirectory({ query } as never, end.signal, () => nowMs);
  expect(problems()).toEqual([expect.stringContaining("has not answered yet (connection refused)")]);
  isAway = false;
  await vi.advanceTimersByTimeAsync(2_000);
  expect(problems()).toEqual([]);
  isAway = true;
  nowMs += PATIENCE_MS;
  await vi.advanceTimersByTimeAsync(2_000);
  expect(problems()).toEqual([]);
  nowMs += 1;
  expect(problems()).toEqual([expect.stringContaining("for 10 minutes (connection refused)")]);
  isAway = false;
  await vi.advanceTimersByTimeAsync(2_000);
  expect(problems()).toEqual([]);
  end.abort();
  vi.useRealTimers();
});

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { BackendError } from "#workers/backends/backendError.ts";

import { makeBreaker } from "./breaker.ts";

beforeEach(() => { vi.useFakeTimers({ now: 1_000_000 }); });
afterEach(() => { vi.useRealTimers(); });

const down = new BackendError("backend_unavailable", "down", { isTransient: true });
function world(options: Parameters<typeof makeBreaker>[3] = {}) {
  let changes = 0;
  const breaker = makeBreaker({ failures_in_a_row: 3, open_for_ms: 5_000 }, () => { changes++; }, Date.now, options);
  let calls = 0;
  const fail = (error: Error = down) => breaker.call(async () => { calls++; throw error; }).catch((thrown: unknown) => thrown);
  const succeed = () => breaker.call(async () => { calls++; return "answer"; });
  const open = async () => { for (let i = 0; i < 3; i++) await fail(); };
  return { breaker, fail, succeed, open, calls: () => calls, changes: () => changes };
}

it("is closed at first and lets answers through", async () => {
  const { breaker, succeed } = world();
  expect(await succeed()).toBe("answer");
  expect(breaker.state()).toEqual({ breaker: "closed", retry_in_ms: 0 });
});

it("opens after so many failures in a row, and tells at once", async () => {
  const { breaker, fail, changes } = world();
  await fail();
  await fail();
  expect([breaker.state().breaker, changes()]).toEqual(["closed", 0]);
  await fail();
  expect([breaker.state(), changes()]).toEqual([{ breaker: "open", retry_in_ms: 5_000 }, 1]);
});

it("does not open when an answer comes in between", async () => {
  const { breaker, fail, succeed } = world();
  for (const run of [fail, fail, succeed, fail, fail]) await run();
  expect(breaker.state().breaker).toBe("closed");
});

it("does not call an open backend, and says when it will", async () => {
  const { breaker, fail, open, calls } = world();
  await open();
  vi.advanceTimersByTime(2_000);
  expect(await fail()).toMatchObject({ name: "BackendError", code: "backend_unavailable", isTransient: false, mayHaveCost: false });
  expect(calls()).toBe(3);
  expect(breaker.state()).toEqual({ breaker: "open", retry_in_ms: 3_000 });
});

it("closes again when the trial succeeds", async () => {
  const { breaker, succeed, open, changes } = world();
  await open();
  vi.advanceTimersByTime(5_000);
  expect(await succeed()).toBe("answer");
  expect(breaker.state()).toEqual({ breaker: "closed", retry_in_ms: 0 });
  expect(changes()).toBe(3); // open, half open, closed
});

it("stays open for as long again when the trial fails", async () => {
  const { breaker, fail, open, calls } = world();
  await open();
  vi.advanceTimersByTime(5_000);
  await fail();
  expect(breaker.state()).toEqual({ breaker: "open", retry_in_ms: 5_000 });
  await fail();
  expect(calls()).toBe(4);
});

it("lets one trial through at a time and is half open meanwhile", async () => {
  const { breaker, fail, open, calls } = world();
  await open();
  vi.advanceTimersByTime(5_000);
  let end: (answer: string) => void = () => undefined;
  const trial = breaker.call(() => new Promise<string>((resolve) => { end = resolve; }));
  await vi.advanceTimersByTimeAsync(0);
  expect(breaker.state()).toEqual({ breaker: "half_open", retry_in_ms: 0 });
  const second = fail();
  end("answer");
  expect(await trial).toBe("answer");
  await second;
  expect(calls()).toBeLessThanOrEqual(4);
  expect(breaker.state().breaker).toBe("closed");
});

it.each([
  ["the caller's deadline cut off", new BackendError("deadline_exceeded", "cut", { isBackendsFault: false })],
  ["one request is too long for", new BackendError("backend_refused", "413", { isBackendsFault: false })],
  ["is a bug here", new TypeError("x is undefined")],
])("does not blame the backend for what %s", async (_name, error) => {
  const { breaker, fail } = world();
  for (let i = 0; i < 10; i++) expect(await fail(error)).toBe(error);
  expect(breaker.state().breaker).toBe("closed");
});

it.each(["backend_unavailable", "backend_refused", "backend_bad_response"] as const)("counts %s", async (code) => {
  const { breaker, fail } = world();
  for (let i = 0; i < 3; i++) await fail(new BackendError(code, "m"));
  expect(breaker.state().breaker).toBe("open");
});

it("closes only after an answer: a trial that the caller's deadline cut off opens it again", async () => {
  const { breaker, fail, open } = world();
  await open();
  vi.advanceTimersByTime(5_000);
  await fail(new BackendError("deadline_exceeded", "cut", { isBackendsFault: false }));
  expect(breaker.state()).toEqual({ breaker: "open", retry_in_ms: 5_000 });
});

it("lets nobody wait for a trial", async () => {
  const { breaker, fail, open, calls } = world();
  await open();
  vi.advanceTimersByTime(5_000);
  void breaker.call(() => new Promise<string>(() => undefined));
  expect(await fail()).toMatchObject({ code: "backend_unavailable", isTransient: false });
  expect(calls()).toBe(3);
});

describe("with growth", () => {
  it("stays open longer by as much again each time, up to so many times", async () => {
    const { breaker, fail, open } = world({ mostGrowth: 3 });
    const openForMs: number[] = [];
    await open();
    for (let i = 0; i < 4; i++) {
      openForMs.push(breaker.state().retry_in_ms);
      vi.advanceTimersByTime(breaker.state().retry_in_ms);
      expect(breaker.state()).toEqual({ breaker: "open", retry_in_ms: 0 });
      await fail();
    }
    expect(openForMs).toEqual([5_000, 10_000, 15_000, 15_000]);
  });

  it.each([["remembers when it opens again soon after it closed", 14_999, 10_000], ["forgets once it was closed for as long as the longest", 15_000, 5_000]])("%s", async (_name, closedForMs, retry_in_ms) => {
    const { breaker, succeed, open } = world({ mostGrowth: 3 });
    await open();
    vi.advanceTimersByTime(5_000);
    await succeed();
    vi.advanceTimersByTime(closedForMs);
    await open();
    expect(breaker.state()).toEqual({ breaker: "open", retry_in_ms });
  });
});

it("opens and tries again by the clock that it is given, whatever the machine's does", async () => {
  let monotonicMs = 0;
  const breaker = makeBreaker({ failures_in_a_row: 1, open_for_ms: 5_000 }, () => undefined, () => monotonicMs);
  await breaker.call(() => Promise.reject(down)).catch(() => undefined);
  vi.setSystemTime(90_000_000);
  await expect(breaker.call(() => Promise.resolve("answer"))).rejects.toThrow("is open");
  vi.setSystemTime(0);
  monotonicMs = 5_000;
  expect(await breaker.call(() => Promise.resolve("answer"))).toBe("answer");
});

it("that is reset has its trial at once, and opens for the first time again when that fails", async () => {
  const { breaker, fail, succeed, open, calls, changes } = world({ mostGrowth: 10 });
  await open();
  breaker.reset();
  expect([breaker.state(), changes()]).toEqual([{ breaker: "open", retry_in_ms: 0 }, 2]);
  await fail();
  expect([calls(), breaker.state()]).toEqual([4, { breaker: "open", retry_in_ms: 5_000 }]);
  breaker.reset();
  expect(await succeed()).toBe("answer");
  breaker.reset();
  expect(breaker.state()).toEqual({ breaker: "closed", retry_in_ms: 0 });
});

import { pino } from "pino";
import { describe, expect, it, vi } from "vitest";

import { aborted, every, runScope } from "./lifecycle.ts";

const log = pino({ level: "silent" });
const never = new AbortController().signal;

describe("runScope", () => {
  it("closes in reverse order, one after another, when main returns", async () => {
    const order: string[] = [];
    const isFine = await runScope(log, never, async ({ onClose }) => {
      onClose("first", () => order.push("first"));
      onClose("second", async () => {
        await Promise.resolve();
        order.push("second");
      });
      onClose("third", () => order.push("third"));
      order.push("main");
    });
    expect(order).toEqual(["main", "third", "second", "first"]);
    expect(isFine).toBe(true);
  });

  it("closes what was opened when main fails half-way, and says so", async () => {
    const order: string[] = [];
    const isFine = await runScope(log, never, async ({ onClose }) => {
      onClose("opened", () => order.push("opened"));
      await Promise.reject(new Error("the next one does not open"));
      onClose("never", () => order.push("never"));
    });
    expect(order).toEqual(["opened"]);
    expect(isFine).toBe(false);
  });

  it.each([
    ["throws", () => { throw new Error("stuck"); }],
    ["rejects", () => Promise.reject(new Error("stuck"))],
  ])("goes on closing when a closer %s, and says so", async (_name, close) => {
    const order: string[] = [];
    const isFine = await runScope(log, never, async ({ onClose }) => {
      onClose("first", () => order.push("first"));
      onClose("bad", close);
      onClose("last", () => order.push("last"));
    });
    expect(order).toEqual(["last", "first"]);
    expect(isFine).toBe(false);
  });

  it("logs the error that stopped it, with its name", async () => {
    const lines: unknown[] = [];
    const logger = pino({ level: "error" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    await runScope(logger, never, async ({ onClose }) => {
      onClose("nats", () => { throw new Error("no drain"); });
      await Promise.reject(new Error("no broker"));
    });
    expect(lines).toMatchObject([{ msg: "stopped by an error", err: { message: "no broker" } }, { msg: "closing nats failed", err: { message: "no drain" } }]);
  });

  it("hands on the signal of the process", async () => {
    const shutdown = new AbortController();
    const run = runScope(log, shutdown.signal, ({ signal }) => aborted(signal));
    shutdown.abort();
    expect(await run).toBe(true);
  });
});

describe("aborted", () => {
  it("resolves at once for a signal that was aborted before", async () => {
    await expect(aborted(AbortSignal.abort())).resolves.toBeUndefined();
  });
});

it("every() does nothing when the end has come already, so that no timer keeps a process alive", () => {
  vi.useFakeTimers();
  const shutdown = new AbortController();
  let runs = 0;
  every(10, shutdown.signal, () => void runs++);
  vi.advanceTimersByTime(25);
  shutdown.abort();
  every(10, shutdown.signal, () => void runs++);
  vi.advanceTimersByTime(100);
  expect(runs).toBe(2);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

import { describe, expect, it } from "vitest";

import { BackendError } from "#workers/backends/backendError.ts";

import { nextDelayMs, retry, type RetryOptions } from "./retry.ts";
import { makeRetryBudget } from "./retryBudget.ts";

const busy = new BackendError("backend_unavailable", "busy", { isTransient: true });
const asked = (retryAfterMs: number) => new BackendError("backend_unavailable", "busy", { isTransient: true, retryAfterMs });
const refused = new BackendError("backend_refused", "no");
const limits = { maxTries: 5, deadlineAtMs: 1_000_000 };

describe("nextDelayMs", () => {
  it.each([
    ["waits up to 100 ms after the first try", busy, 1, limits, 0, 0.5, 50],
    ["waits twice as long after each further one", busy, 4, limits, 0, 0.5, 400],
    ["waits 5 s at most", busy, 60, { ...limits, maxTries: 99 }, 0, 1, 5_000],
    ["may not wait at all: full jitter", busy, 4, limits, 0, 0, 0],
    ["waits as long as the server asked for", asked(700), 1, limits, 0, 0.5, 700],
    ["waits longer than the server asked for when it would anyway", asked(10), 4, limits, 0, 0.5, 400],
    ["ends with the last try", busy, 5, limits, 0, 0.5, null],
    ["does not repeat what was refused", refused, 1, limits, 0, 0.5, null],
    ["does not repeat a bug", new TypeError("x"), 1, limits, 0, 0.5, null],
    ["does not begin a wait that would end at the deadline", busy, 1, { ...limits, deadlineAtMs: 150 }, 100, 0.5, null],
    ["begins one that ends just before it", busy, 1, { ...limits, deadlineAtMs: 151 }, 100, 0.5, 50],
    ["does not begin a long wait that the server asked for", asked(60_000), 1, { ...limits, deadlineAtMs: 30_000 }, 0, 0.5, null],
  ])("%s", (_name, error, tries, given, nowMs, random, delayMs) => {
    expect(nextDelayMs(error, tries, given, nowMs, random)).toBe(delayMs);
  });
});

describe("nextDelayMs, when another server can be asked", () => {
  it.each([
    ["waits for nothing, not even for what the one that failed asked for", asked(60_000), 1, limits, 0, 0],
    ["repeats what one server refused: the other may have a better key", refused, 1, limits, 0, 0],
    ["does not repeat what is the request's own fault", new BackendError("backend_refused", "413", { isBackendsFault: false }), 1, limits, 0, null],
    ["ends with the last try all the same", busy, 5, limits, 0, null],
    ["ends with the deadline all the same", busy, 1, limits, 1_000_000, null],
    ["does not repeat a bug", new TypeError("x"), 1, limits, 0, null],
  ])("%s", (_name, error, tries, given, nowMs, delayMs) => {
    expect(nextDelayMs(error, tries, given, nowMs, 0.5, true)).toBe(delayMs);
  });
});

describe("retry", () => {
  const options = (over: Partial<RetryOptions> = {}): RetryOptions => ({ ...limits, signal: new AbortController().signal, now: () => 0, random: () => 0, ...over });
  const failing = (times: number, error: Error = busy) => {
    let calls = 0;
    return { calls: () => calls, call: async () => (++calls <= times ? Promise.reject(error) : calls) };
  };

  it.each([
    ["returns the first answer", 0, busy, { tries: 1, outcome: { value: 1 } }],
    ["counts the tries until there is one", 2, busy, { tries: 3, outcome: { value: 3 } }],
    ["returns the last error after the last try", 99, busy, { tries: 5, outcome: { error: busy } }],
    ["returns at once what must not be repeated", 99, refused, { tries: 1, outcome: { error: refused } }],
  ])("%s", async (_name, times, error, tried) => {
    const { call, calls } = failing(times, error);
    expect(await retry(call, options())).toEqual({ mayHaveCost: false, retryAfterMs: null, ...tried });
    expect(calls()).toBe(tried.tries);
  });

  it("does not try again once the signal has aborted", async () => {
    const abort = new AbortController();
    const { call, calls } = failing(99);
    const tried = await retry(async () => { abort.abort(); return call(); }, options({ signal: abort.signal }));
    expect([calls(), tried]).toEqual([1, { tries: 1, mayHaveCost: false, retryAfterMs: null, outcome: { error: busy } }]);
  });

  it("tells the longest wait that was asked for, whichever try it was", async () => {
    const errors = [asked(1), asked(3), asked(2), busy];
    expect(await retry(() => Promise.reject(errors.shift() ?? refused), options({ maxTries: 4 }))).toMatchObject({ tries: 4, retryAfterMs: 3, outcome: { error: busy } });
  });

  it("ends a wait with the signal", async () => {
    const abort = new AbortController();
    const { call, calls } = failing(99, asked(60_000));
    const tried = retry(call, options({ signal: abort.signal, maxTries: 2 }));
    setImmediate(() => { abort.abort(); });
    expect((await tried).outcome).toMatchObject({ error: { code: "backend_unavailable" } });
    expect(calls()).toBeLessThanOrEqual(2);
  });

  it("of many calls that fail at once repeats those few that the budget allows, and gives all of it back", async () => {
    const budget = makeRetryBudget(() => undefined);
    let calls = 0;
    const tried = await Promise.all(Array.from({ length: 100 }, () => retry(async () => { calls++; throw busy; }, options({ budget, maxTries: 3 }))));
    expect(tried.filter(({ tries }) => tries > 1)).toHaveLength(20);
    expect([calls, budget.state()]).toEqual([100 + 20 + tried.filter(({ tries }) => tries === 3).length, { active: 0, retrying: 0 }]);
  });
});

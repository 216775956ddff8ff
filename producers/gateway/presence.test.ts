import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { makePresence } from "./presence.ts";

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

function enter(presence: ReturnType<typeof makePresence>, key = "t.r") {
  const gone = new AbortController();
  const onAbandoned = vi.fn();
  const caller = presence.enter(key, { gone: gone.signal, onAbandoned });
  return { ...caller, goAway: () => { gone.abort(); }, abandoned: () => onAbandoned.mock.calls.length };
}

describe("a request", () => {
  it("that its only caller left is cancelled at once, and again until there is an outcome", () => {
    const one = enter(makePresence());
    one.accepted();
    one.goAway();
    expect(one.abandoned()).toBe(1);
    vi.advanceTimersByTime(500);
    expect(one.abandoned()).toBe(3);
    one.leave();
    vi.advanceTimersByTime(1_000);
    expect(one.abandoned()).toBe(3);
  });

  it("is not cancelled while another caller waits", () => {
    const presence = makePresence();
    const first = enter(presence), second = enter(presence);
    first.accepted();
    first.goAway();
    vi.advanceTimersByTime(1_000);
    expect(first.abandoned()).toBe(0);
    second.goAway();
    expect(second.abandoned()).toBe(1);
  });

  it("is not cancelled when another gateway accepted it", () => {
    const one = enter(makePresence());
    one.goAway();
    vi.advanceTimersByTime(1_000);
    expect(one.abandoned()).toBe(0);
  });

  it("whose caller left while it was published is cancelled once it is accepted", () => {
    const one = enter(makePresence());
    one.goAway();
    one.accepted();
    expect(one.abandoned()).toBe(1);
  });

  it("that has its outcome is not cancelled", () => {
    const one = enter(makePresence());
    one.accepted();
    one.leave();
    one.goAway();
    vi.advanceTimersByTime(1_000);
    expect(one.abandoned()).toBe(0);
  });

  it("is another one under another key", () => {
    const presence = makePresence();
    const one = enter(presence, "t.a");
    enter(presence, "t.b");
    one.accepted();
    one.goAway();
    expect(one.abandoned()).toBe(1);
  });
});

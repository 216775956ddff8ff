import { describe, expect, it } from "vitest";

import type { Counter, HeldReservation } from "#shared/ledger/readCounters.ts";

import { compareCounters, compareReservations } from "./compareCounters.ts";

const NOW = Date.parse("2026-11-28T12:00:00Z");
const counter = (over: Partial<Counter> = {}): Counter => ({ key: "k", scope: "user", windowId: "2026-11", timeZone: "UTC", tenantId: "t1", owner: "u:1", spentNanoUsd: 100, reservedNanoUsd: 0, isLoading: false, ...over });

describe("a counter", () => {
  it("is what history says, or a difference that names the account and both amounts", () => {
    expect(compareCounters([{ counter: counter(), historyNanoUsd: 100 }], 7)).toEqual([]);
    expect(compareCounters([{ counter: counter(), historyNanoUsd: 99 }], 7)).toMatchObject([{ kind: "counter_differs", tenant_id: "t1", request_id: null, about: "user u:1 2026-11 UTC", says: { redis_nano_usd: "100", history_nano_usd: "99", mark: "7" } }]);
  });
  it("that is being loaded, or of which history is not known, is none", () => {
    expect(compareCounters([{ counter: counter({ isLoading: true }), historyNanoUsd: 1 }, { counter: counter(), historyNanoUsd: null }], 7)).toEqual([]);
  });
});

describe("a reservation", () => {
  const held = (over: Partial<HeldReservation> = {}): HeldReservation => ({ tenant_id: "t1", request_id: "r", amountNanoUsd: 50, leaseEndsAtMs: NOW + 600_000, ...over });
  const endedAt = (seq: number, agoMs: number) => ({ seq, storedAtMs: NOW - agoMs });
  it.each([
    ["of what is under way", held(), null, 0],
    ["of what ended and was booked long ago", held(), endedAt(5, 60_000), 1],
    ["of what ended just now", held(), endedAt(5, 59_999), 0],
    ["of what ended and is not booked yet", held(), endedAt(8, 600_000), 0],
    ["whose lease is over", held({ leaseEndsAtMs: NOW - 60_000 }), null, 1],
    ["whose lease was over just now", held({ leaseEndsAtMs: NOW - 59_999 }), null, 0],
  ])("%s", (_what, one, end, found) => {
    expect(compareReservations([{ held: one, end }], { markSeq: 7, nowMs: NOW })).toHaveLength(found);
  });
});

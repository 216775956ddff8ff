import { expect, it } from "vitest";

import { forgetSilent, type HeardStatus } from "./tierStatusStore.ts";

it("keeps nothing of workers that were killed long ago: each start of one has a name of its own", () => {
  const heard = new Map<string, HeardStatus>(), revisions = new Map<string, number>();
  const status = { tier: "small", instance: "w", breaker: "closed", retry_in_ms: 0, slots: 1, busy: 0, batch_slots: 1, batch_busy: 0 } as const;
  const STARTS = 1_000, EVERY_MS = 5_000;
  for (let i = 0; i < STARTS; i++) {
    const nowMs = i * EVERY_MS;
    heard.set(`small.w-${i}`, { status, heardAtMs: nowMs });
    revisions.set(`small.w-${i}`, i);
    forgetSilent(heard, revisions, nowMs);
  }
  expect([heard.size, revisions.size, heard.has(`small.w-${STARTS - 1}`), heard.has("small.w-0")]).toEqual([121, 121, true, false]);
});

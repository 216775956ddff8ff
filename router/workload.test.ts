import { expect, it } from "vitest";

import { makeOpenRequests } from "./openRequests.ts";
import { makeWorkload } from "./workload.ts";

it("counts what is open by lane and tenant, and how fast each lane ends", () => {
  const workload = makeWorkload({ slots: (lane) => new Map([["small", lane === "batch" ? 2 : 8]]), learnsFromMs: 0 });
  const fold = makeOpenRequests(workload);
  const request = (key: string, seq: number, atMs: number, lane: "interactive" | "batch" = "interactive") => { fold.accepted(key, seq, atMs, lane); };
  for (let i = 0; i < 10; i++) request(`t1.wait-${i}`, i, 0);
  request("t2.slow", 10, 0, "batch");
  for (let i = 0; i < 100; i++) {
    request(`t2.${i}`, 11 + i, 100 * i);
    fold.terminal(`t2.${i}`, 0, { storedAtMs: 100 * (i + 1), servedMs: 70 });
  }
  expect(workload.lane("interactive")).toMatchObject({ open: 10, slots: 8, tenants: 1, open_of: [["t1", 10]], rate: { ends_per_s: 10, service_ms: 70 } });
  expect(workload.lane("batch")).toEqual({ open: 1, slots: 2, tenants: 1, open_of: [["t2", 1]], rate: null });
  fold.terminal("t2.slow", 0);
  expect([workload.lane("batch").open, workload.openOf("interactive", "t1"), workload.openOf("batch", "t2")]).toEqual([0, 10, 0]);
});

it("names the tenants with most of it only, and counts all", () => {
  const workload = makeWorkload({ slots: () => new Map([["small", 1]]), learnsFromMs: 0 });
  const fold = makeOpenRequests(workload);
  for (let i = 0; i < 300; i++) fold.accepted(`t${i}.a`, i, 0);
  fold.accepted("t299.b", 300, 0);
  const { tenants, open_of } = workload.lane("interactive");
  expect([tenants, open_of.length, open_of[0]]).toEqual([300, 200, ["t299", 2]]);
});

it("takes the slots of the tier that has the work, in each lane by itself", () => {
  const workload = makeWorkload({ slots: () => new Map([["small", 64], ["large", 2]]), learnsFromMs: 0 });
  const fold = makeOpenRequests(workload);
  fold.terminal("t1.early", 0, { storedAtMs: 100, servedMs: 90, servedBy: [["large", 90]] });
  fold.accepted("t1.early", 0, 0);
  expect([workload.lane("interactive").slots, workload.lane("batch").slots]).toEqual([2, 66]);
});

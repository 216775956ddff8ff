import { expect, it } from "vitest";

import type { Bucket } from "./buckets.ts";
import { makeLocalBuckets } from "./localBuckets.ts";

const bucket = (over: Partial<Bucket> = {}): Bucket => ({ scope: "tenant", kind: "requests", owner: "t1", limit: { rate: 100, per: "second", burst: 50 }, ratePerS: 100, amount: 1, isBatch: false, ...over });
function world(maxEntries = 100) {
  const clock = { ms: 1_000 };
  const local = makeLocalBuckets({ maxEntries, now: () => clock.ms });
  return { clock, local, take: (buckets: Bucket[], share = 1, once?: Parameters<typeof local.take>[3]) => local.take("t1", buckets, share, once).isAdmitted };
}

it("begins empty and then gives its share of rate and burst, no more and no less", () => {
  const { clock, take } = world();
  const admittedIn = (ms: number) => Array.from({ length: ms }, () => (clock.ms += 1, take([bucket()], 1 / 4))).filter(Boolean).length;
  expect(take([bucket()], 1 / 4)).toBe(false);
  expect(admittedIn(10_000)).toBe(250);
  clock.ms += 60_000;
  expect(Array.from({ length: 50 }, () => take([bucket()], 1 / 4)).filter(Boolean)).toHaveLength(12);
});

it("takes from all or from none", () => {
  const { clock, take } = world();
  const user = bucket({ scope: "user", owner: "u1", limit: { rate: 1, per: "second", burst: 1 }, ratePerS: 1 });
  take([bucket(), user]);
  clock.ms += 1_000;
  expect([take([bucket(), user]), take([bucket(), user])]).toEqual([true, false]);
  expect(Array.from({ length: 60 }, () => take([bucket()])).filter(Boolean)).toHaveLength(49);
});

it("shuts out no call that the whole limit would let through, however small its share", () => {
  const { clock, take } = world();
  const large = bucket({ kind: "tokens", amount: 50 });
  expect(take([large], 1 / 4)).toBe(false);
  clock.ms += 2_000;
  expect([take([large], 1 / 4), take([large], 1 / 4)]).toEqual([true, false]);
});

it("lets a request pay once, and tells it the same again for as long as that is kept", () => {
  const { clock, take } = world();
  const once = { requestId: "r1", fingerprint: "f1", keepMs: 5_000, keepsRefusal: true };
  expect(take([bucket()], 1, once)).toBe(false);
  clock.ms += 20;
  expect([take([bucket()], 1, once), take([bucket()]), take([bucket()]), take([bucket()])]).toEqual([false, true, true, false]);
  clock.ms += 5_000;
  expect(take([bucket()], 1, once)).toBe(true);
  const other = { requestId: "r2", fingerprint: "f1", keepMs: 5_000, keepsRefusal: false };
  while (take([bucket()])) continue;
  expect(take([bucket()], 1, other)).toBe(false);
  clock.ms += 10;
  expect([take([bucket()], 1, other), take([bucket()], 1, other), take([bucket()])]).toEqual([true, true, false]);
});

it("forgets the bucket that was not asked for longest, and starts it empty again", () => {
  const { clock, take } = world(2);
  const of = (owner: string) => [bucket({ scope: "user", owner })];
  take(of("a"));
  clock.ms += 1_000;
  expect(take(of("a"))).toBe(true);
  take(of("b"));
  take(of("c"));
  expect(take(of("a"))).toBe(false);
});

it("lets another request under a used id pay for itself", () => {
  const { clock, take } = world();
  const once = { requestId: "r1", fingerprint: "f1", keepMs: 5_000, keepsRefusal: false };
  take([bucket()]);
  clock.ms += 20;
  expect([take([bucket()], 1, once), take([bucket()], 1, once), take([bucket()], 1, { ...once, fingerprint: "f2" }), take([bucket()], 1, { ...once, fingerprint: "f3" })]).toEqual([true, true, true, false]);
});

it("begins empty again after it was told to forget, but for who has paid", () => {
  const { clock, local, take } = world();
  const once = { requestId: "r1", fingerprint: "f1", keepMs: 5_000, keepsRefusal: false };
  take([bucket()]);
  clock.ms += 1_000;
  expect(take([bucket()], 1, once)).toBe(true);
  local.forget();
  expect([take([bucket()]), take([bucket()], 1, once)]).toEqual([false, true]);
});

it("holds no more than its share when that has become smaller", () => {
  const { clock, take } = world();
  take([bucket()]);
  clock.ms += 1_000;
  take([bucket()]);
  expect(Array.from({ length: 50 }, () => take([bucket()], 1 / 5)).filter(Boolean)).toHaveLength(10);
});

it("leaves half of its share to those who wait, and shuts out no call that takes more than the other half", () => {
  const { clock, take } = world();
  const batch = bucket({ isBatch: true });
  const full = () => { take([bucket()], 1 / 5); clock.ms += 10_000; };
  full();
  expect(Array.from({ length: 10 }, () => take([batch], 1 / 5)).filter(Boolean)).toHaveLength(5);
  expect(Array.from({ length: 10 }, () => take([bucket()], 1 / 5)).filter(Boolean)).toHaveLength(5);
  full();
  expect([take([{ ...batch, amount: 8 }], 1 / 5), take([{ ...batch, amount: 8 }], 1 / 5)]).toEqual([true, false]);
});

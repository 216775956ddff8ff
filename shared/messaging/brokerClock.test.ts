import { expect, it } from "vitest";

import { makeBrokerClock, offsetAfter } from "./brokerClock.ts";

const HOUR_MS = 3_600_000;

it("takes the middle of the first look, and keeps what later ones do not contradict", () => {
  expect(offsetAfter(null, { askedAtMs: 100, saidAtMs: 1_000_050, heardAtMs: 200 })).toBe(999_900);
  expect(offsetAfter(999_900, { askedAtMs: 1_000, saidAtMs: 1_000_950, heardAtMs: 1_100 })).toBe(999_900);
});

it("is moved by a quick look after a slow one, and no further than it must be", () => {
  expect(offsetAfter(999_900, { askedAtMs: 1_000, saidAtMs: 1_001_000, heardAtMs: 1_002 })).toBe(999_998);
  expect(offsetAfter(999_900, { askedAtMs: 1_000, saidAtMs: 1_000_800, heardAtMs: 1_002 })).toBe(999_800);
});

it("learns nothing from an answer that came long after it was sent", () => {
  expect(offsetAfter(999_900, { askedAtMs: 1_000, saidAtMs: 1_000_901, heardAtMs: 21_000 })).toBe(999_900);
});

it("tells NATS's time by monotonic time, however the machine's clock jumps", async () => {
  let [monotonicMs, machineMs, natsMs] = [500, 7 * HOUR_MS, 9 * HOUR_MS];
  const clock = makeBrokerClock(() => Promise.resolve(natsMs), { monotonicMs: () => monotonicMs, machineMs: () => machineMs });
  expect(clock.now()).toBe(7 * HOUR_MS);
  await clock.look();
  expect(clock.now()).toBe(9 * HOUR_MS);
  machineMs -= 1_000 * HOUR_MS;
  monotonicMs += 1_500;
  expect(clock.now()).toBe(9 * HOUR_MS + 1_500);
  natsMs += HOUR_MS;
  await clock.look();
  expect(clock.now()).toBe(natsMs);
});

it("goes on without NATS", async () => {
  let answer: () => Promise<number> = () => Promise.resolve(HOUR_MS);
  const clock = makeBrokerClock(() => answer(), { monotonicMs: () => 0 });
  await clock.look();
  answer = () => Promise.reject(new Error("timeout"));
  await expect(clock.look()).rejects.toThrow("timeout");
  expect(clock.now()).toBe(HOUR_MS);
});

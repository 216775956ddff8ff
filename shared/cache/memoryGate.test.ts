import { expect, it } from "vitest";

import { hasRoom, makeMemoryGate } from "./memoryGate.ts";

const info = (used: number, most: number) => `# Memory\r\nused_memory:${used}\r\nused_memory_human:1K\r\ntotal_system_memory:1000\r\nmaxmemory:${most}\r\nmaxmemory_policy:noeviction\r\n`;
it.each([
  ["below half of its limit", info(49, 100), true],
  ["at half of it", info(50, 100), false],
  ["without a limit, below half of the machine's", info(499, 0), true],
  ["without a limit, at half of it", info(500, 0), false],
  ["that says nothing of it", "", false],
])("a Redis %s has room: %j gives %s", (_name, memory, expected) => {
  expect(hasRoom(memory)).toBe(expected);
});

it("looks again after a second, and after each MiB that it let through", async () => {
  let nowMs = 0, looks = 0;
  const gate = makeMemoryGate(() => Promise.resolve(info(++looks > 3 ? 60 : 1, 100)), () => nowMs);
  const half = 512 * 1024;
  expect([await gate(half), await gate(half), looks]).toEqual([true, true, 1]);
  expect([await gate(1), looks]).toEqual([true, 2]);
  nowMs = 999;
  expect([await gate(1), looks]).toEqual([true, 2]);
  nowMs = 1_000;
  expect([await gate(1), looks]).toEqual([true, 3]);
  nowMs = 2_000;
  expect([await gate(1), looks]).toEqual([false, 4]);
});

it("lets nothing through while Redis does not say", async () => {
  expect(await makeMemoryGate(() => Promise.reject(new Error("away")), () => 0)(1)).toBe(false);
});

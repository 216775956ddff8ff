import { readFileSync } from "node:fs";

import { expect, it } from "vitest";

import { addBeside, addLines, addRequests } from "./hourSums.ts";
import { LATENCY_BOUNDS_MS, latencyColumns, quantileOf } from "./latencyBuckets.ts";

it("triggers, and what the migration fills once, have the text that hours in part are summed by", () => {
  const migration = (name: string): string => readFileSync(`shared/db/migrations/${name}.sql`, "utf8");
  for (const text of [addLines("added"), addLines("ledger"), addBeside("added"), addBeside("ledger")]) expect(migration("0021_console")).toContain(text);
  expect(migration("0025_latency_slo")).toContain(addRequests("added"));
});

it("a quantile of counted latencies is within its bucket, and there is none of nothing", () => {
  const counts = (ms: readonly number[]): number[] => latencyColumns.map((_, i) => ms.filter((one) => (LATENCY_BOUNDS_MS[i - 1] ?? 0) <= one && one < (LATENCY_BOUNDS_MS[i] ?? Infinity)).length);
  expect(quantileOf(counts([]), 0.5)).toBeNull();
  for (const latencies of [[0, 0, 0], [5], [200, 210, 220, 5_000], Array.from({ length: 1_000 }, (_, i) => i * 7), [9_000_000]]) {
    for (const share of [0.5, 0.95, 0.99]) {
      const exact = [...latencies].sort((a, b) => a - b)[Math.ceil(share * latencies.length) - 1] ?? 0;
      const bucket = LATENCY_BOUNDS_MS.findIndex((bound) => exact < bound);
      const [from, to] = bucket === -1 ? [LATENCY_BOUNDS_MS.at(-1) ?? 0, Infinity] : [LATENCY_BOUNDS_MS[bucket - 1] ?? 0, LATENCY_BOUNDS_MS[bucket] ?? Infinity];
      const found = quantileOf(counts(latencies), share) ?? -1;
      expect(found >= from && found <= to, `${share} of ${latencies.length}: ${found} of ${exact}`).toBe(true);
    }
  }
});

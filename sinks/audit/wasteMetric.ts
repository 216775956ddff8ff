import { Counter, type Registry } from "prom-client";

import { sumToUsd } from "#shared/contracts/money.ts";
import type { Line } from "#shared/ledger/linesOf.ts";

/** Of lines that are booked, whichever feed they come by. */
export type CountWaste = (lines: readonly Line[]) => void;

export function makeCountWaste(registry: Registry): CountWaste {
  const waste = new Counter({ name: "infer_waste_cost_usd_total", help: "What late and duplicate runs cost, and attempts beyond what was charged for them. No request pays for it.", registers: [registry] });
  return (lines) => {
    for (const { kind, cost_nano_usd } of lines) if (kind === "waste") waste.inc(sumToUsd(cost_nano_usd));
  };
}

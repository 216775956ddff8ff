import { acceptableAmong } from "#router/policy/calibration.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";

import { textTable } from "./textTable.ts";

/** Raw. */
const CONFIDENCES = [0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999];

/** For people: the curve of each tier, over all classes of task or by class; numbers are good answers in 100, `-` where it has no confidence. Pure. */
export function calibrationTable({ tiers, calibration, classes: { names } }: Pick<RoutingModelFile, "tiers" | "calibration" | "classes">, { byClass }: { readonly byClass: boolean }): string {
  const all = [...names.keys()];
  const lines = tiers.flatMap((tier, place) => {
    const curve = calibration[place] ?? null;
    const among = byClass ? names.map((name, c) => ({ cells: [tier, name], places: [c] })) : [{ cells: [tier], places: all }];
    return among.map(({ cells, places }) => [...cells, ...CONFIDENCES.map((confidence) => (curve === null ? "-" : percent(acceptableAmong(curve, places, confidence))))]);
  });
  return textTable(["TIER", ...(byClass ? ["CLASS"] : []), ...CONFIDENCES.map((confidence) => String(confidence).replace(/^0/, ""))], lines);
}

const percent = (probability: number): string => (100 * probability).toFixed(1);

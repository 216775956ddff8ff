import { Registry } from "prom-client";
import { expect, it } from "vitest";

import { makeCalibrationMetrics } from "./calibrationMetrics.ts";

it("sums confidence and agreement by tier and tenth, of what could be compared alone", async () => {
  const registry = new Registry();
  const observe = makeCalibrationMetrics(registry);
  observe({ tier: "small", confidence: 0.95, agreement_with_baseline: 0 });
  observe({ tier: "small", confidence: 1, agreement_with_baseline: 1 });
  observe({ tier: "small", confidence: 0.3, agreement_with_baseline: 0.5 });
  observe({ tier: "small", confidence: 0, agreement_with_baseline: 0 });
  observe({ tier: "medium", confidence: 0.89, agreement_with_baseline: 1 });
  observe({ tier: "medium", confidence: null, agreement_with_baseline: 1 });
  observe({ tier: "medium", confidence: 0.5, agreement_with_baseline: null });
  expect((await registry.metrics()).split("\n").filter((line) => line.startsWith("infer_"))).toEqual([
    'infer_calibration_answers_total{tier="small",tenth="0.9"} 2', 'infer_calibration_answers_total{tier="small",tenth="0.3"} 1', 'infer_calibration_answers_total{tier="small",tenth="0.0"} 1', 'infer_calibration_answers_total{tier="medium",tenth="0.8"} 1',
    'infer_calibration_confidence_sum_total{tier="small",tenth="0.9"} 1.95', 'infer_calibration_confidence_sum_total{tier="small",tenth="0.3"} 0.3', 'infer_calibration_confidence_sum_total{tier="small",tenth="0.0"} 0', 'infer_calibration_confidence_sum_total{tier="medium",tenth="0.8"} 0.89',
    'infer_calibration_agreement_sum_total{tier="small",tenth="0.9"} 1', 'infer_calibration_agreement_sum_total{tier="small",tenth="0.3"} 0.5', 'infer_calibration_agreement_sum_total{tier="small",tenth="0.0"} 0', 'infer_calibration_agreement_sum_total{tier="medium",tenth="0.8"} 1',
  ]);
});

/**
 * How far confidence is to be believed: answers that were compared with the baseline's, by tier and by a tenth of their raw confidence. In each tenth the sums
 * of confidence and of agreement would be the same if it were calibrated; what they differ by, over all tenths and by answer, is the calibration error.
 */
import { Counter, type Registry } from "prom-client";

const TENTHS = 10;
/** The lower end: "0.9" holds 1, too. */
const tenthOf = (confidence: number): string => (Math.min(TENTHS - 1, Math.floor(confidence * TENTHS)) / TENTHS).toFixed(1);

interface Answer {
  readonly tier: string;
  readonly confidence?: number | null | undefined;
  readonly agreement_with_baseline?: number | null | undefined;
}

export function makeCalibrationMetrics(registry: Registry): (answer: Answer) => void {
  const counter = (name: string, help: string) => new Counter({ name, help, labelNames: ["tier", "tenth"], registers: [registry] });
  const answers = counter("infer_calibration_answers_total", "Answers of other tiers that were compared with the baseline's, by tier and by the tenth of confidence that begins there.");
  const confidences = counter("infer_calibration_confidence_sum_total", "Sum of their raw confidences.");
  const agreements = counter("infer_calibration_agreement_sum_total", "Sum of how far each agrees with the baseline's, from 0 to 1.");
  return ({ tier, confidence, agreement_with_baseline: agreement }) => {
    if (typeof confidence !== "number" || typeof agreement !== "number") return;
    const labels = { tier, tenth: tenthOf(confidence) };
    answers.inc(labels);
    confidences.inc(labels, confidence);
    agreements.inc(labels, agreement);
  };
}

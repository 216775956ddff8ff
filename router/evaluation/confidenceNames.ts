/** How sources of confidence are called: by the tier file's methods, as `confidence_source` says them, and two more. */
import { ConfidenceMethod } from "#shared/contracts/tiers.ts";

type MethodName = ConfidenceMethod["kind"];
const METHODS = ConfidenceMethod.options.map(({ shape }): MethodName => shape.kind.value);
/** They make calls of their own, so a value without a cost would be a gift. */
export const isPaidMethod = (source: string): boolean => source === "self_verification" || source === "sample_agreement";

/** What a row's `confidences` may be called: methods of the tier file, and what a classifier says of itself. */
export const RECORDED_SOURCES = [...METHODS, "class_probability"] as const;
/** `recorded`: the row's single `confidence`. `soundness`: 1 for an answer that is sound, or 0; from texts alone. */
export const CONFIDENCE_SOURCES = ["recorded", ...RECORDED_SOURCES, "soundness"] as const;
export type ConfidenceSource = (typeof CONFIDENCE_SOURCES)[number];
export const isConfidenceSource = (name: string): name is ConfidenceSource => CONFIDENCE_SOURCES.some((source) => source === name);

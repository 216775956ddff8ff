/** F13-F18: model servers that fail, stall and lie. */
import type { FaultCase } from "../faultCase.ts";

export const backends: readonly FaultCase[] = [];

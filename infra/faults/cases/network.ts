/** F30 and F31: connections that are cut, stall, or are used up. */
import type { FaultCase } from "../faultCase.ts";

export const network: readonly FaultCase[] = [];

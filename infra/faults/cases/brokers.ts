/** F6-F9, F19, F26 and F27: NATS that dies, splits, fills up, and what is published twice or out of order. */
import type { FaultCase } from "../faultCase.ts";

export const brokers: readonly FaultCase[] = [];

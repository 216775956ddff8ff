/** F20-F25, F28, F29, F32 and F33: disks, clocks, memory, blocked processes, bursts, rolling restarts, everything at once. */
import type { FaultCase } from "../faultCase.ts";

export const resources: readonly FaultCase[] = [];

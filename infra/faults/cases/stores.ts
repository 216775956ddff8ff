/** F10-F12: Postgres and Redis that stop, die, crawl and refuse. */
import type { FaultCase } from "../faultCase.ts";

export const stores: readonly FaultCase[] = [];

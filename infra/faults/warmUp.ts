import { setTimeout as sleep } from "node:timers/promises";

import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { startLoad } from "./load.ts";
import type { Rig } from "./rig.ts";

const RATE_PER_S = 10;
const WARM_UP_MS = 4_000;

/** A system that has just started is slow: that is no fault's doing. */
export async function warmUp(rig: Rig): Promise<void> {
  const load = await startLoad(rig, { name: `warm-${Date.now().toString(36)}`, ratePerS: RATE_PER_S, random: seededRandom(1) });
  await sleep(WARM_UP_MS);
  await load.stop();
}

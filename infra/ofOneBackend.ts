/** For tests: a tier that one backend answers for. */
import { replicasOf, type Tier } from "#shared/contracts/tiers.ts";
import type { Backend } from "#workers/backends/backend.ts";
import { balanced, type Balanced } from "#workers/resilience/balanced.ts";

export const ofOneBackend = (tier: Tier, server: Backend): Balanced =>
  balanced(tier, replicasOf(tier).map((replica) => ({ ...replica, server })), { onChange: () => undefined, now: Date.now, random: () => 0, observe: { called: () => undefined, ejected: () => undefined } });

/** Which arm of an experiment a request is given to. Pure: gateways, routers and replay come to the same one, whoever asks. */
import { createHash } from "node:crypto";

import { readCacheControl } from "#shared/cache/cacheControl.ts";
import { type Arm, type Experiment, isRunning } from "#shared/contracts/experiment.ts";
import type { AssignedArm } from "#shared/contracts/experimentArm.ts";
import type { RequestMessage } from "#shared/contracts/request.ts";
import type { Id } from "#shared/messaging/topology.ts";

type Asked = Pick<RequestMessage, "user_id" | "policy" | "task" | "embed" | "cache_control">;

/**
 * `null`: it is not part of the experiment, as its caller names a policy, which counts; or it is out of scope; or texts to
 * embed or kept answers alone are asked for, where no policy has a say. `acceptedAtMs`: epoch milliseconds.
 */
export function armFor(experiment: Experiment | null, id: Id, asked: Asked, acceptedAtMs: number): { policy: string; assigned: AssignedArm } | null {
  if (experiment === null || !isRunning(experiment, acceptedAtMs) || asked.policy !== undefined || asked.embed !== undefined || readCacheControl(asked.cache_control).onlyIfCached) return null;
  const { experiment_id, scope: { tenants, tasks }, arms, unit } = experiment;
  if (tenants?.includes(id.tenant_id) === false || (tasks !== undefined && (asked.task === undefined || !tasks.includes(asked.task)))) return null;
  const arm = at(arms, draw([experiment_id, id.tenant_id, unit === "user" ? asked.user_id : id.request_id]));
  if (arm === undefined) return null;
  const { name, policy, share, model_version } = arm;
  return { policy, assigned: { experiment_id, arm: name, share, ...(model_version === undefined ? {} : { model_version }) } };
}

/** The last where rounding leaves a gap. */
function at(arms: readonly Arm[], drawn: number): Arm | undefined {
  let below = 0;
  return arms.find(({ share }) => drawn < (below += share)) ?? arms.at(-1);
}

const DRAW_BYTES = 6; // 48 bits, exact in a double

/** Evenly in [0, 1) over all units, and independent of other experiments and of exploration. */
const draw = (unit: readonly string[]): number => createHash("sha256").update(`experiment${JSON.stringify(unit)}`).digest().readUIntBE(0, DRAW_BYTES) / 2 ** (8 * DRAW_BYTES);

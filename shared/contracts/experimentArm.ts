/** What a request carries of the experiment that it is part of. */
import { z } from "zod";

import { Probability } from "./probability.ts";

/** Part of a key in NATS KV, hence the alphabet. */
export const ExperimentId = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, "must be 1 to 63 of a-z 0-9 _ -, and begin with a letter or digit");
export const ArmName = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,31}$/, "must be 1 to 32 of a-z 0-9 _ -, and begin with a letter or digit");
/** The routing model that decides. `null`: none. Absent: whichever is active. */
export const ArmModel = z.string().min(1).max(128).nullable().optional();

/** What a request was given to. `share`: the probability with which that came about. */
export const ExperimentArm = z.object({ experiment_id: ExperimentId, arm: ArmName, share: Probability });
export type ExperimentArm = z.infer<typeof ExperimentArm>;
/** As it travels with the request. */
export const AssignedArm = ExperimentArm.extend({ model_version: ArmModel });
export type AssignedArm = z.infer<typeof AssignedArm>;

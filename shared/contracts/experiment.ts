/** Comparing policies on live requests: an experiment's definition and what came of it (ADR 0041). */
import { z } from "zod";

import { ArmModel, ArmName, ExperimentId } from "./experimentArm.ts";
import { LabelSource } from "./floorGuard.ts";
import { TenantId } from "./ids.ts";
import { EpochMs } from "./request.ts";

export const Arm = z.strictObject({
  name: ArmName,
  policy: z.string().min(1).max(64),
  model_version: ArmModel,
  /** Of requests in scope. */
  share: z.number().gt(0).lt(1),
});
export type Arm = z.infer<typeof Arm>;

/** `stopped`: by somebody, or as it had its time or requests. `rolled_back`: an arm was found worse. All but `running` are final, and leave traffic to what the tenants and the tier file say. */
export const ExperimentStatus = z.enum(["running", "stopped", "rolled_back", "promoted"]);
export type ExperimentStatus = z.infer<typeof ExperimentStatus>;

/** Rounding of decimal shares. */
const ONE = 1e-9;
const MOST_ARMS = 8;
/** Some 20 MB of the bucket that the routing models need, too. */
const MOST_BY_USER = 100_000;

export const Experiment = z
  .strictObject({
    experiment_id: ExperimentId,
    /** `canary`: a small share for what is to become the rule; `ab`: which is better. Both are watched alike. */
    kind: z.enum(["ab", "canary"]),
    /** The first is the control, which the others are compared with. */
    arms: z.array(Arm).min(2).max(MOST_ARMS),
    /** Absent: all. */
    scope: z.strictObject({ tenants: z.array(TenantId).min(1).max(1_000).optional(), tasks: z.array(z.string()).min(1).max(100).optional() }),
    /** What is given to an arm as a whole. Of a `user`, the first label alone counts: those after it are not drawn anew. */
    unit: z.enum(["user", "request"]),
    metric: z.strictObject({
      /** What quality is measured by: the score of judged feedback, or agreement with the baseline tier's answer. */
      quality: LabelSource,
      /** Largest loss against the control that is tolerated: of mean quality, and as much of the share of requests that do not fail. */
      max_loss: z.number().gte(0).lt(1),
      /** Probability with which an arm that loses no more is ever rolled back. */
      risk: z.number().gte(1e-6).lte(0.5),
      /** As many more of the requests with a limit of latency, as a share of them, may be late: not answered within it. `null`: not watched. */
      max_late: z.number().gte(0).lt(1).nullable().default(0.05),
      /** The limit of requests that name no `latency_slo_ms`. `null`: they have none. */
      late_after_ms: z.int().positive().nullable().default(null),
      /** As much more a request may cost on average, as a share of the control's cost. `null`: not watched. */
      max_extra_cost: z.number().gte(0).lte(100).nullable().default(0.2),
    }),
    /** It ends by itself after so many requests, and then. */
    max_requests: z.int().positive(),
    ends_at: z.iso.datetime().nullable(),
    started_at: z.iso.datetime(),
    status: ExperimentStatus,
    /** Oldest first. */
    history: z.array(z.strictObject({ at: z.iso.datetime(), status: ExperimentStatus, why: z.string() })).min(1).max(10),
  })
  .superRefine(({ arms, metric, unit, max_requests }, context) => {
    if (unit === "user" && max_requests > MOST_BY_USER) context.addIssue({ code: "custom", path: ["max_requests"], message: `by user at most ${MOST_BY_USER}: each may leave a key in NATS KV` });
    const total = arms.reduce((sum, { share }) => sum + share, 0);
    if (Math.abs(total - 1) > ONE) context.addIssue({ code: "custom", path: ["arms"], message: `shares must add up to 1, and add up to ${total}` });
    if (new Set(arms.map(({ name }) => name)).size !== arms.length) context.addIssue({ code: "custom", path: ["arms"], message: "names must differ" });
    // Whoever names the tier compares nothing: such answers are not shadowed.
    if (metric.quality === "shadow" && arms.some(({ policy }) => policy.startsWith("always-"))) context.addIssue({ code: "custom", path: ["metric", "quality"], message: "answers of always-<tier> are not shadowed: use feedback" });
  });
export type Experiment = z.infer<typeof Experiment>;

export const isRunning = ({ status, ends_at }: Pick<Experiment, "status" | "ends_at">, nowMs: number): boolean => status === "running" && (ends_at === null || nowMs < Date.parse(ends_at));

/** Labels of one arm. */
const ArmLabels = z.object({ labels: z.int().nonnegative(), sum: z.number().nonnegative(), squares: z.number().nonnegative() });
export type ArmLabels = z.infer<typeof ArmLabels>;

/** Of one arm against the control; constant size. `router/learning/lossTest.ts` computes it. */
export const LossState = z.object({
  labels: z.int().nonnegative(),
  /** Of the labels of both. */
  sum: z.number().nonnegative(),
  /** Of the squared differences. */
  squares: z.number().nonnegative(),
  /** By bet. */
  capital: z.array(z.number().nonnegative()).min(1),
});
export type LossState = z.infer<typeof LossState>;

/** What the labels of an experiment have come to. */
export const ExperimentWatch = z.object({
  experiment_id: ExperimentId,
  /** Of the message that was counted last, so that one that is delivered again is not counted again. */
  counted: z.object({ stream_seq: z.int().positive(), stored_at_ms: EpochMs }),
  arms: z.record(ArmName, ArmLabels),
  /** Without the control. */
  tests: z.record(ArmName, LossState),
});
export type ExperimentWatch = z.infer<typeof ExperimentWatch>;

/**
 * What was learned from labelled outcomes: a versioned file of numbers with names, small enough to read. Made by
 * `inferctl train`, kept in NATS KV, used by routers; `router/learning` fits it, `router/policy` reads it.
 */
import { z } from "zod";

import { Probability } from "./probability.ts";
import { TierName } from "./tiers.ts";

const Weights = z.array(z.number());

/** Size of the hashed vocabulary in which a class of task has its centre. */
export const WORD_PLACES = 256;

/** Of one tier: log-odds of an acceptable answer = intercepts + slopes x scaled log-odds of its raw confidence. */
export const Calibration = z.object({ intercept: z.number(), slope: z.number(), class_intercepts: Weights, class_slopes: Weights });
export type Calibration = z.infer<typeof Calibration>;

/** Values of one state: acceptability less λ times the cost of what follows. By place of the next tier; `null`: not a next step. */
export const StateValues = z.object({
  /** Of keeping the latest answer. `null` before an answer. */
  stop: Weights.nullable(),
  /** Of running a tier and deciding by its confidence. */
  read: z.array(Weights.nullable()),
  /** Of running a tier and keeping whatever sound answer it gives, so that its confidence need not be paid for. */
  blind: z.array(Weights.nullable()),
});
export type StateValues = z.infer<typeof StateValues>;

export const RoutingLevel = z.object({
  /** Acceptability that one dollar must buy, in 1/USD. */
  lambda_per_usd: z.number().nonnegative(),
  /** By places of the first and the latest tier that answered: "", "0", "0,2". */
  states: z.record(z.string(), StateValues),
});
export type RoutingLevel = z.infer<typeof RoutingLevel>;

/** What held-out rows said of an operating point: each was played by what other rows taught. */
export const Measured = z.object({
  rows: z.int(),
  quality_ratio: z.number(),
  saving: z.number(),
  /** Lower end of the mean of quality - target x the baseline's quality, which is too high with probability `risk`. */
  margin_low: z.number(),
  /** The same of how far the kept answer is the baseline's, by comparing the recorded answers as shadow labels do. None where they were not recorded. */
  agreement_low: Probability.optional(),
  /** The same of how good the kept answer is. Older files have none, nor has a model whose rows were labelled by agreement. */
  quality_low: Probability.optional(),
});
export type Measured = z.infer<typeof Measured>;

export const RoutingModel = z.object({
  type: z.literal("routing_model.v1"),
  /** Cheapest first. */
  tiers: z.array(z.string()).min(2).max(16),
  baseline_tier: z.string(),
  /** Share of the baseline's quality that is kept, but for a probability of `risk`. */
  target: Probability,
  risk: Probability,
  /** The levels weigh the share of requests that take longer, when given. */
  latency_slo_ms: z.number().positive().nullable(),
  /** Kinds of work, and the centre of each in the hashed vocabulary. */
  classes: z.object({ names: z.array(z.string()), centroids: z.array(Weights) }),
  /** By tier; `null` when it has no confidence. */
  calibration: z.array(Calibration.nullable()),
  /** From the most careful down. */
  levels: z.array(RoutingLevel),
});
export type RoutingModel = z.infer<typeof RoutingModel>;

/**
 * A file: the model with where it is to be used, what it was made of and how well it did. That its parts fit each other
 * and its version is of its content, `shared/runtime/readModel.ts` checks.
 */
export const RoutingModelFile = RoutingModel.extend({
  /** Date and the beginning of the content's SHA-256. */
  version: z.string().regex(/^[a-z0-9-]{1,64}$/),
  created_at: z.iso.datetime(),
  tiers: z.array(TierName).min(2).max(16),
  /** Where each policy stands, as held-out rows allow. `null`: the floor was not shown to hold, so the tier file's thresholds are used. */
  operating: z.object({
    /** Place in `levels`. */
    cascade_routing_level: z.int().nonnegative().nullable(),
    predictive_level: z.int().nonnegative().nullable(),
    /** Least calibrated confidence of an answer that `cascade` keeps. */
    cascade_keep_from: z.number().nonnegative().nullable(),
  }),
  data: z.object({ fingerprint: z.string(), rows: z.int(), sources: z.array(z.object({ name: z.string(), rows: z.int(), sha256: z.string() })) }),
  metrics: z.object({ cascade_routing: Measured.nullable(), predictive: Measured.nullable(), cascade: Measured.nullable() }),
});
export type RoutingModelFile = z.infer<typeof RoutingModelFile>;

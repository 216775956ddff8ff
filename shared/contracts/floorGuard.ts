/**
 * The state of the live test of the quality floor. Routers keep it in NATS KV beside the routing model that it watches;
 * `router/learning` computes it.
 */
import { z } from "zod";

import { EpochMs } from "./request.ts";

/** How many levels more careful than the model's own; `all`: the baseline alone. */
export const Steps = z.union([z.int().nonnegative(), z.literal("all")]);
export type Steps = z.infer<typeof Steps>;

/** Constant size: no history. */
export const FloorState = z.object({
  /** Least and greatest possible margin. */
  lowest: z.number().negative().gte(-1),
  highest: z.number().positive().max(1),
  samples: z.int().nonnegative(),
  /** By bet, from the most timid one, each twice as bold as the one before. */
  capital: z.array(z.number().nonnegative()).min(1),
  /** Sums over margins that are scaled to [0, 1], for the lower bound of their mean. */
  bound: z.object({ weight: z.number(), weighted: z.number(), penalty: z.number(), sum: z.number(), squares: z.number() }),
});
export type FloorState = z.infer<typeof FloorState>;

/** Where labels come from. `shadow`: how far a kept answer agrees with the baseline's. `feedback`: how good it was judged. */
export const LabelSource = z.enum(["shadow", "feedback"]);
export type LabelSource = z.infer<typeof LabelSource>;

export const FloorTest = z.object({ target: z.number(), margins: z.enum(["paired", "single"]), state: FloorState });
export type FloorTest = z.infer<typeof FloorTest>;

export const FloorGuard = z.object({
  steps: Steps,
  /** Times that it was tightened since the model was activated. */
  tightenings: z.int().nonnegative(),
  /** At the present steps, one for each source whose labels are tested. */
  tests: z.partialRecord(LabelSource, FloorTest),
  /** Epoch milliseconds from which on these steps apply. */
  since_at_ms: z.int(),
  /** Epoch milliseconds since when no level is trusted any more and the baseline answers alone; `null`: not so. */
  in_doubt_since_ms: z.int().nullable(),
});
export type FloorGuard = z.infer<typeof FloorGuard>;

/** A guard as it is stored: of one activation, however often its version is activated. */
export const WatchedFloor = z.object({
  version: z.string(),
  activated_at: z.iso.datetime(),
  /** By source, of the message in its stream that was counted last, so that one that is delivered again is not counted again. */
  counted: z.partialRecord(LabelSource, z.object({ stream_seq: z.int().positive(), stored_at_ms: EpochMs })),
  guard: FloorGuard,
});
export type WatchedFloor = z.infer<typeof WatchedFloor>;

/** What is stored under a version. `null`: nothing, before the first label. `unreadable`: a guard that nobody can tell the steps of. */
export type StoredFloor = WatchedFloor | "unreadable" | null;

/** When a version became active. */
export interface Activation {
  readonly version: string | null;
  readonly activated_at: string;
}
/** What is stored, if it is of this activation of the version. */
export const ofActivation = (watched: WatchedFloor | null, { version, activated_at }: Activation): WatchedFloor | null =>
  (watched?.version === version && watched.activated_at === activated_at ? watched : null);

/**
 * What routers decide by. `null`: no label was counted since this activation. One that cannot be read may have been the baseline
 * alone, so it counts as that.
 */
export const guardOf = (stored: StoredFloor, activation: Activation): FloorGuard | null => (stored === "unreadable" ? distrust(activation) : (ofActivation(stored, activation)?.guard ?? null));

function distrust({ activated_at }: Activation): FloorGuard {
  const since = Date.parse(activated_at);
  return { steps: "all", tightenings: 0, tests: {}, since_at_ms: since, in_doubt_since_ms: since };
}

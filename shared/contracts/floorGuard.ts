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

export const FloorGuard = z.object({
  source: z.object({ target: z.number(), labels: z.enum(["qualities", "agreement"]) }),
  steps: Steps,
  /** Times that it was tightened since the model was activated. */
  tightenings: z.int().nonnegative(),
  /** At the present steps. */
  test: FloorState,
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
  /** Of the event in SHADOWS that was counted last, so that one that is delivered again is not counted again. */
  counted: z.object({ stream_seq: z.int().positive(), stored_at_ms: EpochMs }),
  guard: FloorGuard,
});
export type WatchedFloor = z.infer<typeof WatchedFloor>;

/** What is stored, if it is of this activation of the version. */
export const ofActivation = (watched: WatchedFloor | null, { version, activated_at }: { readonly version: string | null; readonly activated_at: string }): WatchedFloor | null =>
  (watched?.version === version && watched.activated_at === activated_at ? watched : null);

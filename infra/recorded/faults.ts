/**
 * Faults that a model's server has now and then, made at will. Whether a call is hit follows from the seed, the fault's
 * place in the list, model, row and the how-manieth call of that row it is: a run can be repeated.
 */
import { createHash } from "node:crypto";

import { z } from "zod";

import { Probability } from "#shared/contracts/probability.ts";

const aimed = {
  /** Of the calls that it is aimed at. */
  share: Probability,
  /** Default: all. */
  models: z.array(z.string()).min(1).max(1_000).optional(),
};
const LONGEST_STALL_MS = 600_000;
const Fault = z.discriminatedUnion("kind", [
  /** An error instead of an answer, at once. */
  z.strictObject({ kind: z.literal("status"), status: z.int().min(400).max(599), retry_after_s: z.int().nonnegative().max(86_400).optional(), ...aimed }),
  /** The socket is destroyed in the middle. */
  z.strictObject({ kind: z.literal("cut"), ...aimed }),
  /** Silence in the middle, until the client leaves or so many milliseconds are over; then the rest. */
  z.strictObject({ kind: z.literal("stall"), for_ms: z.int().positive().max(LONGEST_STALL_MS).default(LONGEST_STALL_MS), ...aimed }),
  /** In the middle something that is no JSON; then the rest. */
  z.strictObject({ kind: z.literal("garble"), ...aimed }),
  /** The latency times so much. Adds to whatever else hits the call. */
  z.strictObject({ kind: z.literal("slow"), factor: z.number().positive().max(1_000), ...aimed }),
  /** A reply without text or calls. */
  z.strictObject({ kind: z.literal("empty"), ...aimed }),
  /** Half of the answer, then a clean end without finish_reason; a stream is without [DONE], too. */
  z.strictObject({ kind: z.literal("truncate"), ...aimed }),
]);
export type Fault = z.infer<typeof Fault>;

/** The body of `PUT /faults`, and the file of `--faults`. */
export const Faults = z.array(Fault).max(100);
export type Faults = z.infer<typeof Faults>;

/** A model that is named but not there; `undefined` when there is none. */
export const unknownModelIn = (faults: Faults, hasModel: (model: string) => boolean): string | undefined => faults.flatMap(({ models = [] }) => models).find((model) => !hasModel(model));

export interface Called {
  readonly model: string;
  readonly rowId: string;
  /** The how-manieth call of this row and model, from 1. */
  readonly nth: number;
}
export interface Hit {
  /** The first of the list that hits, but for the slow ones. */
  readonly fault: Exclude<Fault, { kind: "slow" }> | null;
  /** 1 when no slow one hits; several multiply. */
  readonly slowBy: number;
}

/** Pure. */
export function hitBy(faults: Faults, seed: number, { model, rowId, nth }: Called): Hit {
  let hit: Hit = { fault: null, slowBy: 1 };
  for (const [place, fault] of faults.entries()) {
    if (fault.models?.includes(model) === false || draw([seed, place, model, rowId, nth]) >= fault.share) continue;
    if (fault.kind === "slow") hit = { ...hit, slowBy: hit.slowBy * fault.factor };
    else hit = { ...hit, fault: hit.fault ?? fault };
  }
  return hit;
}

/** In [0, 1). */
const draw = (key: readonly (string | number)[]): number => createHash("sha256").update(JSON.stringify(key)).digest().readUInt32BE(0) / 2 ** 32;

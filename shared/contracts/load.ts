import { z } from "zod";

const Count = z.int().nonnegative();
/** Of a lane: the requests that were accepted and have not ended. */
const LaneLoad = z.object({
  open: Count,
  /** Requests that can be in work before one waits, over all live workers of the tiers that have work to do; 0: no worker is known. */
  slots: Count,
  /** As measured while there was something to do; `null`: too little was seen. `service_ms`: what backends take for one. */
  rate: z.object({ ends_per_s: z.number().positive(), service_ms: z.number().nonnegative() }).nullable(),
  /** Tenants with open requests, and how many each of the largest has. */
  tenants: Count,
  open_of: z.array(z.tuple([z.string(), Count])),
});
export type LaneLoad = z.infer<typeof LaneLoad>;

/** What a router knows of the work that is there. Several times a second, as a core message: what is old says nothing. */
export const Load = z.object({
  type: z.literal("load.v1"),
  lanes: z.object({ interactive: LaneLoad, batch: LaneLoad }),
  /** How full the fullest of the streams is that a request needs, by bytes. */
  fullest_share: z.number().min(0).max(1),
});
export type Load = z.infer<typeof Load>;

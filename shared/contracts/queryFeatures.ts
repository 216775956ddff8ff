/** What a routing model may read of a query before there is an answer (`router/policy/queryFeatures.ts` computes it): its shape and hashed words, never its text. */
import { z } from "zod";

import { Probability } from "./probability.ts";

/** Each about within -3 and 3, but `words`. */
export const QueryFeatures = z
  .object({
    /** Logarithm of the number of characters, 0 for an ordinary length of 245. */
    log_length: z.number(),
    /** Digits; 20 of them say as much as more. */
    digits: Probability,
    /** 1 when it asks for what is not so. */
    negation: Probability,
    /** Each word of the beginning once, as a place in a hashed vocabulary; negative places count downwards. */
    words: z.array(z.int()).readonly(),
  })
  .readonly();
export type QueryFeatures = z.infer<typeof QueryFeatures>;

import type { CacheStatus } from "#shared/cache/openAnswerCache.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import type { Id } from "#shared/messaging/topology.ts";

import type { LimitedCall } from "./admit.ts";

/** What belongs to one call of a caller's that asks a model. */
export interface Call extends LimitedCall {
  readonly traceparent: string;
  readonly gone?: AbortSignal | undefined;
  /** Told once what the cache did for it, before the outcome is there; not for an outcome that was there before. */
  readonly onCache?: (status: CacheStatus) => void;
  /** Of a request that is a part of a larger call, which is admitted as one: the same object for each part. */
  readonly whole?: { readonly id: Id; readonly parts: readonly InferBody[] };
}

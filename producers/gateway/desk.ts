import type { SubmitFeedback } from "#shared/messaging/submitFeedback.ts";

import type { FindRequest } from "./findRequest.ts";
import type { Inference } from "./inference.ts";

/** What the routes work with, once the broker is there. */
export interface Desk {
  readonly inference: Inference;
  readonly find: FindRequest;
  readonly submitFeedback: SubmitFeedback;
}
/** Throws `broker_unavailable` until then: the process listens from its start on, so that `/healthz` and `/readyz` answer. */
export type GetDesk = () => Desk;

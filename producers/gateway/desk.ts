import type { AnswerStreams } from "#shared/messaging/answerStream.ts";
import type { SubmitFeedback } from "#shared/messaging/submitFeedback.ts";

import type { FindRequest } from "./findRequest.ts";
import type { Inference } from "./inference.ts";
import type { Watches } from "./watchRequest.ts";

/** What the routes work with, once the broker is there. */
export interface Desk {
  readonly inference: Inference;
  readonly find: FindRequest;
  readonly listen: AnswerStreams["listen"];
  readonly submitFeedback: SubmitFeedback;
  readonly watches: Pick<Watches, "watch">;
}
/** Throws `broker_unavailable` until then: the process listens from its start on, so that `/healthz` and `/readyz` answer. */
export type GetDesk = () => Desk;

import { AppError } from "#shared/contracts/errors.ts";
import { type FeedbackBody, type FeedbackMessage, isJudged } from "#shared/contracts/feedback.ts";

import { ADMITTED_HEADER, type AckInbox } from "./ackInbox.ts";
import type { JudgedProof } from "./judgedProof.ts";
import { feedbackSubject, type Id } from "./topology.ts";

/** Resolves once the broker has it. Safe to repeat: the latest of a source counts. Throws `storage_full`, `broker_unavailable` or `accept_unknown`. */
export type SubmitFeedback = (id: Id, body: FeedbackBody, traceparent?: string) => Promise<void>;

export const makeSubmitFeedback = ({ acks, prefix, sign }: { acks: AckInbox; prefix: string; /** Of a gateway: its proof that its caller may judge. */ sign?: JudgedProof["sign"] }): SubmitFeedback => async (id, { score, source, comment }, traceparent) => {
  const message: FeedbackMessage = { type: "feedback.v1", score, source, ...(comment === undefined ? {} : { comment }) };
  const outcome = await acks.publish(feedbackSubject(prefix, id), new TextEncoder().encode(JSON.stringify(message)), traceparent, isJudged(message) ? { [ADMITTED_HEADER]: sign?.(id, message) } : {});
  if (outcome !== "stored") throw new AppError("storage_full", "FEEDBACK is full: try again later");
};

/** What both doors can do for one request, one try at a time. All of it throws `InferError`, or the signal's reason. */
import type { TokenMessage } from "#shared/contracts/chat.ts";
import type { FeedbackBody } from "#shared/contracts/feedback.ts";
import type { InferReply } from "#shared/contracts/reply.ts";
import type { InferBody } from "#shared/contracts/request.ts";

export interface Ref {
  readonly request_id: string;
  /** Absent: whose it is says the key, or the id alone. */
  readonly tenant_id?: string | undefined;
}
export interface Asked {
  readonly body: InferBody & { readonly request_id: string };
  /** The caller chose the id, so there may be an outcome already. */
  readonly isIdChosen: boolean;
}
export interface Call {
  readonly signal: AbortSignal;
  /** W3C trace context. `undefined`: the service begins a trace. */
  readonly traceparent: string | undefined;
}
/** Of an answer that grows; of each run from 0 on without gaps. */
export type Piece = Pick<TokenMessage, "run" | "seq" | "deltas">;

export interface Transport {
  /** Resolves with the outcome, whatever it is. With `onPiece`, pieces of an answer that will be the outcome come before it. */
  infer(asked: Asked, call: Call, onPiece?: (piece: Piece) => void): Promise<InferReply>;
  /** Resolves once it is accepted; with the outcome where it is known at once, else `null`. */
  submit(asked: Asked, call: Call): Promise<InferReply | null>;
  /** `null`: none yet. */
  outcome(ref: Ref, call: Call): Promise<InferReply | null>;
  wait(ref: Ref, call: Call): Promise<InferReply>;
  feedback(ref: Ref, body: FeedbackBody, call: Call): Promise<void>;
  close(): Promise<void>;
}

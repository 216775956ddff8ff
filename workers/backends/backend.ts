import type { AnswerDelta, AnswerMessage, AnswerToken, Input } from "#shared/contracts/chat.ts";
import type { Usage } from "#shared/contracts/events.ts";

/**
 * One call of a model. Its errors are `BackendError`s; anything else that it throws is a bug, but for a call whose signal aborted:
 * a `CutOff` says what was spent until then, and whoever aborted says why.
 */
export interface Backend<I extends Input = Input> {
  call(input: I, options: CallOptions): Promise<BackendAnswer>;
  close(): Promise<void>;
}

export interface CallOptions {
  readonly signal: AbortSignal;
  readonly traceparent: string;
  /** With it the answer is asked for piece by piece, and each is told as it comes; their texts in order are `output`. A backend that cannot stream tells none. `tokens`: those of the piece, where the server sends probabilities. */
  readonly onDelta?: (delta: AnswerDelta, tokens?: readonly AnswerToken[]) => void;
}

/** A longer answer would not fit into one message beside its record; the broker's limit is 1 MiB. */
export const MAX_ANSWER_BYTES = 256 * 1024;

export interface BackendAnswer {
  readonly output: string;
  /** Of an answer to a conversation; absent for a text. */
  readonly message?: AnswerMessage;
  /** Where the server sent probabilities. */
  readonly tokens?: readonly AnswerToken[];
  /** The model that answered, as it names itself. */
  readonly model: string;
  readonly usage: Usage;
  /** Complete, not empty, not a refusal. An answer that is not sound is never accepted, however confident. */
  readonly is_sound: boolean;
  /** Probability in [0, 1] that the answer is right, as the model itself sees it: raw, not calibrated. */
  readonly confidence: number;
  readonly confidence_source: "class_probability" | "token_logprobs" | "prior";
}

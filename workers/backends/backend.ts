import type { Usage } from "#shared/contracts/events.ts";

/** One call of a model. Its errors are `BackendError`s; anything else that it throws is a bug. */
export interface Backend {
  call(input: string, options: { readonly signal: AbortSignal; readonly traceparent: string }): Promise<BackendAnswer>;
  close(): Promise<void>;
}

export interface BackendAnswer {
  readonly output: string;
  /** The model that answered, as it names itself. */
  readonly model: string;
  readonly usage: Usage;
  /** Complete, not empty, not a refusal. An answer that is not sound is never accepted, however confident. */
  readonly is_sound: boolean;
  /** Probability in [0, 1] that the answer is right, as the model itself sees it: raw, not calibrated. */
  readonly confidence: number;
  readonly confidence_source: "class_probability" | "token_logprobs" | "prior";
}

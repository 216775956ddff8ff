import type { AnswerDelta, Prompt } from "#shared/contracts/chat.ts";
import type { Usage } from "#shared/contracts/events.ts";

import type { BackendAnswer } from "./backend.ts";
import { BackendError, CutOff } from "./backendError.ts";
import { type Post, postForEvents } from "./http.ts";
import { type Finished, spentUntil } from "./providerAnswer.ts";

/** An answer as it grows, in one provider's events. */
export interface GrowingAnswer {
  /** Takes the next event; what it adds to the answer. Throws `BackendError`. */
  read(event: unknown): AnswerDelta | null;
  /** The complete answer. Throws when the last event has not been read. */
  end(): Finished;
  /** What the server told until now; `null`: nothing. */
  usage(): Usage | null;
  /** All that was said until now, arguments of tools included. */
  said(): string;
}

interface Call {
  readonly post: Post;
  readonly idleTimeoutMs: number;
  readonly growing: GrowingAnswer;
  readonly input: Prompt;
  readonly onDelta: (delta: AnswerDelta) => void;
}

/** Tells each piece as it comes. Once an event was read, what breaks it off says what was spent. */
export async function callStreaming({ post, idleTimeoutMs, growing, input, onDelta }: Call, answer: (finished: Finished) => BackendAnswer): Promise<BackendAnswer> {
  let isBegun = false;
  try {
    for await (const event of postForEvents(post, idleTimeoutMs)) {
      const delta = growing.read(event);
      isBegun = true;
      if (delta !== null) onDelta(delta);
    }
    return answer(growing.end());
  } catch (error) {
    if (!isBegun) throw error;
    const usage = spentUntil(input, growing.said(), growing.usage());
    if (error instanceof CutOff) throw new CutOff(usage, { cause: error.cause });
    throw error instanceof BackendError && error.usage === null ? error.spending(usage) : error;
  }
}

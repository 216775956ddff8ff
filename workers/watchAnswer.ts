import type { AnswerDelta, AnswerToken } from "#shared/contracts/chat.ts";
import type { AnswerPublisher } from "#shared/messaging/answerStream.ts";

import type { EarlyCommit } from "./confidence/earlyCommit.ts";
import type { Replica } from "./resilience/balanced.ts";

/** Sees an answer grow. */
export interface Watcher {
  /** A call begins; what those before it told is void. */
  begin(replica: Replica): void;
  take(delta: AnswerDelta, tokens: readonly AnswerToken[]): void;
  /** Pieces were shown, so that nothing can be tried again. */
  isShown(): boolean;
  /** Sends what waits to be sent. */
  flush(): void;
}

/**
 * Shows the pieces of an answer once it is certain to be kept: from the first one on, or when `commit` says so; until then
 * they wait. `open` is called once, before the first one is shown.
 */
export function watchAnswer(open: (replica: Replica) => AnswerPublisher, commit: (() => EarlyCommit) | null): Watcher {
  let replica: Replica | null = null, isSure: EarlyCommit = () => true;
  let waiting: AnswerDelta[] = [];
  let shown: AnswerPublisher | null = null;
  return {
    begin(next) {
      replica = next;
      waiting = [];
      isSure = commit?.() ?? (() => true);
    },
    take(delta, tokens) {
      waiting.push(delta);
      if (replica === null || !isSure(tokens)) return;
      shown ??= open(replica);
      for (const one of waiting) shown.push(one);
      waiting = [];
    },
    isShown: () => shown !== null,
    flush: () => shown?.flush(),
  };
}

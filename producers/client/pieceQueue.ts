/**
 * Between an answer that comes and its reader. Whatever the transport, what was given to the reader is a beginning of the
 * outcome's answer, or the reader gets an error (ADR 0012).
 */
import type { AnswerDelta } from "#shared/contracts/chat.ts";
import { follow, NOTHING_SENT, restOf } from "#shared/contracts/follow.ts";
import type { InferReply } from "#shared/contracts/reply.ts";

import { InferError } from "./inferError.ts";
import type { Piece } from "./transport.ts";

export type StreamPart =
  /** `text`: the next part of the answer's text; empty where `delta` is of a refusal or of calls of tools. */
  | { readonly kind: "piece"; readonly text: string; readonly delta: AnswerDelta }
  /** The last part. */
  | { readonly kind: "outcome"; readonly outcome: InferReply };

export interface PieceQueue {
  /** Of each run in order. What does not follow what came before is left for the outcome to say. */
  readonly push: (piece: Piece) => void;
  readonly end: (outcome: InferReply) => void;
  readonly fail: (error: unknown) => void;
  /** Throws what the stream failed with, after the pieces that came before. */
  parts(): AsyncGenerator<StreamPart, void, undefined>;
}

export function makePieceQueue(requestId: string): PieceQueue {
  const waiting: StreamPart[] = [];
  let sent = NOTHING_SENT;
  let over: { readonly error: unknown } | "done" | null = null;
  let wake: () => void = () => undefined;
  const give = (deltas: readonly AnswerDelta[]) => {
    waiting.push(...deltas.map((delta) => ({ kind: "piece" as const, text: delta.text ?? "", delta })));
    wake();
  };
  const fail = (error: unknown) => {
    over = { error };
    wake();
  };
  return {
    fail,
    push(piece) {
      const next = follow(sent, piece);
      sent = next.sent;
      give(next.deltas);
    },
    end(outcome) {
      const rest = restOf(sent, outcome);
      if (rest === null) {
        fail(brokenBy(outcome, requestId));
        return;
      }
      give(rest);
      waiting.push({ kind: "outcome", outcome });
      over = "done";
      wake();
    },
    async *parts() {
      for (;;) {
        const next = waiting.shift();
        if (next !== undefined) yield next;
        else if (over === "done") return;
        else if (over !== null) throw over.error;
        else await new Promise<void>((resolve) => { wake = resolve; });
      }
    },
  };
}

function brokenBy({ error }: InferReply, requestId: string): InferError {
  if (error !== null) return new InferError(error.code, `after a part of its answer the request failed: ${error.message}`, { requestId, retryable: false });
  return new InferError("stream_broken", "the answer that was kept is not the one that was streamed: ask for the outcome", { requestId });
}

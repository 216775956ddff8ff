import { describe, expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { toReply } from "#shared/contracts/reply.ts";

import { InferError } from "./inferError.ts";
import { makePieceQueue, type PieceQueue } from "./pieceQueue.ts";

const OUTCOME = toReply(Completion.parse(fixture)); // "spam 🌍"
const piece = (seq: number, text: string, run = "a") => ({ run, seq, deltas: [{ text }] });

async function read(queue: PieceQueue) {
  const texts: string[] = [];
  try {
    for await (const part of queue.parts()) texts.push(part.kind === "piece" ? part.text : `(${part.outcome.outcome})`);
  } catch (error) {
    texts.push(error instanceof InferError ? `${error.code} of ${error.requestId ?? ""}` : String(error));
  }
  return texts;
}

describe("a streamed answer", () => {
  it.each<[string, (queue: PieceQueue) => void, string[]]>([
    ["is given in pieces as they come, then its outcome", ({ push, end }) => { push(piece(0, "sp")); push(piece(1, "am")); end(OUTCOME); }, ["sp", "am", " 🌍", "(completed)"]],
    ["is given whole without pieces", ({ end }) => { end(OUTCOME); }, ["spam 🌍", "(completed)"]],
    ["has the rest from its outcome after a gap", ({ push, end }) => { push(piece(0, "sp")); push(piece(2, "?")); end(OUTCOME); }, ["sp", "am 🌍", "(completed)"]],
    ["has the rest from its outcome after a lost connection", ({ push, end }) => { push(piece(0, "sp")); push(piece(0, "spam", "b")); end(OUTCOME); }, ["sp", "am 🌍", "(completed)"]],
    ["is an error when its pieces are not the answer that was kept", ({ push, end }) => { push(piece(0, "ham")); end(OUTCOME); }, ["ham", "stream_broken of r-1"]],
    ["is the outcome's error when it breaks off", ({ push, end }) => { push(piece(0, "sp")); end({ ...OUTCOME, outcome: "failed", output: null, error: { code: "backend_unavailable", message: "m" } }); }, ["sp", "backend_unavailable of r-1"]],
    ["is a value when there was none to show", ({ end }) => { end({ ...OUTCOME, outcome: "failed", output: null, error: { code: "backend_unavailable", message: "m" } }); }, ["(failed)"]],
    ["gives what came before an error", ({ push, fail }) => { push(piece(0, "sp")); fail(new InferError("timeout", "m", { requestId: "r-1" })); }, ["sp", "timeout of r-1"]],
  ])("%s", async (_name, play, expected) => {
    const early = makePieceQueue("r-1");
    play(early);
    expect(await read(early)).toEqual(expected);
    const late = makePieceQueue("r-1"); // its reader waits already
    const reading = read(late);
    play(late);
    expect(await reading).toEqual(expected);
  });
});

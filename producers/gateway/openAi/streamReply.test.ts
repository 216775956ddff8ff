import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { TokenMessage } from "#shared/contracts/chat.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };

import { chunkFrames } from "./chunksOf.ts";
import { refusalOf } from "./refusal.ts";
import { makeAnswerStream } from "./streamReply.ts";

const DONE = Completion.parse(fixture);
const KIB = 1_024;
const piece = (seq: number, said: string): TokenMessage => ({ type: "token.v1", run: "a", seq, tier: "small", model: "m", deltas: [{ text: said }] });

function start() {
  const opened: { body: Readable; first: TokenMessage | Completion }[] = [];
  const stream = makeAnswerStream({ frames: chunkFrames({ requestId: "r-1", created: 7, includeUsage: false }, { explain: false }), open: (body, first) => void opened.push({ body, first }) });
  const body = () => opened[0]?.body ?? never();
  return { stream, opened, body };
}
function never(): never {
  throw new Error("nothing was written");
}
interface Frame { readonly choices?: readonly { readonly delta: { readonly content?: string } }[]; readonly error?: { readonly code: string } }
const framesOf = (sent: string) => sent.split("\n\n").filter((frame) => frame.startsWith("data: {")).map((frame) => JSON.parse(frame.slice(6)) as Frame);
const contentOf = (sent: string) => framesOf(sent).map(({ choices }) => choices?.[0]?.delta.content ?? "").join("");

describe("a stream", () => {
  it("writes nothing before there is a piece or the outcome, so that a failure can be the whole reply", () => {
    const { stream, opened } = start();
    expect(stream.fail(refusalOf({ code: "internal", message: "m" }))).toBe(false);
    expect(opened).toEqual([]);
  });

  it("opens once, with what came first", async () => {
    const { stream, opened, body } = start();
    stream.onPiece(piece(0, "spam"));
    stream.end(DONE);
    expect(opened.map(({ first }) => first.type)).toEqual(["token.v1"]);
    const sent = await text(body());
    expect([contentOf(sent), sent.endsWith("data: [DONE]\n\n")]).toEqual(["spam 🌍", true]);
  });

  it("keeps little for a reader that does not read, and gives it the rest from the stored event", async () => {
    const { stream, body } = start();
    const said = Array.from({ length: 64 }, (_, i) => `${i}`.padEnd(16 * KIB, "x"));
    said.forEach((one, seq) => { stream.onPiece(piece(seq, one)); });
    expect(body().readableLength).toBeLessThan(300 * KIB);
    stream.end({ ...DONE, output: said.join("") });
    const sent = await text(body());
    expect(contentOf(sent)).toBe(said.join(""));
    expect(sent.endsWith("data: [DONE]\n\n")).toBe(true);
  });

  it("never ends cleanly when what was shown is not the answer", async () => {
    const { stream, body } = start();
    stream.onPiece(piece(0, "ham"));
    stream.end(DONE);
    const sent = await text(body());
    expect([framesOf(sent).at(-1)?.error?.code, sent.includes("[DONE]"), sent.includes('"finish_reason":"stop"')]).toEqual(["stream_broken", false, false]);
  });

  it("writes nothing to a reader that left", () => {
    const { stream, body } = start();
    stream.onPiece(piece(0, "spam"));
    body().destroy();
    stream.onPiece(piece(1, " "));
    stream.end(DONE);
  });
});

describe("keep-alive", () => {
  beforeEach(() => { vi.useFakeTimers(); });
  afterEach(() => { vi.useRealTimers(); });
  it("comes every 10 s between the first piece and the end", () => {
    const { stream, body } = start();
    vi.advanceTimersByTime(30_000);
    stream.onPiece(piece(0, "spam"));
    vi.advanceTimersByTime(25_000);
    stream.end(DONE);
    vi.advanceTimersByTime(30_000);
    expect(String(body().read()).split(": keep-alive\n\n")).toHaveLength(3);
  });

  it("ends with the call", () => {
    const { stream } = start();
    stream.onPiece(piece(0, "spam"));
    stream.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});

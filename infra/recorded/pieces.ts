/** An answer in the pieces in which it is streamed: each word with the space before it, then each call by its beginning and some characters of its arguments at a time. Pure. */
import type { RecordedCall } from "./recordedAnswers.ts";

export interface SaidAnswer {
  readonly text: string;
  readonly calls: readonly RecordedCall[];
}
export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "call"; readonly index: number; readonly call: RecordedCall }
  /** Of the call with this index. */
  | { readonly kind: "arguments"; readonly index: number; readonly text: string };

/** Concatenated, they are the text. */
export const wordsOf = (text: string): string[] => text.match(/\s*\S+|\s+$/g) ?? [];
/** About a token each; concatenated, they are the arguments, which often have no space at all. */
const fragmentsOf = (text: string): string[] => text.match(/.{1,4}/gsu) ?? [];

const textPiece = (text: string): Piece => ({ kind: "text", text });
const callPieces = (call: RecordedCall, index: number): Piece[] => [{ kind: "call", index, call }, ...fragmentsOf(call.arguments).map((text): Piece => ({ kind: "arguments", index, text }))];

export const piecesOf = ({ text, calls }: SaidAnswer): Piece[] => [...wordsOf(text).map(textPiece), ...calls.flatMap(callPieces)];

/** The text of these pieces, and their calls as far as their arguments go; no call that has not begun. */
export function joined(pieces: readonly Piece[]): SaidAnswer {
  const argumentsOf = (at: number) => pieces.map((piece) => (piece.kind === "arguments" && piece.index === at ? piece.text : "")).join("");
  return {
    text: pieces.map((piece) => (piece.kind === "text" ? piece.text : "")).join(""),
    calls: pieces.flatMap((piece) => (piece.kind === "call" ? [{ ...piece.call, arguments: argumentsOf(piece.index) }] : [])),
  };
}

export interface CutAnswer {
  readonly pieces: readonly Piece[];
  readonly finishReason: "stop" | "length" | "tool_calls";
}

/**
 * What is left of an answer after the first stop sequence in its text and all that follows are taken away (the piece it
 * begins in is shortened), and then at most `mostPieces` (`null`: all) are kept; `length` when that took something.
 */
export function cutAnswer({ text, calls }: SaidAnswer, stops: readonly string[], mostPieces: number | null): CutAnswer {
  const ends = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  const pieces = ends.length === 0 ? piecesOf({ text, calls }) : wordsUpTo(wordsOf(text), Math.min(...ends)).map(textPiece);
  if (mostPieces !== null && pieces.length > mostPieces) return { pieces: pieces.slice(0, mostPieces), finishReason: "length" };
  return { pieces, finishReason: pieces.some(({ kind }) => kind === "call") ? "tool_calls" : "stop" };
}

/** Keeps the borders of the whole text's words: the count stays comparable. */
function wordsUpTo(words: readonly string[], end: number): string[] {
  const kept: string[] = [];
  let at = 0;
  for (const word of words) {
    if (at >= end) break;
    kept.push(word.slice(0, end - at));
    at += word.length;
  }
  return kept;
}

/** A text in the pieces in which it is streamed: each word with the space before it. Pure. */

/** Concatenated, they are the text. */
export const piecesOf = (text: string): string[] => text.match(/\s*\S+|\s+$/g) ?? [];

export interface CutText {
  readonly pieces: readonly string[];
  readonly finishReason: "stop" | "length";
}

/**
 * What is left of a text after its first stop sequence and all that follows are taken away (the piece it begins in is
 * shortened), and then at most `mostPieces` (`null`: all) are kept; `length` when that took something.
 */
export function cutText(text: string, stops: readonly string[], mostPieces: number | null): CutText {
  const ends = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  const pieces = piecesUpTo(piecesOf(text), Math.min(text.length, ...ends));
  const isTooLong = mostPieces !== null && pieces.length > mostPieces;
  return { pieces: isTooLong ? pieces.slice(0, mostPieces) : pieces, finishReason: isTooLong ? "length" : "stop" };
}

/** Keeps the borders of the whole text's pieces: the count stays comparable. */
function piecesUpTo(pieces: readonly string[], end: number): string[] {
  const kept: string[] = [];
  let at = 0;
  for (const piece of pieces) {
    if (at >= end) break;
    kept.push(piece.slice(0, end - at));
    at += piece.length;
  }
  return kept;
}

/** How alike two texts look, in [0, 1]: the cosine of the counts of their three-letter pieces. For comparison: no answer is given for it. Pure. */
export function textSimilarity(one: string, other: string): number {
  const [first, second] = [piecesOf(one), piecesOf(other)];
  let product = 0;
  for (const [piece, count] of first) product += count * (second.get(piece) ?? 0);
  const lengthOf = (pieces: ReadonlyMap<string, number>) => Math.hypot(...pieces.values());
  return product / (lengthOf(first) * lengthOf(second));
}

function piecesOf(text: string): Map<string, number> {
  const padded = `  ${text.normalize("NFC").toLowerCase().replaceAll(/\s+/g, " ").trim()}  `;
  const pieces = new Map<string, number>();
  for (let i = 0; i + 3 <= padded.length; i++) pieces.set(padded.slice(i, i + 3), (pieces.get(padded.slice(i, i + 3)) ?? 0) + 1);
  return pieces;
}

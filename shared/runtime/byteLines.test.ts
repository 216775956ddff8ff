import { expect, it } from "vitest";

import { byteLines, isBlankLine } from "./byteLines.ts";

async function linesOf(chunks: readonly string[], mostLineBytes = 100): Promise<string[]> {
  async function* source(): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) yield await Promise.resolve(Buffer.from(chunk, "latin1"));
  }
  const found: string[] = [];
  for await (const line of byteLines(source(), mostLineBytes)) found.push(line.toString());
  return found;
}
const bytesOf = (text: string): string => Buffer.from(text).toString("latin1");

it.each<[string, string[], string[]]>([
  ["lines within and over chunks", ["a\nb", "c\n", "d"], ["a", "bc", "d"]],
  ["the end of a last line is no line of its own to a reader who leaves blank ones out", ["a\n"], ["a", ""]],
  ["a character that is cut in two", [bytesOf("ä").slice(0, 1), `${bytesOf("ä").slice(1)}\n`], ["ä", ""]],
  ["no other separator cuts", [bytesOf("a\u2028b\u2029c\u0085d\re\n")], ["a\u2028b\u2029c\u0085d\re", ""]],
])("%s", async (_what, chunks, lines) => {
  expect(await linesOf(chunks)).toEqual(lines);
});

it("ends at a line that is too long, and holds no more of it", async () => {
  expect(await linesOf(["ab\n", "cccc", "dddd", "e\nf"], 5)).toEqual(["ab", "ccccdddd"]);
});

it("white space of JSON alone is blank", () => {
  expect(["", " \t\r", "\u00a0", "\f", "a"].map((text) => isBlankLine(Buffer.from(text)))).toEqual([true, true, false, false, false]);
});

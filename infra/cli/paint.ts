/** Colours of a terminal (SGR), and text that cannot control one. Pure. */
import { stripVTControlCharacters } from "node:util";

import type { Screen } from "./screen.ts";

const CODES = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39], cyan: [36, 39], inverse: [7, 27] } as const;
export type Style = keyof typeof CODES;
export type Paint = (style: Style, text: string) => string;

export const paintFor = ({ hasColours }: Pick<Screen, "hasColours">): Paint => (style, text) => {
  const [on, off] = CODES[style];
  return hasColours && text !== "" ? `\u001b[${on}m${text}\u001b[${off}m` : text;
};

/** Characters that it takes on a terminal, for text of one column per character. */
export const widthOf = (text: string): number => stripVTControlCharacters(text).length;

/** What others wrote, as model servers do in their errors: on one line, and no character of it moves the cursor or sets a colour. */
export const printable = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, " ").trim();

/** Its beginning, where it has more than so many columns; colours end with it. */
export function cut(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  let kept = "", left = Math.max(0, columns - 1);
  for (const [part] of text.matchAll(/\u001b\[\d+m|[^\u001b]/gu)) {
    if (part.startsWith("\u001b")) kept += part;
    else if (left > 0) {
      kept += part;
      left -= 1;
    }
  }
  return columns > 0 ? `${kept}…` : "";
}

/** Lines of at most so many columns, broken between words; a longer word has a line of its own. Text without colours. */
export function wrapped(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

import { badInputs } from "./allBadInputs.ts";
import type { BadInput } from "./badInput.ts";

/** A cell of a table must not end early. */
const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");
const link = (file: string): string => `[${file.split("/").at(-1) ?? file}](../${file})`;

function row({ id, input, expected, tests, note }: BadInput): string {
  const files = [...new Set(tests.map(({ file }) => file))];
  return `| ${id} | ${cell(input)} | ${cell(expected)}${note === undefined ? "" : `. ${cell(note)}`} | ${files.map(link).join(", ")} |`;
}

/** Of docs/bad-inputs.md. */
export const badInputsTable = (): string =>
  badInputs().map(({ title, inputs }) => [`## ${title}`, "", "| id | input | answer | tests |", "|---|---|---|---|", ...inputs.map(row)].join("\n")).join("\n\n");

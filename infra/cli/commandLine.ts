import type { ParsedArguments } from "./command.ts";

/** As it can be typed into a shell again. Pure. */
export function commandLine(verb: string, values: ParsedArguments["values"], positionals: readonly string[] = []): string {
  const options = Object.entries(values).flatMap(([name, value]) => (value === undefined || value === false ? [] : [value].flat().map((one) => (one === true ? `--${name}` : `--${name} ${quoted(String(one))}`))));
  return ["inferctl", verb, ...options, ...positionals.map(quoted)].join(" ");
}

const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

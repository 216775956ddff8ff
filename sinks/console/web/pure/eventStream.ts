/** Server-sent events out of pieces of text, as far as this page needs them: names and data. */
export interface ServerEvent {
  readonly event: string;
  readonly data: string;
}

/** Gives the events that a piece completes; what is left of it waits for the next. */
export function makeEventReader(): (piece: string) => ServerEvent[] {
  let rest = "";
  return (piece) => {
    const blocks = (rest + piece).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop() ?? "";
    return blocks.flatMap(eventIn);
  };
}

function eventIn(block: string): ServerEvent[] {
  const lines = block.split("\n").map((line) => /^(event|data): ?(.*)$/.exec(line));
  const values = (field: string) => lines.flatMap((match) => (match?.[1] === field ? [match[2] ?? ""] : []));
  const data = values("data").join("\n");
  return data === "" ? [] : [{ event: values("event").at(-1) ?? "message", data }];
}

/** Before the try after so many failed ones, in milliseconds. */
export const backOffMs = (failures: number): number => Math.min(30_000, 1_000 * 2 ** Math.min(failures, 10));

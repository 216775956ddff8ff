/** What a command may know of where its results go. */
import type { Environment } from "#infra/embedded/homeFolder.ts";

export interface Screen {
  readonly isTerminal: boolean;
  readonly hasColours: boolean;
  /** Characters in a line; of a terminal as wide as it is at this moment. */
  readonly columns: () => number;
}

/** Of a file or a pipe: as wide as a report may well be. */
const PLAIN_COLUMNS = 120;
export const PLAIN_SCREEN: Screen = { isTerminal: false, hasColours: false, columns: () => PLAIN_COLUMNS };

/** Colours on a terminal alone, and there unless NO_COLOR (https://no-color.org) or TERM=dumb says otherwise. */
export function screenOf(stream: { readonly isTTY?: boolean; readonly columns?: number }, environment: Environment): Screen {
  if (stream.isTTY !== true) return PLAIN_SCREEN;
  return { isTerminal: true, hasColours: !environment["NO_COLOR"] && environment["TERM"] !== "dumb", columns: () => stream.columns ?? 80 };
}

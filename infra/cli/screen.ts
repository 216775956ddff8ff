/** What a command may know of where its results go. */
import type { Environment } from "#infra/embedded/homeFolder.ts";

export interface Screen {
  /** For a view that is drawn again and again. `null`: results go to a file or a pipe. */
  readonly terminal: Terminal | null;
  readonly hasColours: boolean;
  /** Characters in a line; of a terminal as wide as it is at this moment. */
  readonly columns: () => number;
}

/** Whoever listens gets a function that ends it. */
export interface Terminal {
  readonly rows: () => number;
  readonly write: (text: string) => void;
  readonly onResize: (listener: () => void) => () => void;
  /** What is typed, as it is typed, and not shown. */
  readonly onKey: (listener: (key: string) => void) => () => void;
}

/** Of a file or a pipe: as wide as a report may well be. */
const PLAIN_COLUMNS = 120;
export const PLAIN_SCREEN: Screen = { terminal: null, hasColours: false, columns: () => PLAIN_COLUMNS };

interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  readonly write: (text: string) => unknown;
  readonly on: (event: "resize", listener: () => void) => unknown;
  readonly off: (event: "resize", listener: () => void) => unknown;
}

/** Colours on a terminal alone, and there unless NO_COLOR (https://no-color.org) or TERM=dumb says otherwise. */
export function screenOf(output: Output, input: NodeJS.ReadStream, environment: Environment): Screen {
  if (output.isTTY !== true) return PLAIN_SCREEN;
  return { terminal: terminalOf(output, input), hasColours: hasColours(environment), columns: () => output.columns ?? 80 };
}

export const hasColours = (environment: Environment): boolean => !environment["NO_COLOR"] && environment["TERM"] !== "dumb";

const terminalOf = (output: Output, input: NodeJS.ReadStream): Terminal => ({
  rows: () => output.rows ?? 24,
  write: (text) => void output.write(text),
  onResize: (listener) => {
    output.on("resize", listener);
    return () => void output.off("resize", listener);
  },
  onKey: (listener) => {
    if (!input.isTTY) return () => undefined;
    const take = (typed: Buffer): void => { listener(typed.toString("utf8")); };
    input.setRawMode(true);
    input.on("data", take);
    input.resume();
    return () => {
      input.off("data", take);
      input.setRawMode(false);
      input.pause();
    };
  },
});

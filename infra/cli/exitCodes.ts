/** What a command ended with, for scripts: the one list. `inferctl --help` and docs/cli.md are made from it. */

/** The results are written, or shown, and not all of it is as it should be. */
export const EXIT_INCOMPLETE = 2;
/** As `systemctl status` does when something is not running. */
export const EXIT_NOT_RUNNING = 3;
/** The doctor found something that does not work. */
export const EXIT_PROBLEMS = 4;
/** EX_USAGE. */
export const EXIT_USAGE = 64;
/** EX_DATAERR: what was given to read is not what it should be. */
export const EXIT_DATA = 65;
/** EX_NOINPUT: what was given to read is not there. */
export const EXIT_NO_INPUT = 66;
/** EX_UNAVAILABLE: where 1 says something else, what cannot be reached. */
export const EXIT_UNAVAILABLE = 69;
/** EX_CONFIG. */
const EXIT_CONFIG = 78;

export const EXIT_CODES: readonly { readonly code: string; readonly meaning: string }[] = [
  { code: "0", meaning: "done; of `doctor`, `prices check` and `reconcile`: nothing is wrong, though there may be warnings" },
  { code: "1", meaning: "it failed, and standard error says why and what to do next; of `prices check` and `reconcile`: a price is wrong, or something differs" },
  { code: String(EXIT_INCOMPLETE), meaning: "`submit` and `demo`: the results are there, and not all of it is as it should be" },
  { code: String(EXIT_NOT_RUNNING), meaning: "`status`: something does not run or is not ready, or nothing was started" },
  { code: String(EXIT_PROBLEMS), meaning: "`doctor`: something is a problem" },
  { code: String(EXIT_USAGE), meaning: "what was typed makes no command, or names what is not there" },
  { code: String(EXIT_DATA), meaning: "`replay` and `export`: a file cannot be used, or with `--strict` something in the source could not be read" },
  { code: String(EXIT_NO_INPUT), meaning: "`replay` and `export`: a file is not there, or may not be read" },
  { code: String(EXIT_UNAVAILABLE), meaning: "a server cannot be reached (`budgets`, `dlq`, `export`, `reconcile`, `replay`, `trace`)" },
  { code: String(EXIT_CONFIG), meaning: "a variable or a file of the configuration cannot be used" },
  { code: "129, 130, 143", meaning: "ended by a signal: 128 and its number (hang-up, Ctrl-C, `kill`)" },
];

/** A file of fault runs, a line of JSON each: what was interrupted goes on where it was, and a table of many hours is made of several sittings. */
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";

import type { CaseReport } from "./runCase.ts";

/** Of code, machine and Node that made a line. */
export interface Origin {
  readonly commit: string;
  readonly machine: string;
}
export interface JournalLine extends Origin {
  readonly report: CaseReport;
}

export function originOf(): Origin {
  const git = (...args: string[]) => execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  let commit = "unknown";
  try {
    commit = git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain", "--untracked-files=no") === "" ? "" : " with changes");
  } catch { /* no checkout: an unpacked archive */ }
  return { commit, machine: `${cpus().length} x ${cpus()[0]?.model.trim() ?? "unknown processor"}, Node ${process.versions.node}` };
}

/** @throws what is wrong with a line, and which. A file that is not there has none. */
export function readJournal(file: string): JournalLine[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8").split("\n").flatMap((line, i) => {
    if (line === "") return [];
    try {
      return [JSON.parse(line) as JournalLine];
    } catch (error) {
      throw new Error(`${file}, line ${i + 1}, is no JSON: take it out, and its run is made again`, { cause: error });
    }
  });
}

export const appendToJournal = (file: string, line: JournalLine): void => { appendFileSync(file, `${JSON.stringify(line)}\n`); };

/** `--resume`: where an interrupted run had come to, as a file. */
import { existsSync, readFileSync } from "node:fs";

import { z } from "zod";

import { replaceFile } from "#infra/embedded/replaceFile.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { describeIssues } from "#shared/contracts/describeIssues.ts";

import { EXIT_DATA, EXIT_USAGE } from "../command.ts";

const KeptPlace = z.strictObject({
  type: z.literal("replay_place.v1"),
  /** What was typed, without what does not change what is found: only the same goes on. */
  command: z.string(),
  cursor: z.string(),
  /** Events that were handed over by then. */
  read: z.int().nonnegative(),
  found: z.unknown(),
});
export type KeptPlace = Omit<z.infer<typeof KeptPlace>, "type">;

/** Throws `SetupError`: then the place that was kept before is still there. */
export function keepPlace(file: string, place: KeptPlace): void {
  try {
    replaceFile(file, `${JSON.stringify({ type: "replay_place.v1", ...place } satisfies z.infer<typeof KeptPlace>)}\n`);
  } catch (error) {
    throw new SetupError(`the place of this run cannot be kept in ${file}: ${error instanceof Error ? error.message : String(error)}`, "Nothing more is done without it. Name a file in a folder that you may write to, with room for it: --resume <file>.", { exitCode: EXIT_USAGE, cause: error });
  }
}

/** `null`: there is no such file, so that this run begins one. Throws `SetupError` for that of another run, or of none. */
export function readPlace(file: string, command: string): KeptPlace | null {
  if (!existsSync(file)) return null;
  const place = KeptPlace.safeParse(jsonIn(file));
  if (!place.success) throw new SetupError(`${file} keeps no place of a replay: ${describeIssues(place.error)}`, "Name the file that the interrupted run has told, or one that is not there yet.", { exitCode: EXIT_DATA });
  if (place.data.command !== command) throw new SetupError(`${file} keeps the place of another run: ${place.data.command}`, "Repeat that one, or name another file.", { exitCode: EXIT_USAGE });
  return place.data;
}

function jsonIn(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new SetupError(`${file} cannot be read: ${String(error)}`, "Name the file that the interrupted run has told, or one that is not there yet.", { exitCode: EXIT_DATA, cause: error });
  }
}

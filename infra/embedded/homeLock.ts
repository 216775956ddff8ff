/** One `up` or `down` at a time in one INFER_HOME. The lock of a process that is gone counts for nothing. */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { identify, isRunning, ProcessIdentity } from "./processIdentity.ts";
import { SetupError } from "./setupError.ts";
import { waitUntil } from "./waitUntil.ts";

const DEADLINE_MS = 180_000;

/** Waits for its turn; `onWait` says whom for, once. */
export async function withHomeLock<T>(root: string, onWait: (line: string) => void, run: () => Promise<T>, deadlineMs: number = DEADLINE_MS): Promise<T> {
  const file = join(root, "lock");
  let hasSaid = false;
  const take = (): Promise<true | undefined> => {
    const holder = takeOrHolder(file);
    if (holder === undefined) return Promise.resolve(true);
    if (!hasSaid) onWait(`another inferctl (pid ${holder.pid}) is at work here: waiting for it`);
    hasSaid = true;
    return Promise.resolve(undefined);
  };
  await waitUntil(take, { deadlineMs, everyMs: 100, describe: () => `another inferctl holds ${file}` }).catch((err: unknown) => {
    throw new SetupError(err instanceof Error ? err.message : String(err), "Wait for it to end, or end it, and try again.");
  });
  try {
    return await run();
  } finally {
    rmSync(file, { force: true });
  }
}

/** Undefined when the lock is ours now. A link to a complete file is atomic and never half written. */
function takeOrHolder(file: string): ProcessIdentity | undefined {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(identify(process.pid)));
  try {
    linkSync(draft, file);
    return undefined;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== "EEXIST") throw err;
    const holder = readHolder(file);
    if (holder !== undefined && isRunning(holder)) return holder;
    removeStale(file, draft);
    return takeOrHolder(file);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Another one may have removed it and taken the lock meanwhile: what was moved away is looked at again. */
function removeStale(file: string, draft: string): void {
  const moved = `${draft}.stale`;
  try {
    renameSync(file, moved);
    const holder = readHolder(moved);
    if (holder !== undefined && isRunning(holder)) linkSync(moved, file);
  } catch (err) {
    if (!["ENOENT", "EEXIST"].includes((err as NodeJS.ErrnoException).code ?? "")) throw err;
  } finally {
    rmSync(moved, { force: true });
  }
}

function readHolder(file: string): ProcessIdentity | undefined {
  try {
    return ProcessIdentity.safeParse(JSON.parse(readFileSync(file, "utf8"))).data;
  } catch {
    return undefined;
  }
}

/**
 * Where the embedded set-up keeps things. Everything is below INFER_HOME (`.infer` in the project), with two exceptions:
 * the temp folder when the project cannot be written, and /var/lib for Postgres when this is root and Postgres, which
 * refuses uid 0 and so runs as another user, cannot get through to the project (a home of mode 700).
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, chmodSync, chownSync, constants, existsSync, mkdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

import { SetupError } from "./setupError.ts";

export const PROJECT_NAME = "cost-aware-inference-optimizer";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Home {
  /** Of the clone: holds package.json, node_modules and dist. */
  readonly project: string;
  readonly root: string;
  readonly data: string;
  readonly logs: string;
  /** Programs that were unpacked or copied, kept for the next start. */
  readonly servers: string;
  readonly stateFile: string;
  /** Of `INFER_SECRET`, where nobody sets it. */
  readonly secretFile: string;
  /** Of `INFER_SNAPSHOT_KEYS`, where nobody sets them. */
  readonly snapshotKeysFile: string;
}

/** Another user for a child process. Only root can ask for it. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

/** `nobody` on Debian and on most others; it needs no entry in passwd for what initdb does as long as root spawns it. */
const NOBODY: RunAs = { uid: 65_534, gid: 65_534 };

/** Who runs Postgres: undefined is whoever we are. */
export const postgresUser = (): RunAs | undefined => (process.getuid?.() === 0 ? NOBODY : undefined);

/** The folder above this file that has a package.json, in the sources as in `dist/`. */
export function projectFolder(from: string = import.meta.dirname): string {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json"))) return folder;
    if (folder === dirname(folder)) throw new Error(`no package.json above ${from}`);
  }
}

/** Makes the folder. A relative INFER_HOME counts from the project, so `up` and `down` agree wherever they are called. */
export function openHome(environment: Environment, project: string = projectFolder()): Home {
  const named = environment["INFER_HOME"];
  const wanted = resolve(project, named === undefined || named === "" ? ".infer" : named);
  if (isWritable(wanted)) return homeAt(wanted, project);
  if (named !== undefined && named !== "") throw new SetupError(`INFER_HOME=${named} cannot be written`, "Set INFER_HOME to a folder that you can write.", { exitCode: 78 });
  return homeAt(privateTempFolder(project), project);
}

/** `preferred`, or a folder of this home's own below /var/lib or the temp folder when `user` cannot get into it. Made if missing. */
export function folderFor(user: RunAs | undefined, preferred: string, { root }: Pick<Home, "root">, name: string): string {
  const tried = [preferred];
  if (isWritable(preferred) && (user === undefined || canEnter(preferred, user))) return preferred;
  for (const base of ["/var/lib", tmpdir()]) {
    const parts = [PROJECT_NAME, shortHash(root), name].map((_, i, all) => join(base, ...all.slice(0, i + 1)));
    const folder = parts.at(-1) ?? base;
    tried.push(folder);
    if (!isWritable(folder)) continue;
    for (const part of parts) if (isOurs(part)) chmodSync(part, 0o711); // whatever the umask left
    if (user === undefined || canEnter(folder, user)) return folder;
  }
  throw new SetupError(`there is no folder that Postgres (uid ${user?.uid ?? process.getuid?.() ?? "?"}) could reach: tried ${tried.join(", ")}`, "Run this as a normal user, or set DATABASE_URL.");
}

/** Gives the folder itself (not what is in it) to `user`. */
export function giveTo(user: RunAs | undefined, folder: string): void {
  if (user === undefined) return;
  chownSync(folder, user.uid, user.gid);
  chmodSync(folder, 0o700);
}

const shortHash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 10);

/** Asked of the kernel rather than read from mode bits: access lists and mounts count too. */
function canEnter(folder: string, user: RunAs): boolean {
  try {
    execFileSync("/bin/sh", ["-c", 'cd -- "$1"', "sh", folder], { ...user, cwd: "/", stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function homeAt(root: string, project: string): Home {
  const home = { project, root, data: join(root, "data"), logs: join(root, "logs"), servers: join(root, "servers"), stateFile: join(root, "state.json"), secretFile: join(root, "secret"), snapshotKeysFile: join(root, "snapshot-keys") };
  for (const folder of [home.data, home.logs, home.servers]) mkdirSync(folder, { recursive: true });
  return home;
}

/** The name can be guessed, so the folder must be ours: another user may have made it first. */
function privateTempFolder(project: string): string {
  const uid = process.getuid?.();
  const folder = join(tmpdir(), `${PROJECT_NAME}-${uid ?? "user"}-${shortHash(project)}`);
  if (!isWritable(folder) || !isOurs(folder)) {
    throw new SetupError(`neither the project folder ${project} nor ${folder} can be written`, "Set INFER_HOME to a folder that you can write.");
  }
  return folder;
}

function isOurs(folder: string): boolean {
  const uid = process.getuid?.();
  return uid === undefined || statSync(folder).uid === uid;
}

function isWritable(folder: string): boolean {
  try {
    accessSync(madeFolder(folder), constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function madeFolder(folder: string): string {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  return folder;
}

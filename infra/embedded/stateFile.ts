/**
 * What `up` has started, so that `down`, `status` and the next `up` know it. One file, replaced as a whole, so that a
 * reader never sees half of it. It is a note, not a fact: every process in it is checked by pid and start time before use.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";

import { z } from "zod";

import { ProcessIdentity } from "./processIdentity.ts";
import { replaceFile } from "./replaceFile.ts";
import { ServerInfo } from "./serverInfo.ts";

/** One process of ours; with `--single-process` it has the addresses of all roles. */
export const RoleProcess = z.strictObject({
  name: z.string(),
  addresses: z.array(z.strictObject({ role: z.string(), url: z.string() })).min(1),
  logFile: z.string(),
  /** Of the program and the settings it was started with: when it differs, the process is out of date. */
  fingerprint: z.string(),
  /** Hash by name, of the build and of every setting: says which of them differ. */
  startedWith: z.record(z.string(), z.string()).default({}),
  process: ProcessIdentity,
});
export type RoleProcess = Readonly<z.infer<typeof RoleProcess>>;

export const State = z.strictObject({ version: z.literal(1), servers: z.array(ServerInfo), roles: z.array(RoleProcess) });
export type State = z.infer<typeof State>;

export const EMPTY_STATE: State = { version: 1, servers: [], roles: [] };

/** Nothing started, or a file that nobody can read any more: both count as empty. */
export function readState(file: string): State {
  if (!existsSync(file)) return EMPTY_STATE;
  try {
    return State.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return EMPTY_STATE;
  }
}

/** Removes the file when nothing is left to note. */
export function writeState(file: string, state: State): void {
  if (state.servers.length === 0 && state.roles.length === 0) {
    rmSync(file, { force: true });
    return;
  }
  replaceFile(file, `${JSON.stringify(state, null, 2)}\n`);
}

/** Replaces the entry of the same service, or adds it. */
export const withServer = (state: State, server: ServerInfo): State => ({
  ...state,
  servers: [...state.servers.filter(({ service }) => service !== server.service), server],
});

export const withRole = (state: State, role: RoleProcess): State => ({ ...state, roles: [...state.roles.filter(({ name }) => name !== role.name), role] });

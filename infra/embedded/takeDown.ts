/** `down`: ends what `up` has started and nothing else. Roles first, so that they can still settle what they run. Data stay. */
import { readSettings } from "./settings.ts";
import { killAfterMs } from "./bringUp.ts";
import type { Environment, Home } from "./homeFolder.ts";
import { withHomeLock } from "./homeLock.ts";
import { endProcess, type ProcessIdentity } from "./processIdentity.ts";
import type { Progress } from "./progress.ts";
import { readState, writeState } from "./stateFile.ts";

export interface Ended {
  readonly name: string;
  readonly pid: number;
  /** `gone`: it had ended before. `killed`: it did not end in time. */
  readonly outcome: "gone" | "ended" | "killed";
}

const SERVER_KILL_AFTER_MS = 10_000;

/** Safe to repeat. Empty when nothing was started. */
export async function takeDown({ home, environment, progress }: { home: Home; environment: Environment; progress: Progress }): Promise<Ended[]> {
  return withHomeLock(home.root, progress.note, async () => {
    const { servers, roles } = readState(home.stateFile);
    const ended: Ended[] = [];
    const end = async (name: string, identity: ProcessIdentity, signal: NodeJS.Signals, graceMs: number): Promise<void> => {
      ended.push({ name, pid: identity.pid, outcome: await endProcess(identity, signal, graceMs) });
    };
    const graceMs = killAfterMs(graceOf(environment, home));
    const endRoles = () => Promise.all(roles.map((role) => end(role.name, role.process, "SIGTERM", graceMs)));
    if (roles.length > 0) await progress.step(`ending roles: ${roles.map(({ name }) => name).join(", ")}`, endRoles);
    writeState(home.stateFile, { version: 1, servers, roles: [] });
    const ours = servers.flatMap((server) => (server.process === undefined ? [] : [{ name: server.service, identity: server.process }]));
    const endServers = () => Promise.all(ours.map(({ name, identity }) => end(name, identity, name === "postgres" ? "SIGINT" : "SIGTERM", SERVER_KILL_AFTER_MS)));
    if (ours.length > 0) await progress.step(`ending servers: ${ours.map(({ name }) => name).join(", ")}`, endServers);
    writeState(home.stateFile, { version: 1, servers: [], roles: [] });
    return ended;
  });
}

/** A bad setting must not keep anybody from stopping. */
function graceOf(environment: Environment, home: Home): number {
  try {
    return readSettings(environment, home).shutdownGraceMs;
  } catch {
    return 0;
  }
}

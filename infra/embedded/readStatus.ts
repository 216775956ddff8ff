/** `status`: what the state file says, checked against the machine. */
import { withoutPassword } from "./locateServer.ts";
import { probeServer } from "./probeServer.ts";
import { isRunning } from "./processIdentity.ts";
import type { ServerInfo } from "./runningServer.ts";
import { readinessOf } from "./startRoles.ts";
import type { RoleProcess, State } from "./stateFile.ts";

/** A line of the table that `up` and `status` print. */
export interface StatusLine {
  readonly name: string;
  readonly url: string;
  readonly pid: number | null;
  /** Provider and version of a server, program of a role. */
  readonly what: string;
  readonly logFile: string | null;
  /** `ready`, `not running`, or what keeps it from working. */
  readonly state: string;
}

export const linesOf = async ({ servers, roles }: Pick<State, "servers" | "roles"> | { servers: readonly ServerInfo[]; roles: readonly RoleProcess[] }): Promise<StatusLine[]> =>
  (await Promise.all([...servers.map(serverLine), ...roles.flatMap(roleLines)])).sort((a, b) => rank(a) - rank(b));

/** Servers above roles, each in the order in which they were noted. */
const rank = ({ url }: StatusLine): number => (url.startsWith("http") ? 1 : 0);

async function serverLine({ service, url, provider, version, logFile, process: identity }: ServerInfo): Promise<StatusLine> {
  const state = identity !== undefined && !isRunning(identity) ? "not running" : await probeServer(service, url).then(() => "ready", (err: unknown) => (err instanceof Error ? err.message : String(err)));
  return { name: service, url: withoutPassword(url), pid: identity?.pid ?? null, what: `${provider} ${version}`, logFile: logFile ?? null, state };
}

function roleLines({ name, addresses, logFile, process: identity }: RoleProcess): Promise<StatusLine>[] {
  return addresses.map(async ({ role, url }) => ({
    name: role, url, pid: identity.pid, what: role === name ? "process" : name, logFile,
    state: isRunning(identity) ? await readinessOf(url) : "not running",
  }));
}

/** `status`: what the state file says, checked against the machine. */
import type { Environment } from "./homeFolder.ts";
import { withoutPassword } from "./locateServer.ts";
import { loginUrl } from "./loginUrl.ts";
import { natsLogin } from "./natsLogin.ts";
import { probeServer } from "./probeServer.ts";
import { isRunning } from "./processIdentity.ts";
import type { ServerInfo } from "./serverInfo.ts";
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

export const linesOf = async ({ servers, roles }: Pick<State, "servers" | "roles"> | { servers: readonly ServerInfo[]; roles: readonly RoleProcess[] }, environment: Environment = {}): Promise<StatusLine[]> =>
  (await Promise.all([...servers.map((server) => serverLine(server, environment)), ...roles.flatMap(roleLines)])).sort((a, b) => rank(a) - rank(b));

/** Servers above roles, each in the order in which they were noted. */
const rank = ({ url }: StatusLine): number => (url.startsWith("http") ? 1 : 0);

async function serverLine(server: ServerInfo, environment: Environment): Promise<StatusLine> {
  const { service, url, provider, version, logFile, process: identity } = server;
  const probe = async () => probeServer(service, loginUrl(server), natsLogin(server, environment));
  const state = identity !== undefined && !isRunning(identity) ? "not running" : await probe().then(() => "ready", (err: unknown) => (err instanceof Error ? err.message : String(err)));
  return { name: service, url: withoutPassword(url), pid: identity?.pid ?? null, what: `${provider} ${version}`, logFile: logFile ?? null, state };
}

function roleLines({ name, addresses, logFile, process: identity }: RoleProcess): Promise<StatusLine>[] {
  return addresses.map(async ({ role, url }) => ({
    name: role, url, pid: identity.pid, what: role === name ? "process" : name, logFile,
    state: isRunning(identity) ? await readinessOf(url, identity.pid) : "not running",
  }));
}

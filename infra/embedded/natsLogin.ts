/** Who the command line is to a NATS server that asks for users: `admin`. */
import { readFileSync } from "node:fs";

import { inboxOf } from "#shared/messaging/topology.ts";
import { readNatsSeed } from "#shared/runtime/natsSeed.ts";

import type { Environment } from "./homeFolder.ts";
import type { ServerInfo } from "./serverInfo.ts";
import { SetupError } from "./setupError.ts";

/** Who asks a NATS server that has users. */
export interface NatsLogin {
  readonly nkeySeed: string;
  readonly inboxPrefix: string;
}
/** Read when it is needed: a seed may have been made anew meanwhile. */
export const adminLogin = (seedFile: string | undefined): NatsLogin | undefined =>
  seedFile === undefined ? undefined : adminWith(readFileSync(seedFile, "utf8").trim());
const adminWith = (nkeySeed: string): NatsLogin => ({ nkeySeed, inboxPrefix: inboxOf("admin") });

/** Of a server that was started here, or else what the environment names. Undefined for an open one, and for other services. */
export const natsLogin = (server: Pick<ServerInfo, "service" | "seedFile" | "process"> | undefined, environment: Environment): NatsLogin | undefined => {
  if (server !== undefined && server.service !== "nats") return undefined;
  return server?.process === undefined ? givenLogin(environment) : adminLogin(server.seedFile);
};

/** Throws a `SetupError` for a seed that cannot be used. */
export function givenLogin(environment: Environment): NatsLogin | undefined {
  const read = readNatsSeed("admin", environment, process.cwd());
  if ("problem" in read) throw new SetupError(read.problem, "Correct it, or unset the variable.", { exitCode: 78 });
  return read.seed === undefined ? undefined : adminWith(read.seed);
}

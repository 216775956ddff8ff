/** The users of the server that `up` starts here, and how it learns of a change. */
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from "node:fs";

import type { Home } from "#infra/embedded/homeFolder.ts";
import { signalProcess } from "#infra/embedded/processIdentity.ts";
import { replaceFile } from "#infra/embedded/replaceFile.ts";
import type { ServerInfo } from "#infra/embedded/serverInfo.ts";
import type { Settings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { type NatsUsers, usersFileIn } from "#infra/embedded/startNats.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { servedBy } from "#shared/contracts/tiers.ts";
import { seedFileIn } from "#shared/runtime/natsSeed.ts";

import { makeRoleUsers, userFilesIn } from "./natsUsers.ts";
import { serverUsers } from "./serverUsers.ts";
import { readUsers } from "./userList.ts";

type OfSettings = Pick<Settings, "prefix" | "tiers">;
export const tierNames = ({ tiers }: OfSettings): string[] => servedBy(tiers).map(({ name }) => name);

/** With a user for every role: what is missing is made. */
export function ownUsers({ root }: Pick<Home, "root">, settings: OfSettings): NatsUsers {
  const files = userFilesIn(root);
  makeRoleUsers(files, tierNames(settings), { now: () => new Date() });
  return { config: serverUsers(readUsers(files.list).users, { prefix: settings.prefix, tiers: tierNames(settings) }), seedFile: seedFileIn(files.seeds, "admin") };
}

/** What the server has read of its users; undefined when it is not ours or open. */
export const usersOf = ({ dataDir, seedFile }: ServerInfo): string | undefined =>
  dataDir === undefined || seedFile === undefined || !existsSync(usersFileIn(dataDir)) ? undefined : readFileSync(usersFileIn(dataDir), "utf8");

const RELOADED_WITHIN_MS = 10_000;
/** What an account imports that comes with a reload works from the next one on only: 2.10.27 and 2.15.1 answer "no responders" until then. */
const RELOADS = 2;

/** Resolves once the server goes by it: connections of users that are gone are closed by then. Throws a `SetupError`, and the file is as before. */
export async function reloadUsers({ dataDir, logFile, process: identity }: ServerInfo, config: string): Promise<void> {
  if (dataDir === undefined || logFile === undefined || identity === undefined) throw new Error("this NATS server was not started here");
  const file = usersFileIn(dataDir);
  const before = readFileSync(file, "utf8");
  replaceFile(file, config);
  try {
    for (let time = 0; time < RELOADS; time++) {
      const from = statSync(logFile).size;
      if (!signalProcess(identity, "SIGHUP")) return; // it reads them when it starts
      const said = () => Promise.resolve(/Reloaded server configuration|[Ff]ailed to reload.*/.exec(textAfter(logFile, from))?.[0]);
      const outcome = await waitUntil(said, { deadlineMs: RELOADED_WITHIN_MS, everyMs: 10, describe: () => "the NATS server does not say that it has read its users again" });
      if (!outcome.startsWith("Reloaded")) throw new Error(outcome);
    }
  } catch (error) {
    replaceFile(file, before);
    throw new SetupError(`the NATS server did not take its users: ${error instanceof Error ? error.message : String(error)}`, `Read ${logFile}. The list has the change; the server is told again with: inferctl nats-users config`, { cause: error });
  }
}

function textAfter(file: string, from: number): string {
  const opened = openSync(file, "r");
  try {
    const rest = Buffer.alloc(Math.max(0, statSync(file).size - from));
    readSync(opened, rest, 0, rest.length, from);
    return rest.toString("utf8");
  } finally {
    closeSync(opened);
  }
}

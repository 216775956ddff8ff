/** Who `replay` and `export` are to a NATS server that asks for users: one that may read COMPLETIONS, and for the modes `live` and `shadow` one that may publish requests or shadow jobs too. Never `admin`. */
import { existsSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

import type { Environment, Home } from "#infra/embedded/homeFolder.ts";
import type { NatsLogin } from "#infra/embedded/natsLogin.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { readState } from "#infra/embedded/stateFile.ts";
import type { COMMAND_USERS } from "#shared/messaging/permissions.ts";
import { inboxOf } from "#shared/messaging/topology.ts";
import { readNatsSeed, seedFileIn } from "#shared/runtime/natsSeed.ts";

export type ReplayUser = (typeof COMMAND_USERS)[number];

/** Undefined for a server that lets everybody in. Throws a `SetupError` where the user has no seed. */
export function replayLogin(environment: Environment, home: Pick<Home, "stateFile">, user: ReplayUser): NatsLogin | undefined {
  const own = environment["NATS_URL"] ? undefined : readState(home.stateFile).servers.find(({ service }) => service === "nats");
  if (own?.process === undefined) return given(environment, user);
  if (own.seedFile === undefined) return undefined;
  const file = seedFileIn(dirname(own.seedFile), user);
  if (!existsSync(file)) throw new SetupError(`the NATS server has no user ${user} yet`, "Make it: inferctl nats-users init; it was started by an earlier release.");
  return loginOf(user, readFileSync(file, "utf8").trim());
}

function given(environment: Environment, user: ReplayUser): NatsLogin | undefined {
  const read = readNatsSeed(user, environment, process.cwd());
  if ("problem" in read) throw new SetupError(read.problem, `The user is ${user}: inferctl nats-users init makes it, and NATS_NKEY_SEED_FILE names its seed, or the folder of all.`, { exitCode: 78 });
  return read.seed === undefined ? undefined : loginOf(user, read.seed);
}

const loginOf = (user: ReplayUser, nkeySeed: string): NatsLogin => ({ nkeySeed, inboxPrefix: inboxOf(user) });

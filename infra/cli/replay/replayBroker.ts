/** The connection of a replay mode that writes, with the one NATS user that may do so. */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";

import type { NatsConnection } from "@nats-io/transport-node";

import { type Environment, type Home, openHome } from "#infra/embedded/homeFolder.ts";
import type { NatsLogin } from "#infra/embedded/natsLogin.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { readState } from "#infra/embedded/stateFile.ts";
import { AppError } from "#shared/contracts/errors.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import { connectNats, permissionViolation } from "#shared/messaging/connect.ts";
import { type BrokerConnection, brokerOver } from "#shared/messaging/openBroker.ts";
import { inboxOf } from "#shared/messaging/topology.ts";
import { readNatsSeed, seedFileIn } from "#shared/runtime/natsSeed.ts";

import { EXIT_UNAVAILABLE } from "../command.ts";
import { serverUrl } from "../serverUrl.ts";

export type WritingUser = "replay-live" | "replay-shadow";
export interface ReplayBroker extends BrokerConnection {
  readonly nats: NatsConnection;
  readonly prefix: string;
  readonly tierFile: TierFile;
}

/** On the server that the environment names or that `inferctl up` started. Throws a `SetupError`. */
export async function withReplayBroker<T>(environment: Environment, user: WritingUser, use: (broker: ReplayBroker) => Promise<T>): Promise<T> {
  const home = openHome(environment);
  const { prefix, tiers: tierFile } = readSettings(environment, home);
  const login = loginAs(user, environment, home);
  const nats = await connectNats({ url: serverUrl("nats", environment, home), name: user, ...login }).catch((error: unknown) => { throw unreachable("NATS", error); });
  try {
    const broker = await brokerOver(nats, prefix, undefined, login?.inboxPrefix).catch((error: unknown) => { throw unreachable("JetStream", error); });
    return await use({ ...broker, prefix, tierFile }).finally(() => broker.acks.close());
  } catch (error) {
    throw explained(error, user);
  } finally {
    await nats.close();
  }
}

/** Undefined for an open server. */
function loginAs(user: WritingUser, environment: Environment, home: Home): NatsLogin | undefined {
  const started = environment["NATS_URL"] ? undefined : readState(home.stateFile).servers.find(({ service }) => service === "nats");
  if (started?.process !== undefined) return started.seedFile === undefined ? undefined : { nkeySeed: readFileSync(seedFileIn(dirname(started.seedFile), user), "utf8").trim(), inboxPrefix: inboxOf(user) };
  const read = readNatsSeed(user, environment, process.cwd());
  if ("problem" in read) throw new SetupError(read.problem, "Correct it, or unset the variable.", { exitCode: 78 });
  return read.seed === undefined ? undefined : { nkeySeed: read.seed, inboxPrefix: inboxOf(user) };
}

const unreachable = (what: string, cause: unknown) =>
  new SetupError(`${what} cannot be reached: ${cause instanceof Error ? cause.message : String(cause)}`, "Is it up, with its streams? See: inferctl status. With --resume the same run goes on.", { exitCode: EXIT_UNAVAILABLE, cause });

function explained(error: unknown, user: WritingUser): unknown {
  const violation = permissionViolation(error);
  if (violation !== null) return new SetupError(`the NATS user of this command may not ${violation.operation} ${violation.subject}`, `Give it the seed of ${user}: inferctl nats-users`, { cause: error });
  return error instanceof AppError && error.isOutage ? unreachable(error.message, error.cause ?? error) : error;
}

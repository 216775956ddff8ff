/** The connection of a replay mode that writes, with the one NATS user that may do so. */
import type { NatsConnection } from "@nats-io/transport-node";

import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { AppError } from "#shared/contracts/errors.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import { connectNats, permissionViolation } from "#shared/messaging/connect.ts";
import { type BrokerConnection, brokerOver } from "#shared/messaging/openBroker.ts";

import { EXIT_UNAVAILABLE } from "../command.ts";
import { serverUrl } from "../serverUrl.ts";
import { replayLogin, type ReplayUser } from "./replayLogin.ts";

export interface ReplayBroker extends BrokerConnection {
  readonly nats: NatsConnection;
  readonly prefix: string;
  readonly tierFile: TierFile;
}

/** On the server that the environment names or that `inferctl up` started. Throws a `SetupError`. */
export async function withReplayBroker<T>(environment: Environment, user: ReplayUser, use: (broker: ReplayBroker) => Promise<T>): Promise<T> {
  const home = openHome(environment);
  const { prefix, tiers: tierFile } = readSettings(environment, home);
  const login = replayLogin(environment, home, user);
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

const unreachable = (what: string, cause: unknown) =>
  new SetupError(`${what} cannot be reached: ${cause instanceof Error ? cause.message : String(cause)}`, "Is it up, with its streams? See: inferctl status. With --resume the same run goes on.", { exitCode: EXIT_UNAVAILABLE, cause });

function explained(error: unknown, user: ReplayUser): unknown {
  const violation = permissionViolation(error);
  if (violation !== null) return new SetupError(`the NATS user of this command may not ${violation.operation} ${violation.subject}`, `Give it the seed of ${user}: inferctl nats-users`, { cause: error });
  return error instanceof AppError && error.isOutage ? unreachable(error.message, error.cause ?? error) : error;
}

import type { Environment, Home } from "#infra/embedded/homeFolder.ts";
import { type NatsLogin, natsLogin } from "#infra/embedded/natsLogin.ts";
import { readState } from "#infra/embedded/stateFile.ts";

/** As `serverUrl` chooses: who this command is to that NATS server. Throws a `SetupError` for a seed that cannot be used. */
export const loginFor = (environment: Environment, home: Home): NatsLogin | undefined =>
  natsLogin(environment["NATS_URL"] ? undefined : readState(home.stateFile).servers.find(({ service }) => service === "nats"), environment);

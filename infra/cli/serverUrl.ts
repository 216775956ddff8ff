/** Which server a command works on: the one that the environment names, or else the one that `up` has started here. */
import { type Environment, type Home, openHome } from "#infra/embedded/homeFolder.ts";
import { loginUrl } from "#infra/embedded/loginUrl.ts";
import { SERVICES, type ServiceName } from "#infra/embedded/services.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { readState } from "#infra/embedded/stateFile.ts";

/** With its owner's password, where it has one: never to be shown. Throws a `SetupError` when there is neither. A default address is not tried: it may be somebody else's server. */
export function serverUrl(service: ServiceName, environment: Environment, home: Home): string {
  const { urlVariable, title } = SERVICES[service];
  const named = environment[urlVariable];
  if (named !== undefined && named !== "") return named;
  const started = readState(home.stateFile).servers.find((server) => server.service === service);
  if (started === undefined) throw new SetupError(`which ${title}? None was started here and ${urlVariable} is not set`, `Set ${urlVariable}, or start one with: inferctl up`);
  return loginUrl(started);
}

/** Of a role that `up` has started here. Throws a `SetupError` when it has not. */
export function roleUrl(role: string, environment: Environment): string {
  const url = readState(openHome(environment).stateFile).roles.flatMap(({ addresses }) => addresses).find((address) => address.role === role)?.url;
  if (url === undefined) throw new SetupError(`which ${role}? None was started here`, `${role === "gateway" ? "Name it with --url, or start one with" : "Start one with"}: inferctl up`);
  return url;
}

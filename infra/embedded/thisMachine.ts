/** The real machine for `locateServer`, and the look-up of all three servers, done once per process. */
import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";

import { aptRoot, type EmbeddedProgram } from "./aptRoot.ts";
import { type Environment, type Home, postgresUser } from "./homeFolder.ts";
import { locateServer, type Machine } from "./locateServer.ts";
import { givenLogin } from "./natsLogin.ts";
import { npmPostgres } from "./npmPostgres.ts";
import { probeServer } from "./probeServer.ts";
import { runProgram } from "./runProgram.ts";
import { parseVersion } from "./serverVersion.ts";
import { type Located, type ServerBinary, type Service, type ServiceName, SERVICES } from "./services.ts";
import { SetupError } from "./setupError.ts";

export interface LocateOptions {
  readonly environment: Environment;
  readonly home: Home;
  readonly onProgress?: ((line: string) => void) | undefined;
}

const located = new Map<string, Promise<Located>>();

/** One server, wherever it comes from. Repeated calls in one process share one look-up, a failed one too. */
async function locate(service: ServiceName, options: LocateOptions): Promise<Located> {
  return lookUp(service, options, true);
}

/** A program to start a server of one's own from, whatever the URL variables say. */
export async function locateBinary(service: ServiceName, options: LocateOptions): Promise<ServerBinary> {
  const found = await lookUp(service, options, false);
  if (found.provider === "url") throw new Error(`asked for a program of ${service}, got a URL`);
  return found;
}

/** Several at once, or one error that holds every failure. In the order asked for. */
export async function locateAll(services: readonly ServiceName[], options: LocateOptions): Promise<Located[]> {
  const results = await Promise.allSettled(services.map((service) => locate(service, options)));
  const failures = results.flatMap((result): unknown[] => (result.status === "rejected" ? [result.reason] : []));
  if (failures.length > 0) throw allFailures(failures);
  return results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
}

function allFailures(failures: unknown[]): unknown {
  if (failures.length === 1 || !failures.every((failure) => failure instanceof SetupError)) return failures.find((failure) => !(failure instanceof SetupError)) ?? failures[0];
  return new SetupError(failures.map(({ message }) => message).join("\n"), [...new Set(failures.map(({ nextStep }) => nextStep))].join("\n"), { cause: new AggregateError(failures) });
}

function lookUp(service: ServiceName, options: LocateOptions, acceptUrl: boolean): Promise<Located> {
  const { urlVariable, binaryVariable } = SERVICES[service];
  const key = [service, String(acceptUrl), options.home.root, ...[urlVariable, binaryVariable, "PATH"].map((name) => options.environment[name] ?? "")].join("\n");
  const known = located.get(key);
  if (known !== undefined) return known;
  const fresh = locateServer(service, thisMachine(options), { acceptUrl });
  located.set(key, fresh);
  return fresh;
}

function thisMachine({ environment, home, onProgress = () => undefined }: LocateOptions): Machine {
  return {
    environment,
    onProgress,
    join,
    exists: existsSync,
    foldersWith: (service) => searchFolders(service, environment).filter((folder) => holds(folder, service)),
    versionAt: (service, url) => probeServer(service, url, service === "nats" ? givenLogin(environment) : undefined),
    versionOf,
    embedded: async (service) =>
      service === "postgres" ? { path: join(await npmPostgres(home, postgresUser(), onProgress), "postgres") } : aptRoot(service, home, environment, onProgress),
  };
}

/** As the user who will run it: root may read what Postgres' user cannot. */
async function versionOf(service: ServiceName, { path, libraryPath }: EmbeddedProgram): Promise<string> {
  const user = service === "postgres" ? postgresUser() : undefined;
  const env: Record<string, string> = libraryPath === undefined ? {} : { LD_LIBRARY_PATH: libraryPath };
  const printed = await runProgram(path, ["--version"], { user, env });
  const version = parseVersion(printed);
  if (version === undefined) throw new Error(`${path} --version printed "${printed}"`);
  return version;
}

function searchFolders(service: Service, environment: Environment): string[] {
  const onPath = (environment["PATH"] ?? "").split(":").filter(isAbsolute);
  return [...new Set([...onPath, ...service.otherFolders.flatMap(expandStar)])];
}

// Each version's folder, newest first.
function expandStar(pattern: string): string[] {
  const [before, after] = pattern.split("*");
  if (before === undefined || after === undefined) return [pattern];
  if (!existsSync(before)) return [];
  const versions = readdirSync(dirname(`${before}x`)).filter((name) => /^\d+(\.\d+)?$/.test(name));
  return versions.sort((a, b) => Number(b) - Number(a)).map((version) => `${before}${version}${after}`);
}

function holds(folder: string, service: Service): boolean {
  return [service.program, ...service.besides].every((program) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

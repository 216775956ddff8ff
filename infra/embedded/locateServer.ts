/**
 * Where a server comes from. First hit wins: a URL in the environment, a named program, a program found on this machine,
 * the embedded one. What somebody named is never replaced by something else: missing, unreachable or too old is an error
 * there, while a found program that is too old only costs a line.
 */
import type { EmbeddedProgram } from "./aptRoot.ts";
import type { Environment } from "./homeFolder.ts";
import { isAtLeast } from "./serverVersion.ts";
import { type GivenServer, type Located, type ServerBinary, type Service, type ServiceName, SERVICES } from "./services.ts";
import { SetupError } from "./setupError.ts";

/** What the choice needs from the machine. */
export interface Machine {
  readonly environment: Environment;
  /** Folders that hold all programs of the service, best first. */
  readonly foldersWith: (service: Service) => string[];
  readonly join: (folder: string, program: string) => string;
  readonly exists: (path: string) => boolean;
  /** Runs it with `--version`; throws when it does not run. */
  readonly versionOf: (service: ServiceName, program: EmbeddedProgram) => Promise<string>;
  /** Connects; throws when it does not answer. */
  readonly versionAt: (service: ServiceName, url: string) => Promise<string>;
  /** Fetches if need be; throws with the reason. */
  readonly embedded: (service: ServiceName) => Promise<EmbeddedProgram>;
  readonly onProgress: (line: string) => void;
}

/** Throws a `SetupError` that names everything that was tried. `acceptUrl: false` is for a server that has to be ours. */
export async function locateServer(name: ServiceName, machine: Machine, { acceptUrl }: { acceptUrl: boolean }): Promise<Located> {
  const service = SERVICES[name];
  const url = valueOf(machine, service.urlVariable);
  if (url !== undefined && acceptUrl) return givenServer(name, url, machine);
  const named = valueOf(machine, service.binaryVariable);
  if (named !== undefined) return namedBinary(name, named, machine);
  const tried = [`${service.urlVariable}: ${url === undefined ? "not set" : "not used here, this server has to be started and stopped"}`, `${service.binaryVariable}: not set`];
  return (await foundBinary(name, machine, tried)) ?? (await embeddedBinary(name, machine, tried));
}

async function givenServer(name: ServiceName, url: string, machine: Machine): Promise<GivenServer> {
  const { title, minimumVersion, urlVariable } = SERVICES[name];
  const next = `Correct ${urlVariable}, or unset it and the set-up starts a ${title} itself.`;
  const version = await machine.versionAt(name, url).catch((err: unknown) => {
    throw new SetupError(`${urlVariable}: no usable ${title} at ${withoutPassword(url)}: ${reasonOf(err)}`, next, { cause: err });
  });
  if (!isAtLeast(version, minimumVersion)) throw new SetupError(`${urlVariable}: ${title} ${version} is too old, ${minimumVersion} or newer is needed`, next);
  return { service: name, provider: "url", version, url };
}

async function namedBinary(name: ServiceName, named: string, machine: Machine): Promise<ServerBinary> {
  const { title, minimumVersion, binaryVariable, program, besides } = SERVICES[name];
  const next = `Correct ${binaryVariable}, or unset it and the set-up finds or brings a ${title} itself.`;
  const isFolder = name === "postgres";
  const path = isFolder ? machine.join(named, program) : named;
  const missing = (isFolder ? [program, ...besides].map((one) => machine.join(named, one)) : [named]).find((file) => !machine.exists(file));
  if (missing !== undefined) throw new SetupError(`${binaryVariable}=${named}: there is no ${missing}`, next);
  const version = await machine.versionOf(name, { path }).catch((err: unknown) => {
    throw new SetupError(`${binaryVariable}=${named} does not run: ${reasonOf(err)}`, next, { cause: err });
  });
  if (!isAtLeast(version, minimumVersion)) throw new SetupError(`${binaryVariable}=${named} is version ${version}; ${minimumVersion} or newer is needed`, next);
  return { service: name, provider: "named", version, path };
}

async function foundBinary(name: ServiceName, machine: Machine, tried: string[]): Promise<ServerBinary | undefined> {
  const service = SERVICES[name];
  const folders = machine.foldersWith(service);
  if (folders.length === 0) tried.push(`${[service.program, ...service.besides].join(" and ")} on PATH, ${service.otherFolders.join(", ")}: not there`);
  for (const folder of folders) {
    const path = machine.join(folder, service.program);
    try {
      const version = await machine.versionOf(name, { path });
      if (isAtLeast(version, service.minimumVersion)) return { service: name, provider: "found", version, path };
      tried.push(`${path}: version ${version} is too old`);
      machine.onProgress(`${path} is version ${version}, too old (${service.minimumVersion} or newer is needed): looking further`);
    } catch (err) {
      tried.push(`${path}: does not run: ${reasonOf(err)}`);
    }
  }
  return undefined;
}

async function embeddedBinary(name: ServiceName, machine: Machine, tried: string[]): Promise<ServerBinary> {
  const { title, minimumVersion, hint } = SERVICES[name];
  try {
    const program = await machine.embedded(name);
    const version = await machine.versionOf(name, program);
    if (isAtLeast(version, minimumVersion)) return { service: name, provider: "embedded", version, ...program };
    tried.push(`embedded: version ${version} is too old`);
  } catch (err) {
    tried.push(`embedded: ${reasonOf(err)}`);
  }
  const list = tried.map((line) => `  ${line.replaceAll("\n", "\n    ")}`).join("\n");
  throw new SetupError(`${title} ${minimumVersion}+ not found. Tried:\n${list}`, hint);
}

/** An empty variable counts as not set, as in most shells' idioms. */
function valueOf(machine: Machine, variable: string): string | undefined {
  const value = machine.environment[variable];
  return value === "" ? undefined : value;
}

export function withoutPassword(url: string): string {
  if (!URL.canParse(url)) return url;
  const shown = new URL(url);
  if (shown.password !== "") shown.password = "***";
  return shown.href;
}

const reasonOf = (err: unknown): string => (err instanceof Error && err.message !== "" ? err.message : String(err));

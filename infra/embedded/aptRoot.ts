/**
 * NATS, Redis and, for tests, Prometheus, libfaketime and shells from the machine's own apt, unpacked into a private folder by `apt-root.sh`: no root rights, nothing of
 * the system changed. Done once; a second start finds the folder and needs no network.
 */
import { existsSync, readdirSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";

import type { Environment, Home } from "./homeFolder.ts";
import { runProgram } from "./runProgram.ts";

export interface EmbeddedProgram {
  readonly path: string;
  readonly libraryPath?: string;
}

const PROGRAM_IN_ROOT = { nats: "usr/sbin/nats-server", redis: "usr/bin/redis-server" } as const;
export type AptService = keyof typeof PROGRAM_IN_ROOT;

/** apt needs 3-10 s here; slow mirrors may take minutes. */
const TIMEOUT_MS = 300_000;

/** Throws with the reason in the words of apt. `onProgress` is called only when something is fetched. */
export async function aptRoot(service: AptService, home: Home, environment: Environment, onProgress: (line: string) => void): Promise<EmbeddedProgram> {
  const root = join(home.servers, service);
  const path = join(root, PROGRAM_IN_ROOT[service]);
  if (!existsSync(path)) {
    onProgress(`fetching ${service === "nats" ? "nats-server" : "redis-server"} with apt into ${root}`);
    await unpack(service, root, home, environment);
  }
  const libraryPath = service === "redis" ? libraryFolders(root).join(":") : "";
  return libraryPath === "" ? { path } : { path, libraryPath };
}

/** The library that a program is preloaded with to have its clock set wrong. Throws as `aptRoot` does. */
export async function libfaketime(home: Home, environment: Environment): Promise<string> {
  const root = join(home.servers, "faketime");
  if (!existsSync(join(root, "usr"))) await unpack("faketime", root, home, environment);
  const file = readdirSync(root, { recursive: true, encoding: "utf8" }).find((name) => name.endsWith("/libfaketimeMT.so.1"));
  if (file === undefined) throw new Error(`${root} has no libfaketimeMT.so.1`);
  return join(root, file);
}

export interface PrometheusPrograms {
  readonly prometheus: string;
  readonly promtool: string;
}
/** Those of the machine where both are on its PATH. Throws as `aptRoot` does. */
export async function prometheusPrograms(home: Home, environment: Environment, onProgress: (line: string) => void): Promise<PrometheusPrograms> {
  const inFolder = (folder: string) => ({ prometheus: join(folder, "prometheus"), promtool: join(folder, "promtool") });
  const onPath = (environment["PATH"] ?? "").split(":").filter(isAbsolute).map(inFolder).find((programs) => Object.values(programs).every((path) => existsSync(path)));
  if (onPath !== undefined) return onPath;
  const root = join(home.servers, "prometheus");
  const programs = inFolder(join(root, "usr/bin"));
  if (!existsSync(programs.prometheus)) {
    onProgress(`fetching prometheus with apt into ${root}`);
    await unpack("prometheus", root, home, environment);
  }
  return programs;
}

export interface ShellProgram extends EmbeddedProgram {
  /** Below which its modules and functions are; empty for one of the machine, which finds them by itself. */
  readonly root: string;
}
/** That of the machine where it is on its PATH. Throws as `aptRoot` does. */
export async function shellProgram(name: "zsh" | "fish", home: Home, environment: Environment, onProgress: (line: string) => void): Promise<ShellProgram> {
  const onPath = (environment["PATH"] ?? "").split(":").filter(isAbsolute).map((folder) => join(folder, name)).find((path) => existsSync(path));
  if (onPath !== undefined) return { path: onPath, root: "" };
  const root = join(home.servers, name);
  if (!existsSync(root)) {
    onProgress(`fetching ${name} with apt into ${root}`);
    await unpack(name, root, home, environment);
  }
  const path = ["bin", "usr/bin"].map((folder) => join(root, folder, name)).find((one) => existsSync(one));
  if (path === undefined) throw new Error(`${root} has no ${name}`);
  return { path, root, libraryPath: libraryFolders(root).join(":") };
}

async function unpack(what: AptService | "prometheus" | "faketime" | "zsh" | "fish", root: string, home: Home, environment: Environment): Promise<void> {
  if (!existsSync("/usr/bin/apt-get") || !existsSync("/usr/bin/dpkg-deb")) throw new Error("this machine has no apt");
  const script = join(home.project, "infra", "embedded", "apt-root.sh");
  await runProgram("/bin/sh", [script, what, root], { cwd: home.root, env: aptEnvironment(environment), timeoutMs: TIMEOUT_MS });
}

/** apt honours proxy variables beside its own configuration. */
function aptEnvironment(environment: Environment): Record<string, string> {
  const kept: Record<string, string> = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && /^(HOME|TMPDIR|.*_proxy)$/i.test(name)) kept[name] = value;
  }
  return kept;
}

function libraryFolders(root: string): string[] {
  const files = readdirSync(root, { recursive: true, encoding: "utf8" });
  return [...new Set(files.filter((file) => /\.so(\.|$)/.test(file)).map((file) => dirname(join(root, file))))].sort();
}

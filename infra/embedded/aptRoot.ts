/**
 * NATS and Redis from the machine's own apt, unpacked into a private folder by `apt-root.sh`: no root rights, nothing of
 * the system changed. Done once; a second start finds the folder and needs no network.
 */
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

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
    if (!existsSync("/usr/bin/apt-get") || !existsSync("/usr/bin/dpkg-deb")) throw new Error("this machine has no apt");
    onProgress(`fetching ${service === "nats" ? "nats-server" : "redis-server"} with apt into ${root}`);
    const script = join(home.project, "infra", "embedded", "apt-root.sh");
    await runProgram("/bin/sh", [script, service, root], { cwd: home.root, env: aptEnvironment(environment), timeoutMs: TIMEOUT_MS });
  }
  const libraryPath = service === "redis" ? libraryFolders(root).join(":") : "";
  return libraryPath === "" ? { path } : { path, libraryPath };
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

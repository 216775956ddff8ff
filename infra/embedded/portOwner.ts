/** Who listens on a port of this machine, as the kernel knows it. Linux only. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const LISTENING = "0A";

/**
 * Whether the process has a listening socket on the port. Two programs that start at the same moment can both find a
 * port free; the one that fails to bind it must not take the other's answer for its own. True where it cannot be known.
 */
export function ownsPort(pid: number, port: number): boolean {
  const inodes = listeningInodes(port);
  if (inodes === undefined) return true;
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => inodes.has(socketOf(`/proc/${pid}/fd/${fd}`)));
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === "EACCES"; // another user's process: its sockets are not shown to us
  }
}

function socketOf(link: string): string {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(link))?.[1] ?? "";
  } catch {
    return ""; // closed meanwhile
  }
}

function listeningInodes(port: number): Set<string> | undefined {
  const found = new Set<string>();
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    let lines: string[];
    try {
      lines = readFileSync(table, "utf8").split("\n").slice(1);
    } catch {
      continue;
    }
    for (const line of lines) {
      const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
      if (state === LISTENING && local.endsWith(suffix)) found.add(inode);
    }
  }
  return process.platform === "linux" ? found : undefined;
}

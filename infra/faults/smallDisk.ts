/** A disk of some MiB that can be filled: a tmpfs, which takes root to mount. A run that is killed leaves it mounted. */
import { execFileSync } from "node:child_process";
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, truncateSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SmallDisk {
  readonly folder: string;
  /** Nothing more than that many bytes fits on it, rounded down to pages. */
  readonly fill: (leftBytes: number) => void;
  readonly free: () => void;
  readonly freeBytes: () => number;
  readonly unmount: () => void;
}

/** `null`: it can. Else why not. */
export function whyNoSmallDisk(): string | null {
  if (process.getuid?.() !== 0) return "it takes root to mount a small disk";
  const folder = mkdtempSync(join(tmpdir(), "infer-disk-"));
  try {
    mountSmallDisk(folder, 2 ** 20).unmount();
    return null;
  } catch (error) {
    return `a small disk cannot be mounted here: ${error instanceof Error ? error.message.split("\n")[0] ?? "" : String(error)}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const CHUNK_BYTES = 64 * 1_024;

/** Makes the folder, where there is none. */
export function mountSmallDisk(folder: string, bytes: number): SmallDisk {
  mkdirSync(folder, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes},mode=0755`, "tmpfs", folder], { stdio: "pipe" });
  chmodSync(folder, 0o755);
  const ballast = join(folder, "ballast");
  let isMounted = true;
  const unmount = () => {
    if (!isMounted) return;
    isMounted = false;
    process.off("exit", unmount);
    execFileSync("umount", ["-l", folder], { stdio: "pipe" });
  };
  process.once("exit", unmount);
  return {
    folder, unmount,
    fill(leftBytes) {
      const size = fillFile(ballast);
      truncateSync(ballast, Math.max(0, size - leftBytes));
    },
    free: () => { if (isMounted) rmSync(ballast, { force: true }); },
    freeBytes() {
      const { bavail, bsize } = statfsSync(folder);
      return bavail * bsize;
    },
  };
}

/** Its bytes, when nothing more fits. */
function fillFile(file: string): number {
  const descriptor = openSync(file, "a");
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let size = 0;
  try {
    for (;;) size += writeSync(descriptor, chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    return size;
  } finally {
    closeSync(descriptor);
  }
}

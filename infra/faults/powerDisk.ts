/**
 * A disk that can lose its power: ext4 in a file behind a loop device, which takes root. What the kernel still holds in memory is not in the file, so a copy
 * of the file is what a power loss would have left: all that was fsynced, and of the rest what happened to be written back. A run that is killed leaves it mounted.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface PowerDisk {
  readonly folder: string;
  /** All that was written so far is on it now. */
  readonly sync: () => void;
  /** Keeps what a power loss would leave at this moment. Nobody may write meanwhile. */
  readonly cutPower: () => void;
  /** It is mounted again with what was kept. Nobody may have a file of it open. */
  readonly restorePower: () => void;
  readonly unmount: () => void;
}

/** `null`: it can. Else why not. */
export function whyNoPowerDisk(): string | null {
  if (process.getuid?.() !== 0) return "it takes root to mount a disk of our own";
  const folder = mkdtempSync(join(tmpdir(), "infer-disk-"));
  try {
    mountPowerDisk(join(folder, "disk"), 2 ** 20).unmount();
    return null;
  } catch (error) {
    return `no file can be mounted as a disk here: ${error instanceof Error ? error.message.split("\n")[0] ?? "" : String(error)}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const run = (program: string, ...args: string[]): void => void execFileSync(program, args, { stdio: "pipe" });

/** Makes the folder; the disk is a file beside it. */
export function mountPowerDisk(folder: string, bytes: number): PowerDisk {
  const image = `${folder}.image`;
  const kept = `${image}.kept`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(image, "");
  truncateSync(image, bytes);
  run("mkfs.ext4", "-q", "-F", image);
  let isMounted = false;
  const mount = () => {
    run("mount", "-o", "loop", image, folder);
    isMounted = true;
  };
  const unmount = () => {
    process.off("exit", unmountLazily);
    if (isMounted) run("umount", folder);
    isMounted = false;
  };
  const unmountLazily = () => { if (isMounted) run("umount", "-l", folder); };
  mount();
  process.once("exit", unmountLazily);
  return {
    folder, unmount,
    sync: () => { run("sync", "-f", folder); },
    cutPower: () => { copyFileSync(image, kept); },
    restorePower() {
      run("umount", folder);
      isMounted = false;
      renameSync(kept, image);
      mount();
    },
  };
}

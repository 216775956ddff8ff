import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

import { ENVIRONMENT } from "./environment.ts";

/** For anybody: to read or to write; for a group: to write. A group may read, as where Kubernetes mounts a secret. */
export const OPEN_TO_OTHERS = 0o027;

/**
 * The seed of a role's NATS user, undefined when none is named. A problem names the variable or the file and what to do, and
 * never quotes a seed. A relative path counts from `folder`.
 */
export function readNatsSeed(role: string, environment: NodeJS.ProcessEnv, folder: string): { readonly seed: string | undefined } | { readonly problem: string } {
  const { NATS_NKEY_SEED: seed, NATS_NKEY_SEED_FILE: named } = environment;
  if (seed && named) return { problem: "NATS_NKEY_SEED, NATS_NKEY_SEED_FILE: both are set; take one" };
  if (!named) return { seed: seed || undefined };
  const path = resolve(folder, named);
  return seedIn(existsSync(path) && statSync(path).isDirectory() ? seedFileIn(path, role) : path);
}

export const seedFileIn = (folder: string, role: string): string => join(folder, `${role}.nk`);

function seedIn(file: string): { readonly seed: string } | { readonly problem: string } {
  try {
    if ((statSync(file).mode & OPEN_TO_OTHERS) !== 0) return { problem: `${file}: others can read or change it, and it holds the seed of a NATS user: chmod 600 ${file}` };
    const { success, data } = ENVIRONMENT.NATS_NKEY_SEED.safeParse(readFileSync(file, "utf8").trim());
    return success && data !== undefined ? { seed: data } : { problem: `${file}: holds no seed of a NATS user: make one with inferctl nats-users` };
  } catch (error) {
    return { problem: `${file}: cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)}), and NATS_NKEY_SEED_FILE names it: make it with inferctl nats-users` };
  }
}

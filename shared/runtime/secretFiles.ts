import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";

import { OPEN_TO_OTHERS } from "./natsSeed.ts";

/** Variables that name a file with the value of another one, which would be seen in the environment otherwise. */
export const SECRET_FILES = {
  INFER_SECRET_FILE: "INFER_SECRET", INFER_SNAPSHOT_KEYS_FILE: "INFER_SNAPSHOT_KEYS", DATABASE_URL_FILE: "DATABASE_URL", REDIS_URL_FILE: "REDIS_URL",
} as const;
/** The variable that a file's value goes into; of any other variable itself. */
export const heldBy = (name: string): string => (SECRET_FILES as Readonly<Partial<Record<string, string>>>)[name] ?? name;
type Environment = Readonly<Record<string, string | undefined>>;

/** What Docker mounts here has the mode that its host or Swarm gave it, and nobody else is in the container. */
const MOUNTED = "/run/secrets/";

/**
 * The environment with the values of the files that it names, and without their names. A problem names the variable or the file and what to do, and never
 * quotes a value. A relative path counts from `folder`.
 */
export function withSecretFiles(environment: Environment, folder: string): { readonly environment: Record<string, string | undefined>; readonly problems: string[] } {
  const read: Record<string, string | undefined> = { ...environment };
  const problems: string[] = [];
  for (const [name, holds] of Object.entries(SECRET_FILES)) {
    const named = environment[name];
    if (!named) continue;
    const found = environment[holds] ? { problem: `${holds}, ${name}: both are set; take one` } : secretIn(resolve(folder, named), name);
    if ("problem" in found) problems.push(found.problem);
    else read[holds] = found.value;
    Reflect.deleteProperty(read, name);
  }
  return { environment: read, problems };
}

function secretIn(file: string, variable: string): { readonly value: string } | { readonly problem: string } {
  try {
    if (!file.startsWith(MOUNTED) && (statSync(file).mode & OPEN_TO_OTHERS) !== 0) return { problem: `${file}: others can read or change it, and ${variable} names it: chmod 600 ${file}` };
    const value = readFileSync(file, "utf8").trim();
    return value === "" ? { problem: `${file}: is empty, and ${variable} names it` } : { value };
  } catch (error) {
    return { problem: `${file}: cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)}), and ${variable} names it` };
  }
}

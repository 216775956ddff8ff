import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";

import type { BackendConfig } from "#shared/contracts/tiers.ts";

import { OPEN_TO_OTHERS } from "./natsSeed.ts";

/**
 * The key that a backend sends, without the white space around it; null when it needs none. A problem names the
 * variable or file, the tier (`name`) and what to do, and never quotes a key. A relative file counts from `folder`.
 */
export function readApiKey({ name, backend }: { readonly name: string; readonly backend: BackendConfig }, environment: NodeJS.ProcessEnv, folder: string): { readonly key: string | null } | { readonly problem: string } {
  const reference = "api_key" in backend ? backend.api_key : undefined;
  if (reference === undefined) return { key: null };
  if ("env" in reference) {
    const key = environment[reference.env]?.trim();
    return key ? { key } : { problem: `${reference.env}: not set, and tier ${name} takes its API key from there: export ${reference.env}=<key>` };
  }
  const file = resolve(folder, reference.file);
  try {
    if ((statSync(file).mode & OPEN_TO_OTHERS) !== 0) return { problem: `${file}: others can read or change it, and tier ${name} takes its API key from there: chmod 600 ${file}` };
    const key = readFileSync(file, "utf8").trim();
    return key === "" ? { problem: `${file}: empty, and tier ${name} takes its API key from there: put the key into it` } : { key };
  } catch (error) {
    return { problem: `${file}: cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)}), and tier ${name} takes its API key from there: put the key into it` };
  }
}

import { readFileSync } from "node:fs";

import type { Tier } from "#shared/contracts/tiers.ts";
import { readSecretVariable } from "#shared/runtime/loadConfig.ts";

import type { Backend } from "./backend.ts";
import { makeLocalBackend } from "./local/localBackend.ts";
import { makeOpenAiCompatible } from "./openAiCompatible.ts";

/** The backend that a tier names. Throws when its model or its key is missing, and says which. */
export async function makeBackend({ name, backend, prior }: Tier, localModelsDir: string): Promise<Backend> {
  switch (backend.kind) {
    case "local": return makeLocalBackend({ dir: localModelsDir, model: backend.model });
    case "openai-compatible": return makeOpenAiCompatible({ config: backend, apiKey: readKey(name, backend.api_key), priorQuality: prior.quality });
  }
}

function readKey(tier: string, reference: { env: string } | { file: string } | undefined): string | null {
  if (reference === undefined) return null;
  const key = ("env" in reference ? readSecretVariable(reference.env) : readFileSync(reference.file, "utf8"))?.trim();
  if (key) return key;
  throw new Error(`tier ${tier} has no API key: ${"env" in reference ? `set ${reference.env}` : `${reference.file} is empty`}`);
}

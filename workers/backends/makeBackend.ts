import type { Tier } from "#shared/contracts/tiers.ts";

import type { Backend } from "./backend.ts";
import { makeLocalBackend } from "./local/localBackend.ts";
import { makeOpenAiCompatible } from "./openAiCompatible.ts";

interface BackendOptions {
  readonly tier: Tier;
  readonly apiKey: string | null;
  readonly localModelsDir: string;
}

/** The backend that a tier names. Throws when its local model is missing, and says which. */
export async function makeBackend({ tier: { backend, prior }, apiKey, localModelsDir }: BackendOptions): Promise<Backend> {
  switch (backend.kind) {
    case "local": return makeLocalBackend({ dir: localModelsDir, model: backend.model });
    case "openai-compatible": return makeOpenAiCompatible({ config: backend, apiKey, priorQuality: prior.quality });
  }
}

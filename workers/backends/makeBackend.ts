import type { BackendConfig, Tier } from "#shared/contracts/tiers.ts";

import type { Backend } from "./backend.ts";
import { makeLocalBackend } from "./local/localBackend.ts";
import { makeOpenAiCompatible } from "./openAiCompatible.ts";

interface BackendOptions {
  readonly backend: BackendConfig;
  readonly prior: Tier["prior"];
  readonly apiKey: string | null;
  readonly localModelsDir: string;
}

/** The backend that a tier or one of its replicas names. Throws when its local model is missing, and says which. */
export async function makeBackend({ backend, prior, apiKey, localModelsDir }: BackendOptions): Promise<Backend> {
  switch (backend.kind) {
    case "local": return makeLocalBackend({ dir: localModelsDir, model: backend.model });
    case "openai-compatible": return makeOpenAiCompatible({ config: backend, apiKey, priorQuality: prior.quality });
  }
}

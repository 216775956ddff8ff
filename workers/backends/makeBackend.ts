import type { BackendConfig, Tier } from "#shared/contracts/tiers.ts";

import { makeAnthropic } from "./anthropic.ts";
import type { Backend } from "./backend.ts";
import { makeGemini } from "./gemini.ts";
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
    case "anthropic": return makeAnthropic({ config: backend, apiKey, priorQuality: prior.quality });
    case "gemini": return makeGemini({ config: backend, apiKey, priorQuality: prior.quality });
    case "openai-compatible": return makeOpenAiCompatible({ config: backend, apiKey, priorQuality: prior.quality });
  }
}

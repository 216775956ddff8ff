import { type Embed, type Input, isEmbed, type Prompt } from "#shared/contracts/chat.ts";
import type { BackendConfig, Tier } from "#shared/contracts/tiers.ts";
import type { Reach } from "#shared/reach/guardedAgent.ts";

import { makeAnthropic } from "./anthropic.ts";
import type { Backend, CallOptions } from "./backend.ts";
import { BackendError } from "./backendError.ts";
import { makeGemini } from "./gemini.ts";
import { makeLocalBackend } from "./local/localBackend.ts";
import { makeOnnxClassifier } from "./onnx/onnxClassifier.ts";
import { makeOpenAiCompatible } from "./openAiCompatible.ts";
import { makeOpenAiEmbeddings } from "./openAiEmbeddings.ts";

interface BackendOptions {
  readonly backend: BackendConfig;
  readonly prior: Tier["prior"];
  readonly apiKey: string | null;
  /** Where it may connect to. */
  readonly reach: Reach;
  readonly localModelsDir: string;
  /** Of the tier file: relative paths in it start there. */
  readonly tiersDir: string;
}

/** The backend that a tier or one of its replicas names. Throws when a model's file is missing, and says which. */
export async function makeBackend({ backend, prior, apiKey, reach, localModelsDir, tiersDir }: BackendOptions): Promise<Backend> {
  switch (backend.kind) {
    case "local": return answering(await makeLocalBackend({ dir: localModelsDir, model: backend.model }));
    case "onnx": return answering(await makeOnnxClassifier({ config: backend, dir: tiersDir }));
    case "anthropic": return answering(makeAnthropic({ config: backend, apiKey, priorQuality: prior.quality, reach }));
    case "gemini": return answering(makeGemini({ config: backend, apiKey, priorQuality: prior.quality, reach }));
    case "openai-compatible": return answering(makeOpenAiCompatible({ config: backend, apiKey, priorQuality: prior.quality, reach }));
    case "openai-embeddings": return embedding(makeOpenAiEmbeddings({ config: backend, apiKey, reach }));
  }
}

/** The tier file says who does what, and routers go by it: these say it to a job that an older router made. */
const answering = (backend: Backend<Prompt>): Backend => ({ ...backend, call: (input: Input, options: CallOptions) => (isEmbed(input) ? refuse("it answers, and makes no vectors") : backend.call(input, options)) });
const embedding = (backend: Backend<Embed>): Backend => ({ ...backend, call: (input: Input, options: CallOptions) => (isEmbed(input) ? backend.call(input, options) : refuse("it makes vectors, and answers nothing")) });
const refuse = (why: string) => Promise.reject(new BackendError("backend_refused", why, { isBackendsFault: false }));

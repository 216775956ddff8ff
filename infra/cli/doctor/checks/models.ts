import { lookup } from "node:dns";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";

import { type BackendConfig, replicasOf, servedBy } from "#shared/contracts/tiers.ts";
import { allowanceOf, type Allowance, problemOfTarget } from "#shared/reach/target.ts";
import { readApiKey } from "#shared/runtime/apiKey.ts";
import { pick } from "#shared/runtime/loadConfig.ts";
import { makeLocalBackend } from "#workers/backends/local/localBackend.ts";

import type { Place } from "../../place.ts";
import { type Check, type Finding, ok, problem, warning } from "../finding.ts";

export interface ModelLooked {
  readonly tier: string;
  readonly backend: string;
  /** `null`: it can be used as far as can be seen without calling it. */
  readonly trouble: { readonly what: string; readonly next: string } | null;
}

const Reach = pick("INFER_AUTH", "INFER_BACKEND_ALLOW").transform((env) => allowanceOf(env.INFER_BACKEND_ALLOW, { isKeyless: env.INFER_AUTH === "keyless" }));

/** Model files, keys and addresses of all tiers and embedders. No model is called. */
export const models: Check<Place> = {
  title: "models",
  run: async ({ environment, home, settings }) => {
    if (settings === null) return [warning("not looked at, since the configuration cannot be read", "Mend what the check of the configuration says.")];
    const { INFER_AUTH, INFER_BACKEND_ALLOW } = environment;
    const allowance = Reach.parse({ ...(INFER_AUTH ? { INFER_AUTH } : {}), ...(INFER_BACKEND_ALLOW ? { INFER_BACKEND_ALLOW } : {}) });
    const all = servedBy(settings.tiers).flatMap((tier) => replicasOf(tier).map(({ name, backend }) => ({ tier: name === tier.name ? name : `${tier.name} (${name})`, owner: tier.name, backend })));
    const looked = await Promise.all(all.map(async ({ tier, owner, backend }): Promise<ModelLooked> => {
      const key = readApiKey({ name: owner, backend }, environment, home.project);
      const trouble = "problem" in key ? { what: key.problem, next: "Set it where its worker starts; it is never printed." } : await troubleOf(backend, { allowance, localModelsDir: settings.localModelsDir, tiersDir: dirname(settings.tiersFile) });
      return { tier, backend: `${backend.kind} ${backend.model}`, trouble };
    }));
    return judgeModels(looked);
  },
};

interface Places { readonly allowance: Allowance; readonly localModelsDir: string; readonly tiersDir: string }

async function troubleOf(backend: BackendConfig, { allowance, localModelsDir, tiersDir }: Places): Promise<ModelLooked["trouble"]> {
  switch (backend.kind) {
    case "local": return makeLocalBackend({ dir: localModelsDir, model: backend.model }).then((model) => model.close()).then(() => null, (error: unknown) => ({ what: reasonOf(error), next: "Train it: inferctl local-models" }));
    case "onnx": return onnxTrouble(backend, tiersDir);
    case "openai-compatible":
    case "anthropic":
    case "gemini":
    case "openai-embeddings": {
      const found = await problemOfTarget(backend.base_url, allowance, lookup);
      return found === null ? null : { what: `its base_url ${backend.base_url} ${found}`, next: "Workers do not connect there: name its network or host in INFER_BACKEND_ALLOW, if it is yours." };
    }
  }
}

async function onnxTrouble({ model_file, tokenizer_file }: Extract<BackendConfig, { kind: "onnx" }>, tiersDir: string): Promise<ModelLooked["trouble"]> {
  for (const file of [model_file, tokenizer_file].map((one) => resolve(tiersDir, one))) {
    const error = await access(file, constants.R_OK).then(() => null, (reason: unknown) => reason);
    if (error !== null) return { what: `${file} cannot be read (${reasonOf(error)})`, next: "Put the file there, or correct the tier file." };
  }
  try {
    createRequire(import.meta.url).resolve("onnxruntime-node");
    return null;
  } catch {
    return { what: "the package onnxruntime-node is not installed", next: "See \"A classifier of your own\" in docs/configuration.md." };
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export function judgeModels(looked: readonly ModelLooked[]): Finding[] {
  const fine = looked.filter(({ trouble }) => trouble === null);
  return [
    ...(fine.length === 0 ? [] : [ok(fine.map(({ tier, backend }) => `${tier}: ${backend}`).join(", "))]),
    ...looked.flatMap(({ tier, trouble }) => (trouble === null ? [] : [problem(`${tier}: ${trouble.what}`, trouble.next)])),
  ];
}

import { writeFileSync } from "node:fs";

/** What differs between the tiers of a test; everything else is the same. */
export interface TestTier {
  readonly name: string;
  readonly slots?: number;
  readonly batch_slots?: number;
  readonly max_tries?: number;
  readonly breaker?: { readonly failures_in_a_row: number; readonly open_for_ms: number };
  /** Names, and models, of replicas instead of one backend. */
  readonly replicas?: readonly string[];
  /** Name of the variable with the key. */
  readonly keyVariable?: string;
  /** Each tier costs ten times the one before; the first charges this per million tokens. */
  readonly usd_per_million?: number;
  /** The entry of the price book that says what it charges instead. */
  readonly book?: string;
}

/** An embedder; its model is the recorded server's. */
export interface TestEmbedder {
  readonly name: string;
  readonly model: string;
  readonly dimensions: number;
  readonly usd_per_million: number;
}

/** A tier file whose models are all on one server. Cheapest first; JSON is YAML. */
export function writeTierFile(file: string, serverUrl: string, tiers: readonly TestTier[], embedders: readonly TestEmbedder[] = []): string {
  const last = tiers.at(-1)?.name ?? "";
  const content = {
    version: 1, baseline_tier: last, default_policy: "cascade", static_routes: { default: last },
    tiers: tiers.map(({ name, slots = 8, batch_slots, max_tries = 1, breaker, replicas, keyVariable, usd_per_million, book }, i) => ({
      name, slots, max_tries,
      ...(batch_slots === undefined ? {} : { batch_slots }),
      ...(replicas === undefined ? { backend: backendOf(name, serverUrl, keyVariable) } : { replicas: replicas.map((replica) => ({ name: replica, backend: backendOf(replica, serverUrl, keyVariable) })) }),
      price: book !== undefined ? { book } : { usd_per_million_input_tokens: usd_per_million ?? 10 ** i, usd_per_million_output_tokens: usd_per_million ?? 10 ** i, source: "test", valid_from: "2026-11-01" },
      timeout_ms: 120_000,
      accept_confidence: 0.9,
      prior: { quality: 0.9, latency_p50_ms: 5, latency_p95_ms: 20 },
      ...(breaker === undefined ? {} : { breaker }),
    })),
    embedders: embedders.map(({ name, model, dimensions, usd_per_million }) => ({
      name, slots: 8, dimensions, max_tries: 1, timeout_ms: 30_000, backend: { kind: "openai-embeddings", model, base_url: serverUrl },
      price: { usd_per_million_input_tokens: usd_per_million, source: "test", valid_from: "2026-11-01" }, prior: { latency_p50_ms: 5, latency_p95_ms: 20 },
      breaker: { failures_in_a_row: 1_000, open_for_ms: 100 },
    })),
  };
  writeFileSync(file, JSON.stringify(content, null, 2));
  return file;
}

const backendOf = (model: string, base_url: string, keyVariable: string | undefined) => ({
  kind: "openai-compatible", model, base_url, max_output_tokens: 100, ...(keyVariable === undefined ? {} : { api_key: { env: keyVariable } }),
});

/** What is compared: each is started for its turn, and ended after it. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { anyFreePort } from "#infra/embedded/freePort.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { startSpanReceiver } from "#infra/e2e/spanReceiver.ts";
import { jsonIn, startSystem } from "#infra/e2e/system.ts";

import { processesOf } from "../pipelineLoad.ts";
import { endProcess, pidOf, startChildServer } from "./childServer.ts";

export interface Target {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of all that is between the caller and the model. */
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
  readonly end: () => Promise<void>;
}
export type TargetName = "direct" | "proxy" | "portkey" | "ours" | "ours-strict";

/** Of each request; the same words for all. About 900 bytes. */
export const BODY = JSON.stringify({
  model: "bench", max_tokens: 64, temperature: 0,
  messages: [{ role: "system", content: "You summarise." }, { role: "user", content: "Summarise these words. ".padEnd(780, "lorem ipsum dolor sit amet ") }],
});
const JSON_TYPE = { "content-type": "application/json" };

const START_TIMEOUT_MS = 60_000;

/** `modelUrl`: base URL of the model, with `/v1`. */
export function startTarget(name: TargetName, modelUrl: string): Promise<Target> {
  switch (name) {
    case "direct": return Promise.resolve({ url: `${modelUrl}/chat/completions`, headers: JSON_TYPE, processes: [], end: () => Promise.resolve() });
    case "proxy": return startProxy(modelUrl);
    case "portkey": return startPortkey(modelUrl);
    case "ours": return startOurs(modelUrl, "fast");
    case "ours-strict": return startOurs(modelUrl, "strict");
  }
}

async function startProxy(modelUrl: string): Promise<Target> {
  const { pid, port, end } = await startChildServer("proxyServer.ts", [modelUrl]);
  return { url: `http://127.0.0.1:${port}/v1/chat/completions`, headers: JSON_TYPE, processes: [{ name: "proxy", pid }], end };
}

const PORTKEY = join(import.meta.dirname, "portkey/node_modules/@portkey-ai/gateway/build/start-server.js");
async function startPortkey(modelUrl: string): Promise<Target> {
  if (!existsSync(PORTKEY)) throw new Error("Portkey's gateway is not installed: run this as `make bench-peers`, which installs it");
  const port = await anyFreePort();
  const child = spawn(process.execPath, [PORTKEY, "--headless", `--port=${port}`], { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, TRUSTED_CUSTOM_HOSTS: "127.0.0.1,localhost" } });
  const url = `http://127.0.0.1:${port}`;
  const isUp = () => fetch(url).then(() => true, () => undefined);
  await waitUntil(isUp, { deadlineMs: START_TIMEOUT_MS, describe: () => "Portkey's gateway does not answer" });
  return {
    url: `${url}/v1/chat/completions`, headers: { ...JSON_TYPE, authorization: "Bearer bench", "x-portkey-provider": "openai", "x-portkey-custom-host": modelUrl },
    processes: [{ name: "portkey", pid: pidOf(child) }], end: () => endProcess(child),
  };
}

const SLOTS = 512;
/** Everything on: keys, limits, budgets, sampled traces, audit. */
async function startOurs(modelUrl: string, durability: "fast" | "strict"): Promise<Target> {
  const receiver = await startSpanReceiver();
  const folder = mkdtempSync(join(tmpdir(), "infer-bench-"));
  const tiersFile = join(folder, "tiers.json");
  writeFileSync(tiersFile, JSON.stringify(tierFile(modelUrl)));
  const system = await startSystem({
    env: { INFER_TIERS_FILE: tiersFile, INFER_AUTH: "keys", INFER_DURABILITY: durability, INFER_BACKEND_ALLOW: "127.0.0.1", OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, INFER_TRACE_SHARE: "0.01", LOG_LEVEL: "warn" },
  });
  const end = async () => {
    await system.remove();
    await receiver.close();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await system.inferctl("tenants", "create", "bench", "--limit", "tenant.requests=100000/s,burst=100000", "--limit", "user.tokens=1000000000/min", "--budget", "tenant.day=100000", "--json");
    const { key } = jsonIn(await system.inferctl("keys", "create", "--tenant", "bench", "--json")) as { key: string };
    return { url: `${system.url("gateway")}/v1/chat/completions`, headers: { ...JSON_TYPE, authorization: `Bearer ${key}` }, processes: processesOf(system), end };
  } catch (error) {
    await end();
    throw error;
  }
}

function tierFile(modelUrl: string) {
  return {
    version: 1, baseline_tier: "bench", default_policy: "cascade", static_routes: { default: "bench" },
    tiers: [{
      name: "bench", slots: SLOTS, max_tries: 1, timeout_ms: 30_000, accept_confidence: 0,
      backend: { kind: "openai-compatible", model: "bench", base_url: modelUrl, max_output_tokens: 64 },
      price: { usd_per_million_input_tokens: 0.1, usd_per_million_output_tokens: 0.4, source: "bench", valid_from: "2026-11-01" },
      prior: { quality: 0.9, latency_p50_ms: 5, latency_p95_ms: 100 },
    }],
    embedders: [],
  };
}

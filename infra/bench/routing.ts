/** CPU time of one decision of the router: facts, features, the routing model's values, thresholds and the record. `--help` says how to call it. */
import { parseArgs } from "node:util";

import { textTable } from "#infra/cli/textTable.ts";
import { toModelFile } from "#router/evaluation/modelFile.ts";
import type { OutcomeRow } from "#router/evaluation/outcomeLog.ts";
import { train } from "#router/evaluation/trainModel.ts";
import { decide } from "#router/decide.ts";
import { queryFeatures } from "#router/policy/queryFeatures.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { baselineOf } from "#shared/saga/closings.ts";
import { newSaga } from "#shared/saga/inferenceMachine.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

const HELP = `Measures the CPU time of one decision with a routing model, on made-up queries of 50 to 4,000 characters.

  npm run bench:routing -- [--decisions 20000] [--json]

Example: npm run bench:routing -- --decisions 50000`;
const NOW_MS = 1_700_000_000_000;

const random = seededRandom(1);
const WORDS = Array.from({ length: 2_000 }, () => Array.from({ length: 3 + Math.floor(7 * random()) }, () => String.fromCharCode(97 + Math.floor(26 * random()))).join(""));
function queryOf(chars: number): string {
  let query = "Answer the question below in one word.\n\nQuestion:";
  while (query.length < chars) query += ` ${WORDS[Math.floor(WORDS.length * random())] ?? ""}`;
  return query;
}

function tierFileOf(count: number): TierFile {
  const price = { usd_per_million_input_tokens: 0.1, usd_per_million_output_tokens: 0.4, source: "bench", valid_from: "2026-01-01" };
  const tiers = Array.from({ length: count }, (_, i) => ({
    name: `tier-${i}`, slots: 1, backend: { kind: "local", model: "m" }, price, timeout_ms: 10_000, accept_confidence: 0.9, prior: { quality: 0.9, latency_p50_ms: 100, latency_p95_ms: 300 },
  }));
  return TierFile.parse({ version: 1, tiers, baseline_tier: `tier-${count - 1}`, default_policy: "cascade-routing", static_routes: { default: "tier-0" } });
}

function modelOf(count: number) {
  const rows = Array.from({ length: 600 }, (_, i): OutcomeRow => {
    const query = queryOf(50 + (i % 200)), difficulty = random();
    const tiers = Array.from({ length: count }, (_tier, t) => {
      const quality = (t + 1) / count + 0.3 * (random() - 0.5) > difficulty ? 1 : 0;
      return { quality, cost_usd: 0.001 * 2 ** t, verify_cost_usd: 0, confidence: quality === 1 ? 0.6 + 0.4 * random() : 0.8 * random(), latency_ms: 100 };
    });
    return { id: String(i), dataset: `class-${i % 5}`, query, features: queryFeatures(query), tiers };
  });
  const tiers = Array.from({ length: count }, (_, i) => `tier-${i}`);
  const trained = train({ tiers, baseline: count - 1, target: 0.9, risk: 0.05, latencySloMs: null, paysVerification: true, hasConfidences: true, random: seededRandom(1) }, rows, ["cascade-routing"]);
  return toModelFile(trained, { sources: [], names: new Map(), createdAt: new Date(NOW_MS) });
}

function requestOf(input: string, i: number): InferenceRequest {
  return {
    tenant_id: "t", request_id: `r-${i}`, origin: "direct", user_id: "u", input, budget_nano_usd: 1_000_000_000 as InferenceRequest["budget_nano_usd"], accepted_at_ms: NOW_MS, deadline_at_ms: NOW_MS + 30_000,
    latency_slo_ms: null, min_quality: null, min_tier: null, max_tier: null, policy: "cascade-routing", task: null, metadata: null, fingerprint: "f",
  };
}

function measure(count: number, decisions: number): { tiers: number; policy: string; decisions: number; cpu_us: number }[] {
  const file = tierFileOf(count), model = modelOf(count);
  const live = new Map(file.tiers.map(({ name }) => [name, { latency: null, queueDepth: 0, breaker: "closed", workers: 1, slots: 1 } as const]));
  const fresh = newSaga(baselineOf(file)).context;
  const exploration = { share: 0.01, maxExtraCostNanoUsd: nanoUsd(10_000_000) };
  const requests = Array.from({ length: 500 }, (_, i) => requestOf(queryOf(50 + Math.floor(3_950 * random())), i));
  return (["cascade-routing", "static"] as const).map((policy) => {
    const decideAll = (times: number) => { for (let i = 0; i < times; i++) decide({ ...(requests[i % requests.length] as InferenceRequest), policy }, fresh, { file, live, model, floorSteps: 0, exploration, nowMs: NOW_MS }); };
    decideAll(2_000); // warm
    const before = process.cpuUsage();
    decideAll(decisions);
    const { user, system } = process.cpuUsage(before);
    return { tiers: count, policy, decisions, cpu_us: (user + system) / decisions };
  });
}

const { values } = parseArgs({ options: { decisions: { type: "string", default: "20000" }, json: { type: "boolean" }, help: { type: "boolean", short: "h" } } });
const print = (text: string) => void process.stdout.write(`${text}\n`);
if (values.help === true) print(HELP);
else {
  const found = [3, 9].flatMap((count) => measure(count, Math.max(1, Number(values.decisions))));
  print(values.json === true ? JSON.stringify(found) : textTable(["TIERS", "POLICY", "DECISIONS", "CPU US / DECISION"], found.map(({ tiers, policy, decisions, cpu_us }) => [String(tiers), policy, String(decisions), cpu_us.toFixed(1)])));
}

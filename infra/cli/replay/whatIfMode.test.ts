import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { beforeAll, describe, expect, it } from "vitest";

import { simulatedCompletion } from "#router/evaluation/offPolicy/simulateLog.ts";
import { queryFeatures } from "#router/policy/queryFeatures.ts";
import type { AuditSource } from "#shared/audit/auditSource.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import type { ReplayContext } from "./replayMode.ts";
import { whatIfMode } from "./whatIfMode.ts";

const NAMES = ["small", "large"];
const TIERS = NAMES.map((name, i) => ({ name, quality: 0.7 + 0.2 * i, cost_usd: 1e-5 * 10 ** i, latency: { p50: 100, p95: 200 }, accept_confidence: 0.7 }));
const folder = mkdtempSync(join(tmpdir(), "what-if-"));
const inFolder = (name: string, text: string): string => { const file = join(folder, name); writeFileSync(file, text); return file; };

/** Requests under the policy random, with what they were worth. */
function logOf(requests: number) {
  const random = seededRandom(7);
  const records = Array.from({ length: requests }, (_, i) => {
    const tiers = NAMES.map((_name, t) => ({ quality: random() < 0.6 + 0.3 * t ? 1 : 0, cost_usd: 1e-5 * 10 ** t, verify_cost_usd: 0, confidence: random(), latency_ms: 100 }));
    const row = { id: String(i), dataset: "q", query: `question ${i}`, features: queryFeatures("?"), tiers };
    return { row, completion: simulatedCompletion({ request_id: `r-${i}`, row, tiers: TIERS, policy: "random" }) };
  });
  const labels = records.map(({ row, completion }) => JSON.stringify({ request_id: completion.request_id, tier: completion.tier, quality: row.tiers[NAMES.indexOf(completion.tier ?? "")]?.quality ?? 0 })).join("\n");
  return { records, labels };
}
const BATCH = 100;
function sourceOf({ records }: ReturnType<typeof logOf>): AuditSource {
  return {
    name: "a log that was made up", total: records.length, start: "0",
    async *batches({ after, signal }) {
      for (let at = Number(after ?? 0); at < records.length && !signal.aborted; at += BATCH) {
        await Promise.resolve();
        yield { records: records.slice(at, at + BATCH).map(({ completion }) => ({ seq: null, completion })), unreadable: at === 0 ? [{ at: "line 3", why: "not_json" as const, what: "no JSON" }] : [], cursor: String(at + BATCH) };
      }
    },
  };
}
async function run(values: Record<string, string | boolean>, source: AuditSource, over: Partial<ReplayContext> = {}) {
  const printed: string[] = [];
  const context = { environment: {}, print: (line: string) => void printed.push(line), progress: { note: () => undefined }, source, resumed: null, keep: () => Promise.resolve(), signal: new AbortController().signal, ...over } as unknown as ReplayContext;
  const code = await whatIfMode.run(values, context);
  return { code, text: printed.join("\n") };
}

describe("inferctl replay --mode what-if", () => {
  const log = logOf(1_500);
  let labels = "";
  beforeAll(() => { labels = inFolder("labels.jsonl", log.labels); });

  it("compares candidates with what happened, ranks them and counts what it could not use", async () => {
    const html = join(folder, "page.html");
    const { code, text } = await run({ policy: "always-small,always-large,cascade", labels, html }, sourceOf(log));
    expect(code).toBe(0);
    expect(text).toMatch(/1,500 requests that were decided; besides 1 not_json/);
    expect(text).toMatch(/what happened/);
    expect(text).toMatch(/always-large/);
    const page = readFileSync(html, "utf8");
    expect(page).toMatch(/<svg[\s\S]*class="actual"[\s\S]*<\/svg>/);
    expect(page).not.toMatch(/(src|href)=/); // it loads nothing
  });
  it("says the same to programs", async () => {
    const { text } = await run({ policy: "always-small,always-large", labels, json: true }, sourceOf(log));
    const { actual, candidates } = JSON.parse(text) as { actual: { requests: number }; candidates: { name: string; rank: number; quality: { estimate: { value: number } }; cost: { estimate: { value: number } } }[] };
    expect(actual.requests).toBe(1_500);
    const large = candidates.find(({ name }) => name === "always-large");
    expect(large?.quality.estimate.value).toBeGreaterThan(0.8);
    expect(large?.cost.estimate.value).toBeCloseTo(100_000, -3);
  });
  it("reads candidates from a file, and computes what other prices would have cost", async () => {
    const policy = inFolder("candidates.yaml", "- { name: bold, policy: cascade, accept_confidence: { small: 0.2 } }\n- { name: careful, policy: cascade, accept_confidence: { small: 0.9 } }\n");
    const { text } = await run({ policy, labels, json: true }, sourceOf(log));
    const { candidates } = JSON.parse(text) as { candidates: { name: string; escalated: { estimate: { value: number } } }[] };
    const escalated = (wanted: string) => candidates.find(({ name }) => name === wanted)?.escalated.estimate.value ?? NaN;
    expect(escalated("bold")).toBeCloseTo(0.2, 1);
    expect(escalated("careful")).toBeCloseTo(0.9, 1);
  });
  it("without labels says nothing of quality, and of cost the same", async () => {
    const { text } = await run({ policy: "always-large", "no-labels": true }, sourceOf(log));
    expect(text).toMatch(/no answer was judged/);
    expect(text).toMatch(/always-large: no quality/);
  });
  it("says that there is nothing to compare where nothing was decided", async () => {
    const { text } = await run({ policy: "always-large", labels }, sourceOf({ records: [], labels: "" }));
    expect(text).toMatch(/^a log that was made up: no request that was decided\. There is nothing to compare/);
  });
  it.each([
    ["no policy", {}, /say which policies/],
    ["a policy that there is not", { policy: "cleverest" }, /neither such a policy .* nor such a file/],
    ["a learned policy without its model", { policy: "cascade-routing" }, /goes by a routing model/],
    ["a share above 1", { policy: "cascade", "shadow-share": "2" }, /--shadow-share must be a number from 0 to 1/],
    ["labels that are not there", { policy: "cascade", labels: "/nowhere.jsonl" }, /--labels: \/nowhere.jsonl/],
  ])("refuses %s", async (_what, values, message) => { await expect(run(values, sourceOf(log))).rejects.toThrow(message); });
  it("comes to the same totals after an interruption", async () => {
    const long = logOf(10_400), file = inFolder("long.jsonl", long.labels), whole = await run({ policy: "cascade", labels: file, json: true }, sourceOf(long));
    const stop = new AbortController();
    let place: ReplayContext["resumed"] = null;
    const keep = (cursor: string, found: unknown) => { place = { cursor, found: JSON.parse(JSON.stringify(found)) as unknown }; stop.abort(); return Promise.resolve(); };
    const cut = await run({ policy: "cascade", labels: file, json: true }, sourceOf(long), { signal: stop.signal, keep });
    expect(cut.text).toBe("");
    expect(place).toMatchObject({ cursor: "10000" });
    const rest = await run({ policy: "cascade", labels: file, json: true }, sourceOf(long), { resumed: place });
    expect(rest.text).toBe(whole.text);
  });
});

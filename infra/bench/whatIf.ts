/** `npm run bench:what-if`: a log of the policy `random` through the real pipeline, from which other policies are estimated, against what they really would have brought. */
import { createHash } from "node:crypto";
import { cpus } from "node:os";
import { parseArgs } from "node:util";

import { textTable } from "#infra/cli/textTable.ts";
import { terminalProgress } from "#infra/cli/terminalProgress.ts";
import { withTenancy } from "#infra/cli/tenancy.ts";
import { roleUrl } from "#infra/cli/serverUrl.ts";
import { withSource } from "#infra/cli/replay/openSource.ts";
import { halves } from "#infra/demo/recordedTiers.ts";
import { type RecordedSetUp, withRecordedSetUp } from "#infra/demo/recordedSetUp.ts";
import { prepareSteps } from "#infra/embedded/prepareSteps.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { connectInferClient } from "#producers/client/inferClient.ts";
import { type Candidate } from "#router/evaluation/offPolicy/playEvent.ts";
import { type RecordedEvent, toRecordedEvent } from "#router/evaluation/offPolicy/recordedEvent.ts";
import { type OutcomeRow, readOutcomeLog } from "#router/evaluation/outcomeLog.ts";
import { priorsOf } from "#router/evaluation/trainModel.ts";
import type { Attempt, Completion } from "#shared/contracts/events.ts";
import { replicasOf } from "#shared/contracts/tiers.ts";
import { judgedKey, readJudged } from "#shared/db/readJudged.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";
import type { Rights } from "#shared/tenancy/database.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";

import { compare, type Compared, estimate, type Log, simulatedLog, sloOf, summarise, type Summary, twentyPolicies } from "./whatIfWorld.ts";

const HELP = `Sends requests under the policy random through a set-up of its own whose tiers are the models of an outcome log, judges each kept answer by its label,
estimates twenty other policies from that log alone, and compares with what they bring on the full outcomes of the same requests. The same again on
logs that the pure code makes of other draws, so that it is known how often intervals hold the truth.

  npm run bench:what-if -- --outcomes <file> --tiers <a,b,c> [--requests <n>] [--resamples <n>] [--resample-requests <n>] [--seed <n>] [--time-scale <n>] [--most-minutes <n>] [--simulated] [--json]

  --outcomes     JSON lines of outcomes with answers (inferctl serve-recorded --help)
  --requests     of the pipeline's log (default 20000)
  --resamples    logs of the pure code (default 20), of --resample-requests each (default 5000)
  --time-scale   of recorded latencies (default 1)
  --most-minutes sends no more after so long, and takes what was answered by then; 0: what an earlier run was answered
  --simulated    leaves the real pipeline out

Ends with 1 unless intervals cover in 93 % at least, quality is off by 1 point and cost by 2 % at most on average over the policies, the rank correlation is .95
at least, in the real log and over the others, and a log of one policy that leaves nothing to chance is refused.`;

const BOUNDS = { coverage: 0.93, quality: 0.01, cost: 0.02, correlation: 0.95 };
const TENANT = "what-if";
const CONCURRENCY = 48;
const BOOKS_DEADLINE_MS = 120_000;

const { values } = parseArgs({ options: {
  outcomes: { type: "string" }, tiers: { type: "string" }, requests: { type: "string", default: "20000" }, resamples: { type: "string", default: "20" }, "resample-requests": { type: "string", default: "5000" }, seed: { type: "string", default: "1" },
  "time-scale": { type: "string", default: "1" }, "most-minutes": { type: "string", default: "600" }, simulated: { type: "boolean" }, json: { type: "boolean" }, help: { type: "boolean", short: "h" },
} });
const print = (text: string) => void process.stdout.write(`${text}\n`);
const progress = terminalProgress(process.stderr);

if (values.help === true || values.outcomes === undefined || values.tiers === undefined) {
  print(HELP);
  process.exitCode = values.help === true ? 0 : 64;
} else process.exitCode = await bench(values.outcomes, values.tiers.split(","));

async function bench(file: string, models: string[]): Promise<number> {
  const [requests, resamples, resampleRequests, seed] = [Number(values.requests), Number(values.resamples), Number(values["resample-requests"]), Number(values.seed)];
  const wholeLog = await readOutcomeLog(file, models);
  const costOf = (place: number) => wholeLog.reduce((sum, { tiers }) => sum + (tiers[place]?.cost_usd ?? 0), 0);
  const order = models.map((_model, place) => place).sort((a, b) => costOf(a) - costOf(b));
  const rising = order.map((place) => models[place] ?? "");
  const real = values.simulated === true ? null : await withRecordedSetUp({ file, models: rising, seed, timeScale: Number(values["time-scale"]), environment: process.env, prepare: prepareSteps, progress }, (setUp) => throughPipeline(setUp, file, rising, { requests, seed }));
  const names = real?.names ?? rising;
  const rows = await readOutcomeLog(file, rising);
  const { learnt, asked } = halves(rows, seed);
  const candidates = await progress.step("twenty policies", () => Promise.resolve(twentyPolicies(learnt, names, seed, progress.note)));
  const priors = priorsOf({ tiers: names }, learnt).map((prior) => ({ ...prior, accept_confidence: 0.9 }));
  const realRows = real === null ? null : await progress.step("estimates from the real log", () => Promise.resolve(compare(real.log, candidates, estimate(real.log, candidates))));
  const logs = await progress.step(`${resamples} other logs`, () => Promise.resolve(Array.from({ length: resamples }, (_, i) => {
    progress.tell?.(`${i} of ${resamples} logs`);
    const log = simulatedLog(asked, priors, { seed: 1_000 * seed + i, requests: resampleRequests, policy: "random" });
    return compare(log, candidates, estimate(log, candidates));
  })));
  const poor = refusals(asked, candidates, priors, seed);
  return report({ real: realRows, logs, poor, requests: real?.log.events.length ?? 0, sloMs: real === null ? null : sloOf(real.log), resampleRequests });
}

/** Of a log of a cascade without a draw: whatever runs another tier first must be refused. */
function refusals(asked: readonly OutcomeRow[], candidates: readonly Candidate[], priors: ReturnType<typeof priorsOf>, seed: number): { readonly asked: number; readonly refused: number; readonly answered: readonly string[] } {
  const log = simulatedLog(asked, priors, { seed, requests: 2_000, policy: "cascade" });
  const found = estimate(log, candidates).candidates;
  return { asked: found.length, refused: found.filter(({ quality }) => quality.estimate === null).length, answered: found.filter(({ quality }) => quality.estimate !== null).map(({ name }) => name) };
}

function report({ real, logs, poor, requests, sloMs, resampleRequests }: { readonly real: readonly Compared[] | null; readonly logs: readonly (readonly Compared[])[]; readonly poor: ReturnType<typeof refusals>; readonly requests: number; readonly sloMs: number | null; readonly resampleRequests: number }): number {
  const each = logs.map(summarise);
  const pooled = summarise(logs.flat());
  const average = (of: (one: Summary) => number) => each.reduce((sum, one) => sum + of(one), 0) / Math.max(1, each.length);
  const simulated: Summary = { ...pooled, quality_rank_correlation: average((one) => one.quality_rank_correlation), cost_rank_correlation: average((one) => one.cost_rank_correlation) };
  const realSummary = real === null ? null : summarise(real);
  const holds = ({ coverage, quality_error, cost_error, quality_rank_correlation, cost_rank_correlation, refused }: Summary) =>
    refused === 0 && coverage >= BOUNDS.coverage && quality_error <= BOUNDS.quality && cost_error <= BOUNDS.cost && Math.min(quality_rank_correlation, cost_rank_correlation) >= BOUNDS.correlation;
  const isShown = (logs.length === 0 || holds(simulated)) && (realSummary === null || holds(realSummary)) && poor.refused > 0;
  const machine = `${cpus().length} x ${cpus()[0]?.model.trim() ?? "?"}, Node ${process.versions.node}`;
  if (values.json === true) print(JSON.stringify({ machine, requests, slo_ms: sloMs, resample_requests: resampleRequests, real: realSummary, simulated, logs: each.length, poor, is_shown: isShown, rows: real }));
  else {
    const hundredths = (share: number) => (Number.isNaN(share) ? "-" : (100 * share).toFixed(2));
    const line = (name: string, one: Summary) =>
      [name, String(one.asked), (100 * one.coverage).toFixed(1), ...[one.quality_error, one.cost_error, one.latency_p50_error, one.latency_p95_error, one.within_slo_error].map(hundredths), one.quality_rank_correlation.toFixed(3), one.cost_rank_correlation.toFixed(3)];
    const byMeasure = (one: Summary) => Object.entries(one.by_measure).map(([measure, share]) => `${measure} ${(100 * share).toFixed(1)} %`).join(", ");
    print(`${machine}; 20 policies; ${requests} requests through the pipeline, ${resampleRequests} in each log of the pure code`);
    print(textTable(["LOG", "INTERVALS", "COVER %", "OFF BY: QUALITY, POINTS", "COST %", "P50 %", "P95 %", "WITHIN SLO, POINTS", "RANKS: QUALITY", "COST"], [...(realSummary === null ? [] : [line("the pipeline's", realSummary)]), ...(logs.length === 0 ? [] : [line(`${each.length} of the pure code`, simulated)])]));
    if (real !== null) print(textTable(["POLICY", "QUALITY %", "ESTIMATE", "USD / 1,000", "ESTIMATE", "P50 MS", "ESTIMATE", "P95 MS", "ESTIMATE", `WITHIN ${Math.round(sloMs ?? NaN)} MS %`, "ESTIMATE"], policyRows(real)));
    if (realSummary !== null) print(`covered by measure, the pipeline's: ${byMeasure(realSummary)}`);
    if (logs.length > 0) print(`covered by measure, the pure code's: ${byMeasure(simulated)}`);
    print(`from a log of a cascade that leaves nothing to chance, ${poor.refused} of ${poor.asked} policies are refused${poor.answered.length === 0 ? "" : `; answered: ${poor.answered.join(", ")}`}`);
    print(isShown ? "shown" : "NOT shown");
  }
  return isShown ? 0 : 1;
}

function policyRows(rows: readonly Compared[]): string[][] {
  const of = (policy: string, measure: string) => rows.find((row) => row.policy === policy && row.measure === measure);
  const said = (row: Compared | undefined, scale: number, digits: number) =>
    [(scale * (row?.truth ?? NaN)).toFixed(digits), row?.estimate == null ? "refused" : `${(scale * row.estimate.value).toFixed(digits)} ± ${((scale * (row.estimate.high - row.estimate.low)) / 2).toFixed(digits)}`];
  return [...new Set(rows.map(({ policy }) => policy))].map((policy) => [policy, ...said(of(policy, "quality"), 100, 1), ...said(of(policy, "cost"), 1e-6, 4), ...said(of(policy, "latency p50"), 1, 0), ...said(of(policy, "latency p95"), 1, 0), ...said(of(policy, "within SLO"), 100, 1)]);
}

interface Real { readonly log: Log; readonly names: readonly string[] }
/** What is there already is not asked again. */
async function throughPipeline({ environment, settings, items, name }: RecordedSetUp, file: string, models: readonly string[], { requests, seed }: { readonly requests: number; readonly seed: number }): Promise<Real> {
  const names = models.map((model) => settings.tiers.tiers.find((tier) => replicasOf(tier).some(({ backend }) => "model" in backend && backend.model === model))?.name ?? model);
  return withTenancy(environment, async (rights) => {
    await createTenant(rights, { kind: "inferctl" }, { tenant_id: TENANT, name: "What-if bench", settings: { retention: { prompts: "stored", days: null } } }).catch((error: unknown) => {
      if (!(error instanceof AppError) || error.code !== "conflict") throw error;
    });
    const random = seededRandom(seed);
    const planned = Array.from({ length: requests }, (_, i) => ({ request_id: `what-if-${name}-${seed}-${i}`, item: items[Math.floor(random() * items.length)] ?? items[0] }));
    const there = await judgedAmong(rights, planned.map(({ request_id }) => request_id)); // an earlier run may have been ended
    const left = planned.filter(({ request_id }) => !there.has(request_id));
    const answered: string[] = [];
    const client = await connectInferClient({ url: roleUrl("gateway", environment), tenantId: TENANT, timeoutMs: 180_000, maxTries: 60 });
    try {
      await progress.step(`${left.length} requests under the policy random`, async () => {
        const endMs = performance.now() + 60_000 * Number(values["most-minutes"]);
        let next = 0;
        const caller = async (): Promise<void> => {
          for (let one = left[next++]; one !== undefined && performance.now() < endMs; one = left[next++]) {
            const { request_id, item } = one;
            if (item === undefined) return;
            const reply = await client.infer({ request_id, tenant_id: TENANT, user_id: "bench", input: item.input, task: item.task, policy: "random", budget: 1_000 });
            if (reply.output !== null) await client.feedback({ request_id, tenant_id: TENANT }, { score: item.scoreOf(reply), source: "label" });
            if (reply.output !== null) answered.push(request_id);
            if (next % 100 === 0) progress.tell?.(`${next} of ${left.length}`);
          }
        };
        await Promise.all(Array.from({ length: CONCURRENCY }, caller));
      });
    } finally {
      await client.close();
    }
    await waitUntil(async () => ((await missing(rights, answered)) === 0 ? true : undefined), { deadlineMs: BOOKS_DEADLINE_MS, everyMs: 500, describe: () => "the audit has not got all feedback yet" });
    const idOf = new Map(planned.map(({ request_id, item }) => [request_id, item?.id ?? ""]));
    const completions = await progress.step("the log", () => readLog(environment, rights, new Set(idOf.keys())), (found) => `${found.length} requests`);
    const rows = new Map((await readOutcomeLog(file, models)).map((row) => [row.id, row]));
    return { names, log: toLog(completions, { names, rowOf: (requestId) => rows.get(idOf.get(requestId) ?? "") }) };
  });
}

interface Logged { readonly completion: Completion; readonly score: number | undefined }
/** The audit sink writes in batches: how many of the last ones it has not yet. */
async function missing(rights: Rights, answered: readonly string[]): Promise<number> {
  const last = answered.slice(-500);
  return last.length - (await judgedAmong(rights, last)).size;
}

async function judgedAmong(rights: Rights, ids: readonly string[]): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (let at = 0; at < ids.length; at += 200) {
    const judged = await readJudged(rights.pool, ids.slice(at, at + 200).map((request_id) => ({ tenant_id: TENANT, request_id })));
    for (const request_id of ids.slice(at, at + 200)) if (judged.get(judgedKey({ tenant_id: TENANT, request_id }))?.feedback["label"] !== undefined) found.add(request_id);
  }
  return found;
}

/** Of those that were asked and judged by now, from the stream. */
async function readLog(environment: RecordedSetUp["environment"], rights: Rights, ids: ReadonlySet<string>): Promise<Logged[]> {
  const logged: Logged[] = [];
  const { signal } = new AbortController();
  await withSource({ from: { kind: "stream" }, tenantId: TENANT, fromSeq: null, toSeq: null, sinceMs: null, untilMs: null, limit: null }, { environment, user: "replay", progress, signal }, async (source) => {
    for await (const { records } of source.batches({ signal })) {
      const judged = await readJudged(rights.pool, records.map(({ completion }) => completion));
      for (const { completion } of records) {
        const score = judged.get(judgedKey(completion))?.feedback["label"];
        if (score !== undefined && ids.has(completion.request_id)) logged.push({ completion, score });
      }
      progress.tell?.(`${logged.length} of ${ids.size}`);
    }
  });
  return logged;
}

/**
 * What a tier answered to a query is what it answers each time: so the log itself has the cost and the confidence of every tier for every query, as the pipeline charges and reads them. How long it
 * took depends on what else the machine did: a tier that a request did not run has the latency that it had for that query at the nearest time.
 */
function toLog(logged: readonly Logged[], { names, rowOf }: { readonly names: readonly string[]; readonly rowOf: (requestId: string) => OutcomeRow | undefined }): Log {
  const known = new Map<string, Attempt[]>();
  const key = (row: OutcomeRow, tier: string) => createHash("sha256").update(`${row.id}\n${tier}`).digest("base64");
  const events = logged.map(({ completion, score }) => {
    const row = rowOf(completion.request_id);
    if (row === undefined) throw new Error(`no row of ${completion.request_id}`);
    for (const attempt of completion.attempts) if (attempt.outcome.kind === "answered") known.set(key(row, attempt.tier), [...(known.get(key(row, attempt.tier)) ?? []), attempt]);
    const event = toRecordedEvent(completion, { score });
    if (typeof event === "string") throw new Error(`${completion.request_id}: ${event}`);
    return { event, row };
  });
  const truths = events.map(({ event, row }): RecordedEvent => {
    const all = names.flatMap((tier): [string, Attempt][] => { const attempt = event.outcomes.get(tier) ?? nearest(known.get(key(row, tier)) ?? [], event.facts[0].at_ms); return attempt === undefined ? [] : [[tier, attempt]]; });
    return { ...event, outcomes: new Map(all), qualities: new Map(names.map((tier, place) => [tier, row.tiers[place]?.quality ?? 0])) };
  });
  return { events: events.map(({ event }) => event), truths };
}

function nearest(attempts: readonly Attempt[], atMs: number): Attempt | undefined {
  const distanceOf = ({ started_at_ms }: Attempt): number => Math.abs(started_at_ms - atMs);
  return attempts.reduce<Attempt | undefined>((best, one) => (best === undefined || distanceOf(one) < distanceOf(best) ? one : best), undefined);
}

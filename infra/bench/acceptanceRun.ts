/**
 * The acceptance run: labelled mails through both doors of a system that it starts itself, with duplicates and, on
 * demand, with faults; then every invariant is checked against streams, tables and what the callers saw.
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";

import { textTable } from "#infra/cli/textTable.ts";
import { planFaults, runFaults } from "#infra/e2e/acceptanceFaults.ts";
import { checkInvariants, type Invariant, readStored, summarize, type Summary } from "#infra/e2e/acceptanceOracle.ts";
import { planTraffic, sendTraffic, type Traffic } from "#infra/e2e/acceptanceTraffic.ts";
import { connectBroker, counter, openAudit } from "#infra/e2e/callers.ts";
import { startSystem, type System } from "#infra/e2e/system.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { Completion } from "#shared/contracts/events.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";
import { heldOutMails } from "#workers/backends/local/mails.ts";

const HELP = `Sends labelled mails that no model was trained on through HTTP and through NATS, and checks that each has exactly one
outcome and one audit row, and that every caller saw what is stored.

  npx tsx infra/bench/acceptanceRun.ts [--requests <n>] [--duplicates <share>] [--kill] [--seed <n>] [--json]

  --requests    through each door (default 2000; needs a build: npm run build)
  --duplicates  share of requests that are sent four times at once over both doors (default 0.05)
  --kill        meanwhile kills router, workers, audit sink, NATS and Postgres with SIGKILL and starts them again, pauses workers, gives a
                tenth of the requests a deadline that a paused worker misses, and lets the sweeper close at once
  --seed        of the traffic and the faults (default 1)
  --json        one JSON document instead of the tables

Example: npx tsx infra/bench/acceptanceRun.ts --kill --seed 7 --json | jq .invariants
Ends with 1 when an invariant is broken, with 2 when it could not run.`;

interface Options {
  readonly requests: number;
  readonly duplicates: number;
  readonly kill: boolean;
  readonly seed: number;
}
interface Report {
  readonly options: Options;
  readonly machine: string;
  readonly faults: readonly string[];
  readonly sent: { readonly requests: number; readonly calls: number };
  readonly stored: { readonly accepted: number; readonly terminal: number; readonly audit_rows: number; readonly attempt_rows: number };
  readonly invariants: readonly Invariant[];
  readonly summary: Summary;
  readonly requests_per_second: number;
  readonly latency_ms: Readonly<Record<"http" | "nats", { readonly p50: number; readonly p99: number }>>;
  /** Calls of a backend beyond the tries that are stored; `null` when a process with its counters was killed. */
  readonly calls_beside: number | null;
}

/** As small as it can be: the sweeper then competes with every worker that is about to answer. */
const RACING_GRACE_MS = "1";
const HASTY_SHARE = 0.1;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      requests: { type: "string", default: "2000" }, duplicates: { type: "string", default: "0.05" }, seed: { type: "string", default: "1" },
      kill: { type: "boolean", default: false }, json: { type: "boolean", default: false }, help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(`${HELP}\n`);
  const options = { requests: numberOf("requests", values.requests), duplicates: numberOf("duplicates", values.duplicates), seed: numberOf("seed", values.seed), kill: values.kill };
  note("starting a system of its own");
  const system = await startSystem(options.kill ? { env: { INFER_SWEEP_GRACE_MS: RACING_GRACE_MS } } : {});
  try {
    const report = await run(system, options);
    process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : describe(report));
    if (report.invariants.some(({ violations }) => violations > 0)) process.exitCode = 1;
  } finally {
    await system.remove();
  }
}

async function run(system: System, options: Options): Promise<Report> {
  const { requests, duplicates, seed, kill } = options;
  const random = seededRandom(seed);
  const planned = planTraffic({ mails: await heldOutMails(), requests, duplicates, hasty: kill ? HASTY_SHARE : 0, random });
  const broker = await connectBroker(system.url("nats"));
  const audit = openAudit(system.url("postgres"));
  const replies: Completion[] = [];
  broker.nats.subscribe("infer.reply.>", { callback: (_error, message) => void replies.push(Completion.parse(message.json())) });
  const struck: string[] = [];
  const faults = runFaults(kill ? planFaults(random) : [], planned.length, system, (what) => {
    struck.push(what);
    note(what);
  });
  try {
    const traffic = await sendTraffic(planned, { gateway: system.url("gateway"), nats: system.url("nats") }, faults.progress);
    await faults.finished();
    note("waiting until every consumer has acked everything");
    await broker.idle(60_000);
    await rowsSettled(() => audit.rows("SELECT 1 FROM requests"), planned.length);
    const stored = await readStored(broker, audit);
    const tries = [...stored.completions.values()].flatMap(({ attempts }) => attempts).reduce((sum, attempt) => sum + attempt.tries, 0);
    return {
      options, faults: struck,
      machine: `${cpus().length} x ${cpus()[0]?.model.trim() ?? "unknown processor"}, Node ${process.versions.node}`,
      sent: { requests: planned.length, calls: planned.reduce((sum, { doors }) => sum + doors.length, 0) },
      stored: { accepted: stored.accepted, terminal: stored.completions.size, audit_rows: stored.requestRows.length, attempt_rows: stored.attemptRows.length },
      invariants: checkInvariants(planned, traffic, replies, stored),
      summary: summarize(planned, stored),
      requests_per_second: planned.length / (traffic.elapsed_ms / 1_000),
      latency_ms: { http: quantiles(traffic, "http"), nats: quantiles(traffic, "nats") },
      calls_beside: kill ? null : (await backendCalls(system)) - tries,
    };
  } finally {
    await Promise.all([broker.close(), audit.close()]);
  }
}

/** A sink that lost rows must be reported, not waited for without end. */
async function rowsSettled(rows: () => Promise<object[]>, wanted: number): Promise<void> {
  const enough = async () => ((await rows()).length >= wanted ? true : undefined);
  await waitUntil(enough, { deadlineMs: 30_000, everyMs: 100, describe: () => "audit rows are missing" }).catch((error: unknown) => { note(String(error)); });
}

async function backendCalls(system: System): Promise<number> {
  const counts = await Promise.all(["small", "medium", "large"].map((tier) => counter(system.url(`worker-${tier}`), "infer_backend_calls_total")));
  return counts.reduce((sum, count) => sum + count, 0);
}

function quantiles({ seen }: Traffic, door: "http" | "nats"): { p50: number; p99: number } {
  const sorted = seen.filter((one) => one.door === door).map(({ latency_ms }) => latency_ms).toSorted((a, b) => a - b);
  const at = (share: number) => Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? NaN);
  return { p50: at(0.5), p99: at(0.99) };
}

const percent = (share: number | null): string => (share === null ? "-" : (share * 100).toFixed(2));
const usd = (value: number): string => value.toFixed(6);
const list = (counts: Readonly<Record<string, number>>): string => Object.entries(counts).map(([word, count]) => `${word} ${count}`).join(", ") || "none";

function describe({ options, machine, faults, sent, stored, invariants, summary, requests_per_second, latency_ms, calls_beside }: Report): string {
  const { tiers, outcomes, escalated, accuracy, cost_usd, baseline_cost_usd, saving, dead_letters, late_cost_usd } = summary;
  const tierRows = tiers.map((tier) => [tier.tier, String(tier.attempts), String(tier.answers), percent(tier.accuracy), usd(tier.cost_usd)]);
  const overall = ["all", String(stored.attempt_rows), String(tiers.reduce((sum, tier) => sum + tier.answers, 0)), percent(accuracy), usd(cost_usd)];
  return `${options.requests} requests through HTTP and ${options.requests} through NATS, ${sent.calls} calls with duplicates; seed ${options.seed}; ${machine}
faults: ${faults.length === 0 ? "none" : faults.join("; ")}

${textTable(["INVARIANT", "VIOLATIONS", "EXAMPLES"], invariants.map(({ name, violations, examples }) => [name, String(violations), examples.join(", ") || "-"]))}

accepted ${stored.accepted}, terminal ${stored.terminal}, audit rows ${stored.audit_rows}, attempt rows ${stored.attempt_rows}
outcomes: ${list(outcomes)}; escalated ${escalated}; dead letters: ${list(dead_letters)} (late results cost ${usd(late_cost_usd)} USD)
backend calls beside those stored: ${calls_beside ?? "not counted, counters were killed"}

${textTable(["TIER", "ATTEMPTS", "ANSWERS KEPT", "ACCURACY %", "COST USD"], [...tierRows, overall])}

baseline ${usd(baseline_cost_usd)} USD, saving ${percent(saving)} %
${requests_per_second.toFixed(0)} requests/s; HTTP p50 ${latency_ms.http.p50} ms, p99 ${latency_ms.http.p99} ms; NATS p50 ${latency_ms.nats.p50} ms, p99 ${latency_ms.nats.p99} ms
${invariants.every(({ violations }) => violations === 0) ? "all invariants hold" : "BROKEN"}
`;
}

function numberOf(name: string, text: string): number {
  const value = Number(text);
  if (text === "" || !Number.isFinite(value) || value < 0) throw new Error(`--${name} must be a number, not ${text}`);
  return value;
}

const note = (line: string): void => void process.stderr.write(`  ${line}\n`);

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
});

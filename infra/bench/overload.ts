/** `npm run bench:overload`: ten times as much as can be done. What is done of it, what the rest is told and how soon, and when all is as before. */
import { cpus } from "node:os";
import { parseArgs } from "node:util";

import { startCountingServer } from "#infra/e2e/killedBatch.ts";
import { type Answered, goodputOf, offer, quantile, saturate } from "#infra/e2e/offeredLoad.ts";
import { startSystem } from "#infra/e2e/system.ts";

const HELP = `Offers a system that it starts itself ten times the load that it can do, from a tenant that asks for nearly all of it and one that asks for a tenth of
what can be done, and compares with what it does when just all slots are busy.

  npm run bench:overload -- [--seconds <n>] [--slots <n>] [--model-ms <n>] [--times <n>] [--deadline-ms <n>] [--json]

  --seconds      of each of the two loads (default 30)
  --slots        of the only tier (default 4)
  --model-ms     for one answer (default 250)
  --times        the load (default 10)
  --deadline-ms  of each request (default 5000)

Ends with 1 when less is done in time than 90 % of what is done at saturation, or when one refusal in a hundred takes longer than 50 ms.`;

const { values } = parseArgs({ options: { seconds: { type: "string", default: "30" }, slots: { type: "string", default: "4" }, "model-ms": { type: "string", default: "250" }, times: { type: "string", default: "10" }, "deadline-ms": { type: "string", default: "5000" }, json: { type: "boolean" }, help: { type: "boolean" } } });
const LEAST_GOODPUT = 0.9;
const MOST_REFUSAL_MS = 50;
const RECOVERY_TRIES = 300;

async function run(): Promise<void> {
  const [seconds, slots, modelMs, times, deadlineMs] = [values.seconds, values.slots, values["model-ms"], values.times, values["deadline-ms"]].map(Number) as [number, number, number, number, number];
  const note = (line: string) => { process.stderr.write(`  ${line}\n`); };
  const models = await startCountingServer(modelMs);
  const system = await startSystem({ tiers: { serverUrl: models.url, tiers: [{ name: "alpha", slots }] } });
  try {
    const url = system.url("gateway"), couldDo = slots * (1_000 / modelMs), common = { url, seconds, deadlineMs };
    note("warming up");
    await saturate({ ...common, seconds: 5, run: "warm", callers: 2 * slots, tenantOf: () => "crowd" });
    note(`${seconds} s with all slots busy`);
    const saturated = goodputOf(await saturate({ ...common, run: "saturated", callers: 2 * slots, tenantOf: () => "crowd" }), common);
    note(`${seconds} s with ${times} times the load`);
    const rush = { ...common, run: "rush", perS: times * couldDo, tenantOf: (place: number) => (place % (10 * times) === 0 ? "quiet" : "crowd") };
    const answers = await offer(rush);
    const endedMs = performance.now();
    note("until it is as before");
    let recoveryMs: number | null = null;
    for (let tries = 0; tries < RECOVERY_TRIES && recoveryMs === null; tries++) {
      const [answer] = await offer({ ...common, run: `after-${tries}`, perS: 10, seconds: 0.01, tenantOf: () => "crowd" });
      if (answer?.status === 200 && answer.latencyMs < 2 * modelMs) recoveryMs = performance.now() - endedMs;
    }
    report({ saturated, answers, rush, recoveryMs, setting: { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version, durability: "fast", slots, model_ms: modelMs, deadline_ms: deadlineMs } });
  } finally {
    await system.remove();
    await models.close();
  }
}

interface Measured {
  readonly saturated: number;
  readonly answers: readonly Answered[];
  readonly rush: { readonly perS: number; readonly seconds: number; readonly deadlineMs: number };
  readonly recoveryMs: number | null;
  readonly setting: Readonly<Record<string, string | number>>;
}
function report({ saturated, answers, rush, recoveryMs, setting }: Measured): void {
  const refused = answers.filter(({ status }) => status === 503 || status === 429);
  const refusedMs = refused.map(({ latencyMs }) => latencyMs);
  const servedOf = (tenant: string) => answers.filter((one) => one.tenant === tenant && one.status === 200).length / Math.max(1, answers.filter((one) => one.tenant === tenant).length);
  const figures = {
    ...setting, offered_per_s: rush.perS, at_saturation_per_s: saturated, in_time_per_s: goodputOf(answers, rush), refused: refused.length, without_retry_after: refused.filter(({ retryAfter }) => !(Number(retryAfter) >= 1)).length,
    late_or_failed: answers.length - refused.length - answers.filter(({ status }) => status === 200).length,
    refused_p50_ms: quantile(refusedMs, 0.5), refused_p99_ms: quantile(refusedMs, 0.99), answered_p99_ms: quantile(answers.filter(({ status }) => status === 200).map(({ latencyMs }) => latencyMs), 0.99),
    served_of_quiet: servedOf("quiet"), served_of_crowd: servedOf("crowd"), recovery_ms: recoveryMs,
  };
  const ratio = figures.in_time_per_s / saturated;
  process.exitCode = ratio >= LEAST_GOODPUT && figures.refused_p99_ms <= MOST_REFUSAL_MS && recoveryMs !== null ? 0 : 1;
  if (values.json === true) return void process.stdout.write(`${JSON.stringify({ ...figures, ratio }, null, 2)}\n`);
  process.stdout.write([
    `${setting["cores"]} x ${setting["cpu"]}, Node ${process.version.slice(1)}; a model of ${setting["model_ms"]} ms in ${setting["slots"]} slots, deadlines of ${setting["deadline_ms"]} ms; durability fast, audit on`,
    `in time: ${saturated.toFixed(1)} a second at saturation, ${figures.in_time_per_s.toFixed(1)} of ${rush.perS} offered (${ratio.toFixed(2)} x); p99 of answers ${figures.answered_p99_ms.toFixed(0)} ms`,
    `refused: ${refused.length} of ${answers.length}, ${figures.without_retry_after} of them without retry-after; p50 ${figures.refused_p50_ms.toFixed(0)} ms, p99 ${figures.refused_p99_ms.toFixed(0)} ms; neither answered nor refused: ${figures.late_or_failed}`,
    `fairness: ${(100 * figures.served_of_quiet).toFixed(0)} % of the tenant that asks for little is answered, ${(100 * figures.served_of_crowd).toFixed(0)} % of the other one`,
    `recovery: ${recoveryMs === null ? "never" : `${(recoveryMs / 1_000).toFixed(1)} s`} after the last answer`,
  ].map((line) => `${line}\n`).join(""));
}

if (values.help === true) process.stdout.write(`${HELP}\n`);
else await run();

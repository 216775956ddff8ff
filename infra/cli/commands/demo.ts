import { z } from "zod";

import { mailItems } from "#infra/demo/mailItems.ts";
import { requestsFor } from "#infra/demo/planDemo.ts";
import { withRecordedSetUp } from "#infra/demo/recordedSetUp.ts";
import { type DemoRun, runDemo } from "#infra/demo/runDemo.ts";
import { runsTierFile } from "#infra/embedded/bringUp.ts";
import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import { linesOf } from "#infra/embedded/readStatus.ts";
import { readSettings, type Settings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { readState } from "#infra/embedded/stateFile.ts";
import { issueLines } from "#shared/contracts/describeIssues.ts";
import { replicasOf } from "#shared/contracts/tiers.ts";

import { type CliContext, type Command, EXIT_NOT_RUNNING, EXIT_UNAVAILABLE, sayer, wrongUse } from "../command.ts";
import { demoBar, type DemoPlace, demoText } from "../demoText.ts";
import { usdText } from "../reportText.ts";
import { roleUrl } from "../serverUrl.ts";
import { keyPepper, withTenancy } from "../tenancy.ts";

/** Callers of the local tiers: enough that both cores are busy, few enough that nobody waits for long. */
const CONCURRENCY = 24;
/** Of recorded answers, which wait without work. */
const RECORDED_CONCURRENCY = 32;
/** Above what the longest mail may cost in the dearest tier. */
const BUDGET_USD = 1;
/** Of those in a hurry: enough for the cheapest tier where others are asked meanwhile, not for an escalation. */
const MAIL_SLO_MS = 150;
const DEFAULT_REQUESTS = 2_000;
/** The requests were asked, and the books say another thing, or not all of it yet. */
const EXIT_DIFFERS = 2;

export const demo: Command = {
  summary: "Sends some thousand labelled requests through what `up` has started, and shows what was saved at which quality, and why one escalated.",
  usage: "[--requests <n>] [--rate <n>] [--seed <n>] [--run <n>] [--outcomes <file> [--tiers <a,b,c>] [--time-scale <n>]] [--json]",
  details: [
    "Mails that no local model was trained on are asked for four tenants: demo-helpdesk (cascade-routing; some in a hurry, some with little money), demo-shop",
    "(cascade, with a cache), demo-thrift (cheapest) and demo-baseline (the baseline tier alone, on the same mails as demo-helpdesk). Each answer is judged by",
    "the mail's label, as feedback of a user. Interrupted, the same command goes on; repeated, it makes the next run.",
    "--requests    default 2000, and with --outcomes no more than there are new queries for",
    "--rate        requests that are begun in a second, at most (default: as fast as they are answered, some at a time)",
    "--seed        which mails, in which order (default 1)",
    "--run         a run's number: one that is there is shown again, and runs nothing (default: the last one that is not whole, or the next)",
    "--outcomes    recorded answers of real models instead of mails (JSON lines, as for `inferctl evaluate`, with answers): a set-up of its own below INFER_HOME, beside",
    "              what runs, whose tiers are the log's models. One half of the log makes its routing model, the other half is asked. It stays up; the models end with the demo",
    "--tiers       models of the log (default: up to three, each better than all that are cheaper)",
    "--time-scale  recorded latencies times this, 0 to 1 (default 0.1)",
    "--json        the result for programs",
    "Ends with 2 when the books differ from what callers were told.",
  ],
  example: "inferctl demo --requests 500 --rate 50",
  options: {
    requests: { type: "string" }, rate: { type: "string" }, seed: { type: "string" }, run: { type: "string" }, outcomes: { type: "string" }, tiers: { type: "string" }, "time-scale": { type: "string" }, json: { type: "boolean" },
  },
  maxPositionals: 0,
  run: async ({ values }, context) => {
    const options = readOptions(values);
    const { outcomes } = options;
    const { result, text } = outcomes === undefined ? await demoOfMails(context, options) : await demoOfOutcomes(context, { ...options, outcomes });
    sayer({ values }, context)(result, text);
    return result.books.agree ? 0 : EXIT_DIFFERS;
  },
};

interface Told {
  readonly result: DemoRun & { readonly notes: readonly string[] };
  readonly text: string;
}

async function demoOfMails(context: CliContext, options: Options): Promise<Told> {
  const settings = await requireLocalTiers(context.environment);
  const items = await context.progress.step("mails that no model was trained on", mailItems, (found) => String(found.length));
  const result = await demoOn(context, settings, { ...options, items, name: "mails", requests: options.requests ?? Math.min(DEFAULT_REQUESTS, requestsFor(items.length)), budgetUsd: BUDGET_USD, tightSloMs: MAIL_SLO_MS, concurrency: CONCURRENCY });
  const more = "npx inferctl demo --outcomes <file>   # the same with recorded answers of large language models: docs/demo.md";
  return { result: { ...result, notes: [] }, text: demoText(result, placeOf(context.environment, settings, { before: "", notes: [], more: [more] })) };
}

async function demoOfOutcomes(context: CliContext, options: Options & { readonly outcomes: string }): Promise<Told> {
  const { outcomes: file, tiers: models, timeScale, seed } = options;
  return withRecordedSetUp({ ...context, file, models, timeScale, seed }, async ({ environment, settings, items, name, tightSloMs, billNanoUsd, notes }) => {
    const result = await demoOn({ environment, progress: context.progress }, settings, { ...options, items, name, requests: options.requests ?? Math.min(DEFAULT_REQUESTS, requestsFor(items.length)), budgetUsd: BUDGET_USD, tightSloMs, concurrency: RECORDED_CONCURRENCY });
    const before = `INFER_HOME=${environment["INFER_HOME"] ?? ""} `;
    const said = [...notes, ...(result.already_there > 0 ? [] : [`by the log these answers cost ${usdText(String(billNanoUsd()))} USD; the books have ${usdText(String(result.tenants.reduce((sum, { total_nano_usd }) => sum + total_nano_usd, 0)))}`])];
    const more = `${before}npx inferctl down   # ends this set-up; the one beside it was left alone`;
    return { result: { ...result, notes: said }, text: demoText(result, placeOf(environment, settings, { before, notes: said, more: [more] })) };
  });
}

const whole = (least: number, most: number) => z.string().trim().min(1).transform(Number).pipe(z.int().min(least).max(most)).optional();
const OptionTexts = z.object({
  "--requests": whole(1, 100_000),
  "--rate": z.string().trim().min(1).transform(Number).pipe(z.number().min(0.1).max(10_000)).optional(),
  "--seed": whole(0, 2 ** 31),
  "--run": whole(1, 999_999),
  "--outcomes": z.string().min(1).optional(),
  "--tiers": z.string().transform((names) => [...new Set(names.split(",").filter((name) => name !== ""))]).pipe(z.array(z.string()).min(2, "at least two different models, separated by commas").max(16)).optional(),
  "--time-scale": z.string().trim().min(1).transform(Number).pipe(z.number().min(0).max(1)).default(0.1),
}).refine((given) => given["--outcomes"] !== undefined || given["--tiers"] === undefined, { path: ["--tiers"], error: "goes with --outcomes: they are models of a log" });
type Options = ReturnType<typeof readOptions>;

function readOptions(values: Parameters<Command["run"]>[0]["values"]) {
  const given = OptionTexts.safeParse(Object.fromEntries(Object.entries(values).map(([name, value]) => [`--${name}`, value])));
  if (!given.success) throw wrongUse("demo", issueLines(given.error).join("\n"));
  const { "--requests": requests, "--rate": ratePerS = Infinity, "--seed": seed = 1, "--run": run, "--outcomes": outcomes, "--tiers": tiers, "--time-scale": timeScale } = given.data;
  return { requests, ratePerS, seed, run, outcomes, tiers, timeScale };
}

/** Of the set-up that runs here. Throws a `SetupError` unless it can work, and with local models alone: mails must not go to whoever charges for them. */
async function requireLocalTiers(environment: Environment): Promise<Settings> {
  const home = openHome(environment);
  const state = readState(home.stateFile);
  if (state.roles.length === 0) throw new SetupError("nothing runs here that could be asked", "Start it with: make up (or: inferctl up)", { exitCode: EXIT_NOT_RUNNING });
  const settings = readSettings(environment, home);
  if (!runsTierFile(state, settings.tiersFile)) throw new SetupError(`what runs was started with another tier file than ${settings.tiersFile}`, "Set INFER_TIERS_FILE as `up` had it, or start what it names now: inferctl up");
  const other = settings.tiers.tiers.find((tier) => replicasOf(tier).some(({ backend }) => backend.kind !== "local"));
  if (other !== undefined) throw new SetupError(`the demo asks about mails, which the local models know; tier ${other.name} of ${settings.tiersFile} is another, and might charge for it`, "Take the local tiers: INFER_TIERS_FILE=infra/config/tiers.yaml inferctl up");
  const notReady = (await linesOf(state, environment)).filter((line) => line.state !== "ready");
  if (notReady.length > 0) throw new SetupError(`not ready: ${notReady.map(({ name, state: why }) => `${name} (${why})`).join(", ")}`, "See inferctl status; inferctl up starts what is missing.", { exitCode: EXIT_UNAVAILABLE });
  return settings;
}

type Asked = Omit<Parameters<typeof runDemo>[0], "gatewayUrl" | "rights" | "pepper" | "tiers" | "onNote" | "onAnswer">;

function demoOn({ environment, progress }: Pick<CliContext, "environment" | "progress">, { tiers }: Pick<Settings, "tiers">, asked: Asked): Promise<DemoRun> {
  const pepper = environment["INFER_AUTH"] === "keys" ? keyPepper(environment) : null;
  const gatewayUrl = roleUrl("gateway", environment);
  const startedMs = performance.now();
  return withTenancy(environment, (rights) => progress.step(`requests to ${gatewayUrl}`, () => runDemo({
    ...asked, tiers, gatewayUrl, rights, pepper, onNote: progress.note,
    onAnswer: (seen, planned) => { progress.tell?.(demoBar(seen, planned, performance.now() - startedMs)); },
  }), ({ asked: requests, already_there }) => `${requests} asked${already_there === 0 ? "" : `, ${already_there} of them before`}`));
}

const placeOf = (environment: Environment, { tiers }: Pick<Settings, "tiers">, more: Pick<DemoPlace, "before" | "notes" | "more">): DemoPlace =>
  ({ consoleUrl: `${roleUrl("gateway-admin", environment).replace("127.0.0.1", "localhost")}/console`, baselineTier: tiers.baseline_tier, ...more });

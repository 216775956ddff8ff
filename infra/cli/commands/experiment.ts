import { SetupError } from "#infra/embedded/setupError.ts";
import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";
import { Experiment } from "#shared/contracts/experiment.ts";
import { policyNames } from "#shared/contracts/tiers.ts";
import type { ExperimentStore } from "#shared/messaging/experimentStore.ts";

import { type Command, type CliContext, EXIT_USAGE, type ParsedArguments, sayer, wrongUse } from "../command.ts";
import { armReport, armReportText } from "../experiment/armReport.ts";
import { readArms } from "../experiment/readArms.ts";
import { requireFit, tierFileOf, withBuckets } from "../modelStore.ts";
import { withTenancy } from "../tenancy.ts";
import { textTable } from "../textTable.ts";

const FIGURES_TIMEOUT_MS = 60_000;

export const experiment: Command = {
  summary: "Compares a policy with the present one on live requests, and rolls it back by itself when it is worse.",
  usage: "list | start --name <name> --control <policy> --canary <policy> [options] | status [<name>] | stop [<name>] [--promoted]",
  details: [
    "start       gives requests that name no policy to one of two arms; one experiment runs at a time",
    "status      arms with intervals, the evidence so far, and what to make of it (default: the one that was started last)",
    "stop        all requests go as their tenants and the tier file say",
    "--name <name>         a-z 0-9 _ -; never used before",
    "--control, --canary   policies: what holds now, and what is tried",
    "--share <share>       of requests that the canary gets: 10% or 0.1 (default: 10%; with --kind ab 50%)",
    "--kind canary|ab      ab: which of two is better",
    "--model <version>     routing model of the canary; --control-model of the control; `none`: none (default: whichever is active)",
    "--tenant, --task      of these alone; may be repeated",
    "--margin <share>      largest tolerated loss of quality (default: 2%); as much more may fail",
    "--late-margin <share> as many more may be late, of the requests with a latency_slo_ms (default: 5%; `none`: not watched)",
    "--late-after <ms>     what is late where a request names no latency_slo_ms (default: nothing)",
    "--cost-margin <share> as much more a request may cost on average (default: 20%; `none`: not watched)",
    "--risk <share>        of rolling back what is within all of these (default: 5%)",
    "--quality feedback|shadow   what quality is: judged feedback, or agreement with the baseline (default: feedback)",
    "--unit request|user   what stays with one arm; by user, the first label of each counts (default: request)",
    "--max-requests <n>, --days <n>   it ends by itself (default: 100000 requests, 14 days)",
    "--promoted  of stop: it ends because the canary has become the rule",
    "--json      for programs",
  ],
  example: "inferctl experiment start --name predictive-1 --control cascade-routing --canary predictive --share 10% --margin 2%",
  options: {
    json: { type: "boolean" }, name: { type: "string" }, control: { type: "string" }, canary: { type: "string" }, share: { type: "string" }, kind: { type: "string" }, model: { type: "string" }, "control-model": { type: "string" },
    tenant: { type: "string", multiple: true }, task: { type: "string", multiple: true }, margin: { type: "string" }, "late-margin": { type: "string" }, "late-after": { type: "string" }, "cost-margin": { type: "string" }, risk: { type: "string" }, quality: { type: "string" }, unit: { type: "string" },
    "max-requests": { type: "string" }, days: { type: "string" }, promoted: { type: "boolean" },
  },
  maxPositionals: 2,
  verbs: ["list", "start", "status", "stop"],
  run: (given, context) => {
    const [verb] = given.positionals;
    switch (verb ?? "") {
      case "list": return list(given, context);
      case "start": return start(given, context);
      case "status": return status(given, context);
      case "stop": return stop(given, context);
      default: return refuse(verb === undefined ? "say what to do" : `there is no "experiment ${verb}"`);
    }
  },
};

type Run = (given: ParsedArguments, context: CliContext) => Promise<number>;

const list: Run = (given, { environment, print }) => withBuckets(environment, async ({ experiments }) => {
  const found = await experiments.list();
  const rows = found.map(({ experiment_id, kind, status: now, started_at, arms, history }) => [experiment_id, kind, now, started_at, arms.map(({ name, policy, share }) => `${name}=${policy} ${Number((100 * share).toFixed(2))} %`).join(", "), history.at(-1)?.why ?? ""]);
  sayer(given, { print })({ experiments: found }, found.length === 0 ? "no experiment yet; begin one with: inferctl experiment start" : textTable(["NAME", "KIND", "STATUS", "SINCE", "ARMS", "WHY"], rows));
  return 0;
});

const start: Run = (given, { environment, print }) => withBuckets(environment, async ({ models, experiments }) => {
  const asked = experimentOf(given, new Date());
  const names = policyNames(tierFileOf(environment).tiers);
  for (const { policy, model_version } of asked.arms) {
    if (!names.includes(policy)) refuse(`there is no policy ${policy}; there are ${names.join(", ")}`);
    if (typeof model_version !== "string") continue;
    const model = await models.get(model_version);
    if (model === null) throw new SetupError(`there is no model ${model_version}`, "See: inferctl models list", { exitCode: EXIT_USAGE });
    requireFit(model, environment);
  }
  const outcome = await experiments.start(asked);
  if (outcome === "exists") throw new SetupError(`there was an experiment ${asked.experiment_id} before`, "Give it another --name: what the audit has of that one is not mixed with it.", { exitCode: EXIT_USAGE });
  if (outcome === "another") throw new SetupError("an experiment is running, and there is one at a time", "See: inferctl experiment status; end it with: inferctl experiment stop", { exitCode: EXIT_USAGE });
  sayer(given, { print })(asked, `experiment ${asked.experiment_id} is running; routers follow within seconds. It is rolled back by itself when its canary ${guardsText(asked.metric)} than the control. How it stands: inferctl experiment status`);
  return 0;
});

/** What nobody asked for holds, too, and should surprise nobody. */
function guardsText({ max_loss, max_late, max_extra_cost }: Experiment["metric"]): string {
  const percent = (share: number): string => String(Number((100 * share).toFixed(2)));
  return [
    `is worse by more than ${percent(max_loss)} points of quality`, `fails more than ${percent(max_loss)} points more`,
    ...(max_late === null ? [] : [`is late more than ${percent(max_late)} points more`]), ...(max_extra_cost === null ? [] : [`costs more than ${percent(max_extra_cost)} % more per request`]),
  ].join(", or ");
}

const status: Run = (given, { environment, print }) => withBuckets(environment, async ({ experiments }) => {
  const found = await named(experiments, given.positionals[1]);
  const { watch } = await experiments.watch(found.experiment_id);
  const { figures, guards } = await withTenancy(environment, (rights) => readArms(rights, found, FIGURES_TIMEOUT_MS));
  const report = armReport(found, watch, { figures, guards, nowMs: Date.now() });
  sayer(given, { print })(report, armReportText(report));
  return 0;
});

const stop: Run = (given, { environment, print }) => withBuckets(environment, async ({ experiments }) => {
  const { experiment_id } = await named(experiments, given.positionals[1]);
  const isPromoted = given.values["promoted"] === true;
  const ended = await experiments.end(experiment_id, isPromoted ? "promoted" : "stopped", isPromoted ? "by inferctl: the canary has become the rule" : "by inferctl");
  if (ended === null) throw new SetupError(`experiment ${experiment_id} is over already`, "See: inferctl experiment status", { exitCode: EXIT_USAGE });
  sayer(given, { print })(ended, `experiment ${experiment_id} is ${ended.status}: within seconds all requests go as their tenants and the tier file say. What came of it: inferctl experiment status ${experiment_id}`);
  return 0;
});

async function named(experiments: ExperimentStore, name: string | undefined): Promise<Experiment> {
  const found = name === undefined ? await experiments.latest() : await experiments.get(name);
  return found ?? fail(name === undefined ? "no experiment was started yet" : `there is no experiment ${name}`);
}

/** As it is asked for, from now on. */
function experimentOf({ values }: Pick<ParsedArguments, "values">, now: Date): Experiment {
  const text = (option: string): string | undefined => (typeof values[option] === "string" ? values[option] : undefined);
  const texts = (option: string): string[] | undefined => (values[option] === undefined ? undefined : [values[option]].flat().map(String));
  const required = (option: string): string => text(option) ?? refuse(`--${option} is missing`);
  const kind = text("kind") ?? "canary";
  const share = shareOf("share", text("share") ?? (kind === "ab" ? "50%" : "10%"));
  const modelOf = (option: string) => (text(option) === undefined ? {} : { model_version: text(option) === "none" ? null : text(option) });
  /** Absent: as the contract has it. */
  const guardOf = (field: string, option: string) => (text(option) === undefined ? {} : { [field]: text(option) === "none" ? null : shareOf(option, text(option) ?? "") });
  const started_at = now.toISOString();
  const days = numberOf("days", text("days") ?? "14");
  const parsed = Experiment.safeParse({
    experiment_id: required("name"), kind, unit: text("unit") ?? "request",
    arms: [{ name: "control", policy: required("control"), ...modelOf("control-model"), share: 1 - share }, { name: "canary", policy: required("canary"), ...modelOf("model"), share }],
    scope: { tenants: texts("tenant"), tasks: texts("task") },
    metric: {
      quality: text("quality") ?? "feedback", max_loss: shareOf("margin", text("margin") ?? "2%"), risk: shareOf("risk", text("risk") ?? "5%"),
      ...guardOf("max_late", "late-margin"), ...guardOf("max_extra_cost", "cost-margin"), ...(text("late-after") === undefined ? {} : { late_after_ms: numberOf("late-after", text("late-after") ?? "") }),
    },
    max_requests: numberOf("max-requests", text("max-requests") ?? "100000"), started_at, ends_at: new Date(now.getTime() + days * 86_400_000).toISOString(),
    status: "running", history: [{ at: started_at, status: "running", why: "by inferctl" }],
  });
  return parsed.success ? parsed.data : refuse(inOneLine(issueLines(parsed.error)));
}

/** "10%" or "0.1". */
function shareOf(option: string, text: string): number {
  const [, digits, percent] = /^(\d+(?:\.\d+)?)\s*(%)?$/.exec(text) ?? refuse(`--${option} ${text}: not of the form 10% or 0.1`);
  return Number(digits) / (percent === undefined ? 1 : 100);
}
const MOST_DAYS = 365;
function numberOf(option: string, text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || !(value > 0) || (option === "days" && value > MOST_DAYS)) refuse(`--${option} ${text}: must be a number above 0${option === "days" ? ` and at most ${MOST_DAYS}` : ""}`);
  return value;
}

function refuse(message: string): never {
  throw wrongUse("experiment", message);
}
function fail(message: string): never {
  throw new SetupError(message, "See: inferctl experiment list", { exitCode: EXIT_USAGE });
}

import { randomBytes } from "node:crypto";

import { pino } from "pino";
import { z } from "zod";

import { SetupError } from "#infra/embedded/setupError.ts";
import { addTo, type Estimate, newEstimate } from "#producers/replay/estimate.ts";
import { makeFindAsked } from "#producers/replay/findAsked.ts";
import { countIn, LiveTally, newLiveTally } from "#producers/replay/liveTally.ts";
import { type Pace, speedOf } from "#producers/replay/pace.ts";
import { RunId } from "#producers/replay/replayedId.ts";
import { preparedInOrder } from "#producers/replay/preparedInOrder.ts";
import { makePlan, type Planned, replayLive } from "#producers/replay/replayLive.ts";
import { AHEAD } from "#producers/replay/workThrough.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { DIRECT_ORIGIN, TenantId } from "#shared/contracts/ids.ts";
import type { NanoUsd } from "#shared/contracts/money.ts";
import { servedBy, type TierFile } from "#shared/contracts/tiers.ts";
import { makeReplies } from "#shared/messaging/replies.ts";
import { makeSubmitRequest } from "#shared/messaging/submitRequest.ts";

import { EXIT_INCOMPLETE, EXIT_USAGE, type ParsedArguments, wrongUse } from "../command.ts";
import { estimateReport, estimateText, howFar, liveReport, liveText } from "./liveText.ts";
import { withKnownTenants } from "./knownTenants.ts";
import { openInputs, rateOf, textOf, usdOf, wholeNumberOf } from "./modeOptions.ts";
import { nowAndThen } from "./nowAndThen.ts";
import { type ReplayBroker, withReplayBroker } from "./replayBroker.ts";
import type { ReplayContext, ReplayMode } from "./replayMode.ts";

/** What `--resume` keeps. */
const Found = z.object({ run_id: RunId, confirmed: z.int().nonnegative(), tally: LiveTally });
type Found = z.infer<typeof Found>;

/** As `MAX_DEADLINE` of the service: no request lasts longer. */
const LONGEST_DEADLINE_MS = 1_800_000;
const CONCURRENCY = 256;
const MOST_CONCURRENCY = 10_000;

export const liveMode: ReplayMode = {
  name: "live",
  summary: "Sends the recorded requests as new ones, which costs what requests cost. Says what that will be, and sends nothing before it is confirmed.",
  details: [
    "--inputs FILE    JSON lines { tenant_id, request_id, input | chat | embed } for events that did not keep theirs; those without any are counted",
    "--speed 2x | --rate N | --max   twice as fast as they were accepted (default: 1x); N per second; as fast as they are taken",
    `--concurrency N  most that are under way at once (default: ${CONCURRENCY})`,
    "--tenant-map old=new   asks another tenant; may be repeated. Tenants that are not here are skipped and counted",
    "--policy, --budget     in place of the recorded ones; the budget in USD of each request",
    '--confirm "<n> requests"   sends them: n as the estimate says it. Or --yes with --max-cost',
    "--max-cost USD   once the outcomes have cost more, no more is sent; what is under way ends",
    "--run ID         names the run (1 to 16 letters and digits); its requests are replay-<run>-<old id>, and the same run sends none twice",
    "--dry-run        the estimate alone",
    "Ends with 2 when a request failed, was rejected or had no outcome, or --max-cost ended the run.",
  ],
  example: 'inferctl replay --mode live --since 1h --speed 2x --confirm "1200 requests" --max-cost 5',
  options: {
    inputs: { type: "string" }, speed: { type: "string" }, rate: { type: "string" }, max: { type: "boolean" }, concurrency: { type: "string" }, "tenant-map": { type: "string", multiple: true }, policy: { type: "string" }, budget: { type: "string" },
    confirm: { type: "string" }, yes: { type: "boolean" }, "max-cost": { type: "string" }, run: { type: "string" }, "dry-run": { type: "boolean" },
  },
  run: async (values, context) => {
    const wanted = wantedOf(values);
    const found = context.resumed === null ? null : foundIn(context.resumed.found);
    const runId = found?.run_id ?? wanted.runId ?? newRunId();
    const file = wanted.inputs === null ? null : await openInputs(wanted.inputs);
    try {
      return await withReplayBroker(context.environment, "replay-live", (broker) => withKnownTenants(context.environment, async (tenants) => {
        const { streams, prefix, tierFile } = broker;
        const plan = makePlan({
          runId, tierFile, tenantMap: wanted.tenantMap, policy: wanted.policy, budgetNanoUsd: wanted.budgetNanoUsd,
          findAsked: makeFindAsked({ file, streams, prefix, now: Date.now }), isTenantKnown: async (tenantId) => (await tenants.standingOf(tenantId)) !== null,
        });
        const most = found?.confirmed ?? (await confirmed(context, wanted, plan, tierFile));
        if (most === null) return 0;
        return send(context, wanted, { broker, plan, most, runId, found });
      }));
    } finally {
      await file?.close();
    }
  },
};

interface Wanted {
  readonly inputs: string | null;
  readonly pace: Pace;
  readonly concurrency: number;
  readonly tenantMap: ReadonlyMap<string, string>;
  readonly policy: string | undefined;
  readonly budgetNanoUsd: NanoUsd | undefined;
  readonly confirm: string | null;
  readonly isYes: boolean;
  readonly maxCostNanoUsd: NanoUsd | null;
  readonly runId: string | null;
  readonly isDryRun: boolean;
  readonly isJson: boolean;
}
type Plan = (completion: Completion) => Promise<Planned>;

/** Throws a `SetupError` (64). Pure. */
export function wantedOf(values: ParsedArguments["values"]): Wanted {
  const runId = textOf(values, "run") ?? null;
  if (runId !== null && !RunId.safeParse(runId).success) throw wrongUse("replay", "--run must be 1 to 16 of A-Z a-z 0-9");
  const maxCostNanoUsd = usdOf(values, "max-cost") ?? null;
  const isYes = values["yes"] === true;
  if (isYes && maxCostNanoUsd === null) throw wrongUse("replay", "--yes needs --max-cost: nobody has looked at the estimate");
  return {
    inputs: textOf(values, "inputs") ?? null, pace: paceOf(values), concurrency: wholeNumberOf(values, "concurrency", MOST_CONCURRENCY) ?? CONCURRENCY, tenantMap: tenantMapOf(values["tenant-map"]),
    policy: textOf(values, "policy"), budgetNanoUsd: usdOf(values, "budget"), confirm: textOf(values, "confirm") ?? null, isYes, maxCostNanoUsd, runId, isDryRun: values["dry-run"] === true, isJson: values["json"] === true,
  };
}

function paceOf(values: ParsedArguments["values"]): Pace {
  const named = ["speed", "rate", "max"].filter((name) => values[name] !== undefined);
  if (named.length > 1) throw wrongUse("replay", `--${named.join(" and --")} exclude each other`);
  if (values["max"] === true) return { kind: "max" };
  const rate = textOf(values, "rate");
  if (rate !== undefined) return { kind: "rate", perS: rateOf(rate) };
  const speed = speedOf(textOf(values, "speed") ?? "1x");
  if (speed === null) throw wrongUse("replay", `--speed must be a factor above 0, as 2x, not ${textOf(values, "speed") ?? ""}`);
  return { kind: "original", speed };
}

function tenantMapOf(given: ParsedArguments["values"][string]): ReadonlyMap<string, string> {
  const pairs = (Array.isArray(given) ? given : []).map((pair) => {
    const [from = "", to = "", ...more] = String(pair).split("=");
    if (more.length > 0 || !TenantId.safeParse(from).success || !TenantId.safeParse(to).success) throw wrongUse("replay", `--tenant-map must be <old>=<new>, two ids of tenants, not ${String(pair)}`);
    return [from, to] as const;
  });
  const map = new Map(pairs);
  if (map.size < pairs.length) throw wrongUse("replay", "--tenant-map names a tenant twice");
  return map;
}

function foundIn(found: unknown): Found {
  const read = Found.safeParse(found);
  if (!read.success) throw new SetupError("the file of --resume is not of a live replay", "Name the file that the interrupted run has told.", { exitCode: EXIT_USAGE });
  return read.data;
}

const newRunId = (): string => randomBytes(4).toString("hex");

/** How many may be sent; `null`: none was to be. Throws a `SetupError` where nobody has confirmed it. */
async function confirmed(context: ReplayContext, wanted: Wanted, plan: Plan, tierFile: TierFile): Promise<number | null> {
  const { estimate, tally } = await context.progress.step("estimate", () => estimateOf(context, plan, tierFile), (made) => `${made.estimate.requests} requests`);
  const n = estimate.requests;
  const isAsked = !wanted.isYes && wanted.confirm === null;
  if (wanted.isDryRun || n === 0 || isAsked) context.print(wanted.isJson ? JSON.stringify(estimateReport(estimate, tally)) : estimateText(estimate, tally));
  else context.progress.note(estimateText(estimate, tally));
  if (wanted.isDryRun || n === 0 || context.signal.aborted) return null;
  const phrase = `${n} requests`;
  if (wanted.confirm !== null && wanted.confirm.trim() !== phrase) throw new SetupError(`nothing was sent: it is ${phrase}, and --confirm says "${wanted.confirm}"`, `If that is what you want, say --confirm "${phrase}".`, { exitCode: EXIT_USAGE });
  if (isAsked) throw new SetupError("nothing was sent: it is not confirmed", `Say --confirm "${phrase}", perhaps with --max-cost; or --yes with --max-cost.`, { exitCode: EXIT_USAGE });
  return n;
}

async function estimateOf({ source, signal }: ReplayContext, plan: Plan, tierFile: TierFile): Promise<{ readonly estimate: Estimate; readonly tally: LiveTally }> {
  const estimate = newEstimate(), tally = newLiveTally();
  const rates = new Map(servedBy(tierFile).map(({ name, price }) => [name, price]));
  for await (const { records, unreadable } of source.batches({ signal })) {
    for (const { why, count = 1 } of unreadable) countIn(tally.unreadable, why, count);
    for await (const [{ completion }, planned] of preparedInOrder(records, (record) => plan(record.completion), AHEAD)) {
      if ("skipped" in planned) {
        if (planned.skipped !== null) countIn(tally.skipped, planned.skipped);
      } else addTo(estimate, completion, { tenantId: planned.id.tenant_id, content: planned.content }, (tier) => rates.get(tier));
    }
  }
  return { estimate, tally };
}

interface Sending {
  readonly broker: ReplayBroker;
  readonly plan: Plan;
  readonly most: number;
  readonly runId: string;
  readonly found: Found | null;
}
async function send(context: ReplayContext, wanted: Wanted, { broker, plan, most, runId, found }: Sending): Promise<number> {
  const { source, signal, resumed, progress, print } = context;
  const { nats, streams, acks, prefix } = broker;
  const keep = (cursor: string, tally: LiveTally) => context.keep(cursor, { run_id: runId, confirmed: most, tally } satisfies Found);
  const before = found?.tally ?? newLiveTally();
  if (found === null) await keep(source.start, before); // what is sent from now on is this run's, also after a kill
  const startedMs = performance.now();
  const replies = makeReplies({ nats, streams, prefix, origin: DIRECT_ORIGIN, log: pino({ level: "silent" }), now: () => performance.now() });
  try {
    const { end, tally } = await progress.step(`live replay ${runId}`, () => replayLive({
      source, signal, most, plan, replies, tally: before, after: resumed?.cursor,
      maxCostNanoUsd: wanted.maxCostNanoUsd, pace: wanted.pace, concurrency: wanted.concurrency, looksFirst: found !== null || wanted.runId !== null,
      submit: makeSubmitRequest({ acks, streams: null, prefix }), longestDeadlineMs: LONGEST_DEADLINE_MS,
      keep: (now) => keep(now.cursor, now.tally),
      onProgress: nowAndThen((now, underWay) => { progress.tell?.(howFar({ done: now.requests, doneBefore: before.requests, of: most, underWay, costNanoUsd: now.now.cost_nano_usd, forMs: performance.now() - startedMs })); }, () => performance.now()),
      now: () => performance.now(),
    }), (done) => `${done.tally.requests} requests`);
    print(wanted.isJson ? JSON.stringify(liveReport(runId, end, tally)) : liveText(runId, end, tally));
    return end !== "max_cost" && isAllWell(tally) ? 0 : EXIT_INCOMPLETE;
  } finally {
    replies.close();
  }
}

const isAllWell = ({ unanswered, now: { outcomes } }: LiveTally): boolean => unanswered === 0 && (outcomes["failed"] ?? 0) + (outcomes["rejected"] ?? 0) === 0;

import { z } from "zod";

import { SetupError } from "#infra/embedded/setupError.ts";
import { makeFindAsked } from "#producers/replay/findAsked.ts";
import { replayShadow } from "#producers/replay/replayShadow.ts";
import { newShadowTally, ShadowTally, spentOf } from "#producers/replay/shadowTally.ts";
import { isSampled } from "#router/shadowStep.ts";
import type { NanoUsd } from "#shared/contracts/money.ts";

import { EXIT_INCOMPLETE, EXIT_USAGE, type ParsedArguments, wrongUse } from "../command.ts";
import { withKnownTenants } from "./knownTenants.ts";
import { openInputs, rateOf, textOf, usdOf, wholeNumberOf } from "./modeOptions.ts";
import { nowAndThen } from "./nowAndThen.ts";
import { withReplayBroker } from "./replayBroker.ts";
import type { ReplayMode } from "./replayMode.ts";
import { makeShadowPlan } from "./shadowPlan.ts";
import { shadowHowFar, shadowReport, shadowText } from "./shadowText.ts";

/** What `--resume` keeps. `started_at_ms`: labels from then on are this run's. */
const Found = z.object({ started_at_ms: z.int().positive(), tally: ShadowTally });

const DEFAULT_RATE = 5;
/** A worker has one slot for shadows. */
const CONCURRENCY = 16;
const MOST_CONCURRENCY = 256;
const PATIENCE_MS = 600_000;

export const shadowMode: ReplayMode = {
  name: "shadow",
  summary: "Asks recorded requests again of chosen tiers, off the live path, to gain labels. No tenant pays for it; --budget bounds it.",
  details: [
    "--budget USD      what has been spent and what is under way at its most never pass it together; then the run ends",
    `--rate N          requests per second (default: ${DEFAULT_RATE})`,
    "--sample P        share of requests, in (0, 1], by their ids: a run that goes on, and live sampling, draw alike (default: 1)",
    "--tiers a,b|all   who is asked beside the baseline tier, whose answer the label needs (default: the baseline tier alone)",
    "--inputs FILE     JSON lines { tenant_id, request_id, input | chat | embed } for events that did not keep theirs",
    `--concurrency N   most requests that are under way at once (default: ${CONCURRENCY})`,
    "Labels land in SHADOWS and in the tables shadows and shadow_tiers: train, evaluate and what-if see them. Requests that have a label are left out.",
    "Ends with 2 when the budget ended the run, or a tier did not answer in time.",
  ],
  example: "inferctl replay --mode shadow --since 7d --sample 0.1 --tiers all --rate 2 --budget 1.50",
  options: { budget: { type: "string" }, rate: { type: "string" }, sample: { type: "string" }, tiers: { type: "string" }, inputs: { type: "string" }, concurrency: { type: "string" } },
  run: async (values, context) => {
    const { source, signal, resumed, progress, print, environment } = context;
    const wanted = shadowWantedOf(values);
    const found = resumed === null ? { started_at_ms: Date.now(), tally: newShadowTally() } : foundIn(resumed.found);
    const file = wanted.inputs === null ? null : await openInputs(wanted.inputs);
    try {
      return await withReplayBroker(environment, "replay-shadow", ({ streams, publisher, prefix, tierFile }) => withKnownTenants(environment, async (tenants) => {
        const unknown = wanted.tiers === "baseline" || wanted.tiers === "all" ? [] : wanted.tiers.filter((name) => !tierFile.tiers.some((tier) => tier.name === name));
        if (unknown.length > 0) throw wrongUse("replay", `--tiers: there is no tier ${unknown.join(", ")}; there are ${tierFile.tiers.map(({ name }) => name).join(", ")}`);
        const plan = makeShadowPlan({ tierFile, shadowTiers: wanted.tiers, streams, prefix, findAsked: makeFindAsked({ file, streams, prefix, now: Date.now }), tenants, startedAtMs: found.started_at_ms, now: Date.now });
        const keep = (cursor: string, tally: ShadowTally) => context.keep(cursor, { started_at_ms: found.started_at_ms, tally } satisfies z.infer<typeof Found>);
        if (resumed === null) await keep(source.start, found.tally);
        const startedMs = performance.now();
        const { end, tally } = await progress.step("shadow replay", () => replayShadow({
          source, signal, plan, publisher, streams, prefix, tally: found.tally, after: resumed?.cursor,
          isSampled: (completion) => isSampled(completion, wanted.share), perS: wanted.perS, concurrency: wanted.concurrency, budgetNanoUsd: wanted.budgetNanoUsd, patienceMs: PATIENCE_MS,
          keep: (now) => keep(now.cursor, now.tally),
          onProgress: nowAndThen((now, underWay) => { progress.tell?.(shadowHowFar({ asked: now.requests, askedBefore: found.tally.requests, underWay, spentNanoUsd: spentOf(now), budgetNanoUsd: wanted.budgetNanoUsd, forMs: performance.now() - startedMs })); }, () => performance.now()),
          now: () => performance.now(),
        }), (done) => `${done.tally.requests} requests`);
        print(values["json"] === true ? JSON.stringify(shadowReport(end, tally)) : shadowText(end, tally));
        return end === "budget" || tally.unanswered > 0 ? EXIT_INCOMPLETE : 0;
      }));
    } finally {
      await file?.close();
    }
  },
};

/** Throws a `SetupError` (64). Pure. */
export function shadowWantedOf(values: ParsedArguments["values"]): { readonly budgetNanoUsd: NanoUsd; readonly perS: number; readonly share: number; readonly tiers: "baseline" | "all" | readonly string[]; readonly inputs: string | null; readonly concurrency: number } {
  const budgetNanoUsd = usdOf(values, "budget");
  if (budgetNanoUsd === undefined) throw wrongUse("replay", "--mode shadow needs --budget: the most in USD that it may spend");
  const share = Number(textOf(values, "sample") ?? 1);
  if (!(share > 0 && share <= 1)) throw wrongUse("replay", `--sample must be a share above 0 and at most 1, not ${textOf(values, "sample") ?? ""}`);
  const tiers = textOf(values, "tiers");
  return {
    budgetNanoUsd, share, inputs: textOf(values, "inputs") ?? null, concurrency: wholeNumberOf(values, "concurrency", MOST_CONCURRENCY) ?? CONCURRENCY,
    perS: rateOf(textOf(values, "rate") ?? String(DEFAULT_RATE)), tiers: tiers === undefined ? "baseline" : tiers === "all" ? "all" : tiers.split(",").map((name) => name.trim()),
  };
}

function foundIn(found: unknown): z.infer<typeof Found> {
  const read = Found.safeParse(found);
  if (!read.success) throw new SetupError("the file of --resume is not of a shadow replay", "Name the file that the interrupted run has told.", { exitCode: EXIT_USAGE });
  return read.data;
}

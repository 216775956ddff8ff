/** Whom a shadow replay asks about one recorded request: what the router decides about a sampled one, and what that may cost at most. */
import type { makeFindAsked } from "#producers/replay/findAsked.ts";
import type { ShadowRun } from "#producers/replay/replayShadow.ts";
import { factsFor } from "#router/policy/quoteTiers.ts";
import { earlierOutputs } from "#router/shadow.ts";
import { earlierAnswers, keptAnswerOf, type SampleOptions, shadowStep } from "#router/shadowStep.ts";
import { type Input, isEmbed } from "#shared/contracts/chat.ts";
import { Shadow, type ShadowJob } from "#shared/contracts/shadow.ts";
import { toRequest } from "#shared/contracts/request.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { shadowSubject } from "#shared/messaging/topology.ts";

import type { KnownTenants } from "./knownTenants.ts";

export interface ShadowPlanDeps {
  readonly tierFile: TierFile;
  readonly shadowTiers: SampleOptions["shadowTiers"];
  readonly streams: StoredMessages;
  readonly prefix: string;
  readonly findAsked: ReturnType<typeof makeFindAsked>;
  readonly tenants: Pick<KnownTenants, "standingOf" | "isLabelled">;
  /** Epoch milliseconds: a label from then on is this run's own. */
  readonly startedAtMs: number;
  readonly now: () => number;
}

export const makeShadowPlan = ({ tierFile, shadowTiers, streams, prefix, findAsked, tenants, startedAtMs, now }: ShadowPlanDeps): ShadowRun["plan"] => async (completion) => {
  const kept = keptAnswerOf(completion);
  if (kept === null) return { skipped: "no_answer" };
  const standing = await tenants.standingOf(completion.tenant_id);
  if (standing === null) return { skipped: "tenant_unknown" };
  const stored = await streams.last("SHADOWS", shadowSubject(prefix, completion));
  const label = stored === null ? null : readStored(Shadow, stored);
  if (stored === null ? await tenants.isLabelled(completion) : label === null || label.at_ms < startedAtMs) return { skipped: "labelled" };
  const asked = await findAsked(completion);
  if (asked !== null && isEmbed(asked.input)) return { skipped: "no_answer" };
  const { max_tier } = completion.terms ?? asked?.message ?? {};
  const request = asked === null ? null : { input: asked.input, max_tier, allowed_tiers: standing.settings.allowed_tiers };
  const step = shadowStep(completion, kept, { request, outputs: await earlierOutputs({ streams, prefix }, completion, earlierAnswers(completion, kept)) }, { tierFile, shadowTiers }, now());
  switch (step.kind) {
    case "none": return { skipped: "ruled_out" };
    case "gone": return { skipped: "no_input" };
    case "run": return { shadow: null, job: step.job, mostNanoUsd: mostCostOf(step.job, tierFile) };
    case "known": return { shadow: step.shadow, job: step.job, mostNanoUsd: step.job === null ? 0 : mostCostOf(step.job, tierFile) };
  }
};

/** Of all calls of the job and of those after it, each tried again as often as its tier allows. */
function mostCostOf({ tenant_id, request_id, tier, next_tiers, task, input }: ShadowJob, tierFile: TierFile): number {
  const request = toRequest({ tenant_id, request_id }, { origin: "replay", user_id: "replay", budget: 0, ...askedFor(input), ...(task === null ? {} : { task }) }, { acceptedAtMs: 1, defaultDeadlineMs: 1, maxDeadlineMs: 1, defaultPolicy: tierFile.default_policy, fingerprint: "" });
  const wanted = [tier, ...next_tiers];
  const tries = new Map(tierFile.tiers.map(({ name, max_tries }) => [name, max_tries]));
  return factsFor(request, tierFile, new Map(), 1).quotes.filter((quote) => wanted.includes(quote.tier)).reduce((sum, quote) => sum + quote.max_cost_nano_usd * (tries.get(quote.tier) ?? 1), 0);
}
const askedFor = (input: Input) => (typeof input === "string" ? { input } : isEmbed(input) ? { embed: input } : { chat: input });

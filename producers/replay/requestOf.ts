/** A recorded request as a new one. Pure. */
import { type Input, isEmbed } from "#shared/contracts/chat.ts";
import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { type NanoUsd, toUsd } from "#shared/contracts/money.ts";
import { InferBody, type RequestMessage, unknownName } from "#shared/contracts/request.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import type { Id } from "#shared/messaging/topology.ts";

import { replayedId } from "./replayedId.ts";

/** What was asked. `message`: as REQUESTS still has it, with all its terms. */
export interface Asked {
  readonly input: Input;
  readonly message?: RequestMessage | undefined;
}
export interface ReplayOptions {
  readonly runId: string;
  /** Recorded tenant to the one that is asked. */
  readonly tenantMap: ReadonlyMap<string, string>;
  /** In place of the recorded one. */
  readonly policy?: string | undefined;
  readonly budgetNanoUsd?: NanoUsd | undefined;
  readonly tierFile: Pick<TierFile, "tiers" | "embedders">;
}
export type Content = Omit<InferBody, "request_id" | "tenant_id">;
export type RequestOf = { readonly id: Id; readonly content: Content } | { readonly problem: string };

/** Of the 16 entries that metadata may have, two are the replay's. */
const MOST_METADATA = 14;

/**
 * The terms are the recorded ones, durations instead of times. Nobody's webhooks are told, and no key is named: keys are of gateways. `problem`:
 * why the service would not take it.
 */
export function requestOf(completion: Completion, asked: Asked, options: ReplayOptions): RequestOf {
  const { tierFile, tenantMap, runId } = options;
  const tenant_id = tenantMap.get(completion.tenant_id) ?? completion.tenant_id;
  const id = { tenant_id, request_id: replayedId(runId, completion, tenant_id) };
  const read = InferBody.safeParse({ ...id, ...definedOf(fieldsOf(completion, asked, options)) });
  if (!read.success) return { problem: inOneLine(issueLines(read.error)) };
  const { request_id: _id, tenant_id: _tenant, ...content } = read.data;
  const problem = unknownName(content, tierFile);
  return problem === null ? { id, content } : { problem };
}

function fieldsOf(completion: Completion, { input, message }: Asked, { runId, policy, budgetNanoUsd }: ReplayOptions): object {
  const { user_id, budget_nano_usd, latency_slo_ms, task, metadata, terms } = completion;
  const budget = budgetNanoUsd ?? budget_nano_usd;
  return {
    user_id: user_id ?? undefined,
    ...(typeof input === "string" ? { input } : isEmbed(input) ? { embed: input } : { chat: input }),
    budget: budget === null ? undefined : toUsd(budget),
    latency_slo_ms,
    deadline_ms: terms === undefined ? message?.deadline_ms : Math.max(1, terms.deadline_at_ms - completion.accepted_at_ms),
    min_quality: terms?.min_quality ?? message?.min_quality,
    min_tier: terms?.min_tier ?? message?.min_tier,
    max_tier: terms?.max_tier ?? message?.max_tier,
    priority: terms?.priority ?? message?.priority,
    cache_control: message?.cache_control,
    policy: isEmbed(input) ? (completion.policy ?? undefined) : (policy ?? completion.policy ?? undefined), // a text to embed names its embedder
    task: task ?? undefined,
    metadata: { ...Object.fromEntries(Object.entries(metadata ?? {}).slice(0, MOST_METADATA)), replay_run: runId, replay_of: completion.request_id },
  };
}

/** What is not known is not said: then the service's defaults hold. */
const definedOf = (fields: object): object => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** Decides again all that a running system has decided, from COMPLETIONS and what its routers keep in NATS, as `inferctl replay --mode verify` does. */
import { type KeptVersions, type Verdict, verifyRequest, versionsNeeded } from "#router/evaluation/verify/verifyRequest.ts";
import { Completion } from "#shared/contracts/events.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import { openModelStore } from "#shared/messaging/modelStore.ts";
import { openTierFileStore } from "#shared/messaging/tierFileStore.ts";

import type { Broker } from "./callers.ts";

const AT_ONCE = 64;

export interface Verified {
  readonly completion: Completion;
  readonly verdict: Verdict;
}
export async function verifyStream({ nats, jsm }: Broker): Promise<Verified[]> {
  const { state: { first_seq, last_seq, messages } } = await jsm.streams.info("COMPLETIONS");
  const completions: Completion[] = [];
  for (let seq = first_seq; seq <= last_seq && messages > 0; seq += AT_ONCE) {
    const found = await Promise.all(Array.from({ length: Math.min(AT_ONCE, last_seq - seq + 1) }, (_, i) => jsm.streams.getMessage("COMPLETIONS", { seq: seq + i })));
    for (const message of found) if (message !== null) completions.push(Completion.parse(message.json()));
  }
  const versions = await keptVersions(nats, completions);
  return completions.map((completion) => ({ completion, verdict: verifyRequest(completion, versions) }));
}

/** By kind, and by why where it says so. */
export function tallyOf(verified: readonly Verified[]): Record<string, number> {
  const tally: Record<string, number> = {};
  for (const { verdict } of verified) {
    const name = verdict.kind === "unverifiable" ? verdict.why : verdict.kind;
    tally[name] = (tally[name] ?? 0) + 1;
  }
  return tally;
}

async function keptVersions(nats: Broker["nats"], completions: readonly Completion[]): Promise<KeptVersions> {
  const [tiers, models] = [new Set<string>(), new Set<string>()];
  for (const completion of completions) versionsNeeded(completion, { tierFile: (version) => { tiers.add(version); }, model: (version) => { models.add(version); } });
  const [tierStore, modelStore] = [await openTierFileStore(nats, "infer"), await openModelStore(nats, "infer")];
  const tierFiles = new Map<string, TierFile | null>(), modelFiles = new Map<string, RoutingModelFile | null>();
  for (const version of tiers) {
    const found = await tierStore.get(version);
    tierFiles.set(version, found !== null && "file" in found ? found.file : null);
  }
  for (const version of models) modelFiles.set(version, await modelStore.get(version));
  return { tierFiles, models: modelFiles };
}

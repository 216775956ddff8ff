/** The active routing model, followed while the router runs. A model that cannot be used never stops routing: the one before it stays. */
import type { Logger } from "pino";

import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import type { Tier } from "#shared/contracts/tiers.ts";
import { openModelStore } from "#shared/messaging/modelStore.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { every, type Lifecycle } from "#shared/runtime/lifecycle.ts";

const POLL_MS = 1_000;

interface Followed {
  readonly nats: Broker["nats"];
  readonly prefix: string;
  readonly tiers: readonly Pick<Tier, "name">[];
  readonly log: Logger;
  /** Told of each change, and of each model that could not be used. */
  readonly observe: (change: { readonly version: string; readonly isUsed: boolean }) => void;
}

/** Resolves after the first look. The returned function never waits and never throws. */
export async function followModel({ nats, prefix, tiers, log, observe }: Followed, { signal }: Lifecycle): Promise<() => RoutingModelFile | null> {
  let model: RoutingModelFile | null = null;
  let seen = "";
  const look = async (): Promise<void> => {
    const store = await openModelStore(nats, prefix);
    const version = (await store.active())?.version ?? "";
    if (version === seen) return;
    if (version === "") {
      [model, seen] = [null, version];
      return;
    }
    const problem = await take(version, store.get(version).catch((error: unknown) => String(error)));
    seen = version; // a bad one is told of once
    if (problem !== null) log.error({ version, problem, kept: model?.version ?? null }, "cannot use the active routing model");
    observe({ version, isUsed: problem === null });
  };
  const take = async (version: string, reading: Promise<RoutingModelFile | string | null>): Promise<string | null> => {
    const found = await reading;
    if (found === null) return "there is no such version";
    if (typeof found === "string") return found;
    const problem = tierProblem(found, tiers);
    if (problem !== null) return problem;
    model = found;
    log.info({ version }, "routing model is active");
    return null;
  };
  const tick = () => look().catch((error: unknown) => { log.debug({ err: error }, "cannot look for a routing model"); });
  await tick();
  every(POLL_MS, signal, tick);
  return () => model;
}

/** Pure: why a model does not fit these tiers; `null` when it does. */
export function tierProblem({ tiers: known }: Pick<RoutingModelFile, "tiers">, tiers: readonly { readonly name: string }[]): string | null {
  const names = tiers.map(({ name }) => name);
  const isSame = known.length === names.length && known.every((tier) => names.includes(tier));
  return isSame ? null : `it was trained for the tiers ${known.join(", ")}, and the tier file has ${names.join(", ")}`;
}

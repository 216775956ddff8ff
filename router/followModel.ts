/**
 * The active routing model and the guard of its floor, followed while the router runs. A model that cannot be used never
 * stops routing: the one before it stays. Only a deactivation takes it away; that nothing is stored means that the bucket is
 * new, or was lost.
 */
import type { Logger } from "pino";

import { type Activation, type FloorGuard, guardOf } from "#shared/contracts/floorGuard.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { type ModelStore, openModelStore, UnreadableModel } from "#shared/messaging/modelStore.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { tierProblem } from "#shared/runtime/tierProblem.ts";
import { every, type Lifecycle } from "#shared/runtime/lifecycle.ts";

const POLL_MS = 1_000;

/** Of a tier file. */
interface TierNames {
  readonly tiers: readonly { readonly name: string }[];
  readonly baseline_tier: string;
}
interface Followed {
  readonly nats: Broker["nats"];
  readonly prefix: string;
  readonly tierFile: TierNames;
  readonly log: Logger;
  /** Told of each change, and of each model that could not be used. `null`: of a deactivation. */
  readonly observe: (change: { readonly version: string | null; readonly isUsed: boolean }) => void;
}
/** What a router decides with. */
export interface Routing {
  readonly model: RoutingModelFile | null;
  /** Of that model since it was activated last; `null` before the first label. The baseline alone where it cannot be read. */
  readonly guard: FloorGuard | null;
  /** Of that model. Not the latest one where that is of a model that cannot be used. */
  readonly activation: ModelActivation | null;
}
type ModelActivation = Activation & { readonly version: string };
/** Before the first model, and after a deactivation. */
export const NO_ROUTING: Routing = { model: null, guard: null, activation: null };

/** Resolves after the first look. The returned function never waits and never throws. */
export async function followModel({ nats, prefix, tierFile, log, observe }: Followed, { signal }: Lifecycle): Promise<() => Routing> {
  let routing = NO_ROUTING;
  let seen: string | null = "";
  let opened: ModelStore | null = null;
  let told = ""; // of which stored guard
  const readGuard = async (store: ModelStore, activation: ModelActivation): Promise<FloorGuard | null> => {
    const { version } = activation;
    const { watched, revision } = await store.floor(version);
    const which = `${version} ${revision}`;
    if (watched === "unreadable" && told !== which) {
      log.error({ version }, "cannot read the guard of the quality floor: the baseline answers alone until the model is activated again");
      told = which;
    }
    return guardOf(watched, activation);
  };
  const look = async (): Promise<void> => {
    const store = (opened ??= await openModelStore(nats, prefix));
    const active = await store.active();
    if (active === null) return; // before the first, or in a bucket that was lost
    const { version } = active;
    if (version === null) {
      if (seen === null) return;
      routing = NO_ROUTING;
      seen = null;
      log.info("no routing model is active: the tier file's thresholds decide");
      observe({ version, isUsed: true });
      return;
    }
    const activation = { ...active, version };
    if (version === seen) {
      const followed = routing.model?.version === version ? activation : routing.activation; // one that goes on in place of a bad one has its guard too
      if (followed !== null) routing = { ...routing, activation: followed, guard: await readGuard(store, followed) };
      return;
    }
    const guard = await readGuard(store, activation); // first, so that no model is used without its guard
    const found = await store.get(version).catch((error: unknown) => {
      if (error instanceof UnreadableModel) return error;
      throw error; // an outage: the next look repeats it
    });
    seen = version; // a bad one is told of once
    const problem = found === null ? "there is no such version" : found instanceof UnreadableModel ? found.message : tierProblem(found, tierFile);
    if (found === null || found instanceof UnreadableModel || problem !== null) {
      log.error({ version, problem, kept: routing.model?.version ?? null }, "cannot use the active routing model");
      observe({ version, isUsed: false });
      return;
    }
    routing = { model: found, guard, activation };
    log.info({ version, floor_steps: guard?.steps ?? 0 }, "routing model is active");
    observe({ version, isUsed: true });
  };
  const tick = () => look().catch((error: unknown) => { log.debug({ err: error }, "cannot look for a routing model"); });
  await tick();
  every(POLL_MS, signal, tick);
  return () => routing;
}

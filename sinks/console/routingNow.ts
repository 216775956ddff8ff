import type { Logger } from "pino";

import { followRouting } from "#shared/messaging/followRouting.ts";
import { openModelStore } from "#shared/messaging/modelStore.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { every, type Lifecycle } from "#shared/runtime/lifecycle.ts";

import type { Routing } from "./api.ts";

export const NO_ROUTING: Routing = { model_version: null, floor: null };
const LOOK_EVERY_MS = 2_000;

/** Which model decides, and what it promises. The returned function never waits and never throws. */
export function followPromise({ broker: { nats }, prefix, log }: { readonly broker: Pick<Broker, "nats">; readonly prefix: string; readonly log: Logger }, context: Lifecycle): () => Routing {
  const routing = followRouting({ nats, prefix, log }, context);
  let promise: { readonly version: string; readonly target: number } | null = null;
  const look = async (): Promise<void> => {
    const version = routing()?.version ?? null;
    if (version === null || version === promise?.version) return;
    const model = await (await openModelStore(nats, prefix)).get(version);
    promise = model === null ? null : { version, target: model.target };
  };
  every(LOOK_EVERY_MS, context.signal, () => look().catch((error: unknown) => { log.debug({ err: error }, "cannot read the active routing model"); }));
  return () => {
    const known = routing();
    if (known === null || known.version === null) return NO_ROUTING;
    return { model_version: known.version, floor: promise?.version === known.version ? { quality: promise.target, steps: known.floorSteps } : null };
  };
}

/** Which routing model is active, and how careful the guard of its floor is: for who must know what decides, without deciding. */
import type { NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "pino";

import { guardOf, type Steps } from "#shared/contracts/floorGuard.ts";
import { every, type Lifecycle } from "#shared/runtime/lifecycle.ts";

import { type ModelStore, openModelStore } from "./modelStore.ts";

export interface ActiveRouting {
  /** `null`: none, the tier file's thresholds decide. */
  readonly version: string | null;
  readonly floorSteps: Steps;
}
/** As often as routers do. */
const POLL_MS = 1_000;

/** The returned function never waits and never throws; `null` until it is known once. */
export function followRouting({ nats, prefix, log }: { readonly nats: NatsConnection; readonly prefix: string; readonly log: Logger }, { signal }: Lifecycle): () => ActiveRouting | null {
  let known: ActiveRouting | null = null;
  let store: ModelStore | null = null;
  const look = async (): Promise<void> => {
    store ??= await openModelStore(nats, prefix);
    const active = await store.active();
    const { version = null } = active ?? {};
    const guard = active === null || version === null ? null : guardOf((await store.floor(version)).watched, { ...active, version });
    known = { version, floorSteps: guard?.steps ?? 0 };
  };
  const tick = () => look().catch((error: unknown) => { log.debug({ err: error }, "cannot look for the active routing model"); });
  void tick();
  every(POLL_MS, signal, tick);
  return () => known;
}

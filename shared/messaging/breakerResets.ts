/** Whoever administrates may have the breaker of a tier let its trial call through at once. Core messages: who is not there has nothing to reset. */
import type { NatsConnection } from "@nats-io/transport-node";

import { breakerResetSubject } from "./topology.ts";

interface OfTier {
  readonly prefix: string;
  readonly tier: string;
}
/** Resolves when the server has it. */
export async function sendBreakerReset(nats: NatsConnection, { prefix, tier }: OfTier): Promise<void> {
  nats.publish(breakerResetSubject(prefix, tier));
  await nats.flush();
}

/** Until the connection ends. */
export function followBreakerResets(nats: NatsConnection, { prefix, tier }: OfTier, reset: () => void): void {
  nats.subscribe(breakerResetSubject(prefix, tier), { callback: (error) => { if (error === null) reset(); } });
}

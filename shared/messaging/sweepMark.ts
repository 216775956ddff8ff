import { Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";

import { sweeperBucket } from "./topology.ts";

const KEY = "swept_until_ms";

/** How far the sweepers came, in epoch milliseconds: everything stored before it is terminal. `null` before the first. */
export interface SweepMark {
  read(): Promise<number | null>;
  write(sweptUntilMs: number): Promise<void>;
}

export async function openSweepMark(nats: NatsConnection, prefix: string): Promise<SweepMark> {
  const bucket = await new Kvm(nats).open(sweeperBucket(prefix).name);
  return {
    async read() {
      const value = Number((await bucket.get(KEY))?.string() ?? NaN);
      return Number.isFinite(value) ? value : null;
    },
    async write(sweptUntilMs) {
      await bucket.put(KEY, String(sweptUntilMs));
    },
  };
}

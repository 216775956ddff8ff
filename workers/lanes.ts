/**
 * The two lanes of a tier's jobs in one worker process. Jobs that somebody waits for have all `slots` of the tier, whatever
 * waits in the other lane; batch jobs run beside them, in a few slots of their own, and begin only while not all of those are in use.
 * While the backend takes fewer calls at once than there are slots, both lanes share what it takes, and batches leave one of it free for the other.
 */
import { batchSlotsOf } from "#shared/contracts/tiers.ts";
import { consumePerSlot, type SlotOptions } from "#shared/messaging/consume.ts";
import { batchWorkerSource, type Lane, type TierSlots, workerSource } from "#shared/messaging/topology.ts";

export interface Lanes {
  /** Jobs that run now. */
  readonly busy: Readonly<Record<Lane, number>>;
  readonly slots: Readonly<Record<Lane, number>>;
  readonly isFull: () => boolean;
  /** Both, until the signal. */
  run(options: Omit<SlotOptions, "source" | "concurrency" | "mayRun" | "inUse">): Promise<void>;
}

/** `limit`: calls that the backend takes at once, as far as is known. */
export function makeLanes(prefix: string, tier: TierSlots, limit: () => number = () => tier.slots): Lanes {
  const busy = { interactive: 0, batch: 0 };
  const slots = { interactive: tier.slots, batch: batchSlotsOf(tier) };
  const sources = { interactive: workerSource(prefix, tier), batch: batchWorkerSource(prefix, tier) };
  const isFull = () => busy.interactive >= Math.min(slots.interactive, limit());
  const hasRoomForBatch = () => {
    if (limit() >= slots.interactive) return !isFull();
    const left = limit() - busy.interactive - busy.batch;
    return left > 1 || left === limit(); // one stays free: the gap between two jobs of the other lane is none for batches
  };
  return {
    busy, slots, isFull,
    async run(options) {
      const loop = (lane: Lane): SlotOptions => ({
        ...options, source: sources[lane], concurrency: slots[lane],
        async handle(delivery) {
          busy[lane]++;
          await options.handle(delivery).finally(() => { busy[lane]--; });
        },
      });
      await Promise.all([consumePerSlot({ ...loop("interactive"), inUse: limit }), consumePerSlot({ ...loop("batch"), mayRun: hasRoomForBatch })]);
    },
  };
}

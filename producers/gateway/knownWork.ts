/** The work that is there, as routers tell it, with what this gateway has let in since. */
import type { LaneLoad, Load } from "#shared/contracts/load.ts";
import type { Lane } from "#shared/messaging/topology.ts";
import type { Waiting, Work } from "#shared/overload/shedding.ts";

export interface KnownWork {
  /** What a router says. One that has just started, and cannot say how fast requests end, is heard only where no other was of late. */
  readonly heard: (load: Load) => void;
  readonly letIn: (tenantId: string, lane: Lane) => void;
  /** `null`: no router was heard of late. */
  readonly work: () => Work | null;
}
const PREFERRED_FOR_MS = 1_000;
/** A router that is away for longer is no longer a measure of what is there. */
const KNOWN_FOR_MS = 5_000;

/** `now`: monotonic, in milliseconds. */
export function makeKnownWork(now: () => number): KnownWork {
  let known: { readonly load: Load; readonly openOf: Record<Lane, ReadonlyMap<string, number>>; readonly atMs: number } | null = null;
  const letInSince: Record<Lane, Map<string, number>> = { interactive: new Map(), batch: new Map() };
  const waiting = (lane: Lane, { open, slots, rate, tenants }: LaneLoad, openOf: ReadonlyMap<string, number>): Waiting => {
    const since = letInSince[lane];
    const added = [...since.values()].reduce((sum, count) => sum + count, 0);
    const newTenants = [...since.keys()].filter((tenantId) => !openOf.has(tenantId)).length;
    return {
      open: open + added, slots, rate: rate === null ? null : { endsPerS: rate.ends_per_s, serviceMs: rate.service_ms }, tenants: tenants + newTenants,
      openOf: (tenantId) => (openOf.get(tenantId) ?? 0) + (since.get(tenantId) ?? 0),
    };
  };
  return {
    heard(load) {
      const isPreferred = known !== null && now() - known.atMs < PREFERRED_FOR_MS && known.load.lanes.interactive.rate !== null;
      if (isPreferred && load.lanes.interactive.rate === null) return;
      const { interactive, batch } = load.lanes;
      known = { load, openOf: { interactive: new Map(interactive.open_of), batch: new Map(batch.open_of) }, atMs: now() };
      letInSince.interactive.clear();
      letInSince.batch.clear();
    },
    letIn(tenantId, lane) {
      letInSince[lane].set(tenantId, (letInSince[lane].get(tenantId) ?? 0) + 1);
    },
    work() {
      if (known === null || now() - known.atMs > KNOWN_FOR_MS) return null;
      const { load: { lanes, fullest_share: fullestShare }, openOf } = known;
      return { lanes: { interactive: waiting("interactive", lanes.interactive, openOf.interactive), batch: waiting("batch", lanes.batch, openOf.batch) }, fullestShare };
    },
  };
}

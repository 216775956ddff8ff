/** What routers say of the work that is there, for gateways to decide about more of it. */
import type { NatsConnection } from "@nats-io/transport-node";

import { Load } from "#shared/contracts/load.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

import { loadsOf, loadSubject } from "./topology.ts";

/** Lost while the connection is away: nobody could hear it. */
export function sayLoad(nats: NatsConnection, { prefix, instance }: { readonly prefix: string; readonly instance: string }, load: Load): void {
  if (!nats.isClosed()) nats.publish(loadSubject(prefix, instance), JSON.stringify(load));
}

/** Until the connection ends. Each that is heard, from whatever router: all fold the same streams. What cannot be read is left out. */
export function followLoads(nats: NatsConnection, prefix: string, take: (load: Load) => void): void {
  nats.subscribe(loadsOf(prefix), {
    callback(error, { data }) {
      if (error !== null) return;
      const load = readLoad(data);
      if (load !== null) take(load);
    },
  });
}

function readLoad(data: Uint8Array): Load | null {
  try {
    return Load.parse(parseJson(data));
  } catch {
    return null; // of another version
  }
}

/** Routing models in NATS KV: each version under its own key, and which of them is active. */
import { Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";

import { RoutingModelFile } from "#shared/contracts/routingModel.ts";

import { modelBucket } from "./topology.ts";

const ACTIVE = "active";
const keyOf = (version: string): string => `model.${version}`;

const Active = z.object({
  version: z.string(),
  /** Active before it, the latest last. */
  previous: z.array(z.string()),
  activated_at: z.iso.datetime(),
});
export type Active = z.infer<typeof Active>;

export interface ModelStore {
  /** Idempotent: a version names its content. */
  put(model: RoutingModelFile): Promise<void>;
  /** `null` when there is no such version. Throws when it cannot be read. */
  get(version: string): Promise<RoutingModelFile | null>;
  versions(): Promise<string[]>;
  active(): Promise<Active | null>;
  /** The version must be there. Two at once: the later one counts. */
  activate(version: string): Promise<Active>;
  /** To what was active before; `null` when there is nothing. */
  rollback(): Promise<Active | null>;
}

/** As many steps as can be taken back. */
const REMEMBERED = 20;

export async function openModelStore(nats: NatsConnection, prefix: string): Promise<ModelStore> {
  const bucket = await new Kvm(nats).open(modelBucket(prefix).name);
  const read = async <S extends z.ZodType>(key: string, schema: S): Promise<z.infer<S> | null> => {
    const entry = await bucket.get(key);
    return entry === null || entry.operation !== "PUT" ? null : schema.parse(entry.json());
  };
  const active = () => read(ACTIVE, Active);
  const put = async (next: Omit<Active, "activated_at">): Promise<Active> => {
    const value = { ...next, activated_at: new Date().toISOString() };
    await bucket.put(ACTIVE, JSON.stringify(value));
    return value;
  };
  return {
    async put(model) {
      await bucket.put(keyOf(model.version), JSON.stringify(model));
    },
    get: (version) => read(keyOf(version), RoutingModelFile),
    async versions() {
      const found: string[] = [];
      for await (const key of await bucket.keys("model.*")) found.push(key.slice("model.".length));
      return found.sort();
    },
    active,
    async activate(version) {
      const before = await active();
      if (before?.version === version) return before;
      return put({ version, previous: before === null ? [] : [...before.previous, before.version].slice(-REMEMBERED) });
    },
    async rollback() {
      const before = await active();
      const version = before?.previous.at(-1);
      return before === null || version === undefined ? null : put({ version, previous: before.previous.slice(0, -1) });
    },
  };
}

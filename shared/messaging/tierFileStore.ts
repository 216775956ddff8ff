/**
 * Tier files in NATS KV by version, beside the routing models, as routers hold them: with prices and defaults filled in. So what was decided by one
 * can be decided again by it (ADR 0037). They hold no secrets: those are elsewhere, and a tier file only says where.
 */
import { JetStreamApiError } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";

import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";
import { HeldTierFile, type TierFile } from "#shared/contracts/tiers.ts";
import { tierFileVersion } from "#shared/runtime/tierFileVersion.ts";

import { isLostRace } from "./modelStore.ts";
import { packedJson, unpackedJson } from "./storedJson.ts";
import { modelBucket } from "./topology.ts";

const keyOf = (version: string): string => `tiers.${version}`;

export interface TierFileStore {
  /** Idempotent: a version names its content, and one that is there stays as it is. */
  put(file: TierFile): Promise<void>;
  /** `null`: there is no such version. `problem`: it is there and cannot be used. Throws outages. */
  get(version: string): Promise<{ readonly file: TierFile } | { readonly problem: string } | null>;
}

export async function openTierFileStore(nats: NatsConnection, prefix: string): Promise<TierFileStore> {
  const bucket = await new Kvm(nats).open(modelBucket(prefix).name);
  return {
    async put(file) {
      const key = keyOf(tierFileVersion(file));
      await bucket.create(key, packedJson(file)).catch((error: unknown) => {
        if (!(error instanceof JetStreamApiError && isLostRace(error))) throw error; // it is there
      });
    },
    async get(version) {
      const entry = await bucket.get(keyOf(version));
      return entry?.operation === "PUT" ? readTierFileOf(version, entry.value) : null;
    },
  };
}

function readTierFileOf(version: string, bytes: Uint8Array): { readonly file: TierFile } | { readonly problem: string } {
  try {
    const file = HeldTierFile.safeParse(unpackedJson(bytes));
    if (!file.success) return { problem: `${keyOf(version)} cannot be read: ${inOneLine(issueLines(file.error))}` };
    const named = tierFileVersion(file.data);
    return named === version ? { file: file.data } : { problem: `${keyOf(version)} holds another version: ${named}` };
  } catch (error) {
    return { problem: `${keyOf(version)} cannot be read: ${String(error)}` };
  }
}

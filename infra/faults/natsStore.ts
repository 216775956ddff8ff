/** What a store of NATS holds, read by a server of its own from a copy: before and after a power loss it says exactly what was lost. */
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";

import { connectBroker } from "#infra/e2e/callers.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import { idOf } from "#shared/messaging/topology.ts";

import { type Key, keyOf } from "./oracle.ts";
import { PREFIX } from "./rig.ts";

export interface StoredMessage {
  readonly stream: string;
  readonly seq: number;
  readonly key: Key;
  readonly subject: string;
}
/** All that is of one request. */
const STREAMS = ["REQUESTS", "JOBS", "RESULTS", "COMPLETIONS"] as const;
const AT_ONCE = 100;

/** `dataDir`: of a server that does not run, or is stopped. */
export async function messagesIn(dataDir: string): Promise<StoredMessage[]> {
  const server = await startTestServer("nats");
  try {
    await server.stop();
    rmSync(join(server.dataDir, "store"), { recursive: true, force: true });
    cpSync(join(dataDir, "store"), join(server.dataDir, "store"), { recursive: true });
    await server.restart();
    const broker = await connectBroker(server.url);
    const found: StoredMessage[] = [];
    for (const stream of STREAMS) {
      const info = await broker.jsm.streams.info(stream).catch(() => null);
      const first = info?.state.first_seq ?? 1;
      const seqs = Array.from({ length: Math.max(0, (info?.state.last_seq ?? 0) - first + 1) }, (_, i) => first + i);
      for (let i = 0; i < seqs.length; i += AT_ONCE) {
        found.push(...(await Promise.all(seqs.slice(i, i + AT_ONCE).map(async (seq) => {
          const subject = (await broker.jsm.streams.getMessage(stream, { seq }))?.subject;
          const id = subject === undefined ? null : idOf(PREFIX, subject);
          return subject === undefined || id === null ? [] : [{ stream, seq, subject, key: keyOf(id) }];
        }))).flat());
      }
    }
    await broker.close();
    return found;
  } finally {
    await server.remove();
  }
}

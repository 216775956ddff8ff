/** New requests and the state of tiers, for all who watch: Postgres is asked once a second, however many they are, and not at all when nobody does. */
import { Readable } from "node:stream";

import type { Logger } from "pino";
import type { Pool } from "pg";

import type { ConsoleLiveRequests, ConsoleTiers } from "#shared/contracts/console.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { every } from "#shared/runtime/lifecycle.ts";
import { inTransactionOfViewer } from "#shared/db/transaction.ts";

import { latestSequence, readBySequence, type Written, writtenAfter } from "./requestList.ts";

const POLL_MS = 1_000;
const MOST_LISTENERS = 50;
/** Of an event. */
const MOST_REQUESTS = 50;
/** Read in one go, for listeners who each see some of them. */
const MOST_READ = 500;
/** Several sinks commit what they read side by side, so that a lower sequence may come after a higher one: by no more than what they may hold unacked. */
const OUT_OF_ORDER = 1_000;
const HEARTBEAT_MS = 15_000;
/** Of a listener who does not read: then it is let go. */
const MOST_BUFFERED_BYTES = 1_024 ** 2;

export interface Listener {
  readonly tenantId: string | null;
  readonly tier: string | null;
}
export interface LiveFeed {
  /** Server-sent events, until it is destroyed or the feed ends. Throws `too_many_streams`. */
  readonly listen: (to: Listener) => Readable;
  readonly listeners: () => number;
}
interface Deps {
  readonly pool: Pool;
  readonly tiers: () => ConsoleTiers;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export function makeLiveFeed({ pool, tiers, log, signal }: Deps): LiveFeed {
  const open = new Map<Readable, Listener>();
  let cursor: number | null = null; // the highest sequence that was told
  const told = new Set<number>();
  let said = "";

  const send = (body: Readable, text: string): void => {
    if (body.readableLength > MOST_BUFFERED_BYTES) body.destroy();
    else if (!body.destroyed) body.push(text);
  };
  const event = (name: string, data: object): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

  async function poll(): Promise<void> {
    if (open.size === 0) {
      cursor = null;
      told.clear();
      return;
    }
    tellTiers();
    await inTransactionOfViewer(pool, null, async (client) => {
      const latest = await latestSequence(client);
      if (cursor === null || (latest !== null && latest < cursor - OUT_OF_ORDER)) { // the first look, or COMPLETIONS was made anew
        cursor = latest ?? 0;
        told.clear();
        for (const { seq } of await writtenAfter(client, cursor - OUT_OF_ORDER, 2 * OUT_OF_ORDER)) told.add(seq);
        return;
      }
      const written = (await writtenAfter(client, cursor - OUT_OF_ORDER, 10 * OUT_OF_ORDER)).filter(({ seq }) => !told.has(seq));
      if (written.length === 0) return;
      for (const { seq } of written) told.add(seq);
      cursor = Math.max(cursor, ...written.map(({ seq }) => seq));
      for (const seq of told) if (seq <= cursor - OUT_OF_ORDER) told.delete(seq);
      const rows = await readBySequence(client, written.slice(-MOST_READ).map(({ seq }) => seq));
      for (const [body, to] of open) tellRequests(body, to, written, rows);
    });
  }
  function tellRequests(body: Readable, to: Listener, written: readonly Written[], rows: Awaited<ReturnType<typeof readBySequence>>): void {
    const own = written.filter(({ tenantId, tier }) => isFor(to, { tenantId, tier }));
    if (own.length === 0) return;
    const requests = rows.filter(({ tenant_id, tier }) => isFor(to, { tenantId: tenant_id, tier })).slice(-MOST_REQUESTS).map(({ seq: _seq, ...row }) => row);
    send(body, event("requests", { requests, left_out: own.length - requests.length } satisfies ConsoleLiveRequests));
  }
  function tellTiers(): void {
    const { at, ...state } = tiers();
    if (JSON.stringify(state) === said) return;
    said = JSON.stringify(state);
    for (const body of open.keys()) send(body, event("tiers", { at, ...state }));
  }

  every(POLL_MS, signal, () => poll().catch((error: unknown) => { log.debug({ err: error }, "cannot look for new requests"); }));
  every(HEARTBEAT_MS, signal, () => { for (const body of open.keys()) send(body, ": heartbeat\n\n"); });
  signal.addEventListener("abort", () => { for (const body of open.keys()) body.push(null); }, { once: true });

  return {
    listen(to) {
      if (open.size >= MOST_LISTENERS) throw new AppError("too_many_streams", `the console is watched by ${MOST_LISTENERS} already: ask again later`);
      const body = new Readable({ read() { /* pushed as it comes */ } });
      open.set(body, to);
      body.once("close", () => { open.delete(body); });
      send(body, `retry: 2000\n\n${event("tiers", tiers())}`);
      return body;
    },
    listeners: () => open.size,
  };
}

const isFor = (to: Listener, { tenantId, tier }: Pick<Written, "tenantId" | "tier">): boolean => (to.tenantId === null || to.tenantId === tenantId) && (to.tier === null || to.tier === tier);

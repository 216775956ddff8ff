/**
 * A TCP proxy between two processes that does to their bytes what networks do: delays, slices, stalls, flips, cuts. Faults hold for
 * connections that are open as for new ones, until `heal`. Randomness is seeded, so a run can be repeated.
 */
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

import { LOOPBACK } from "#infra/embedded/freePort.ts";
import { pause } from "#shared/runtime/lifecycle.ts";

/** Of one direction. Counts of bytes begin when the fault is set, in each connection anew. */
export interface Fault {
  readonly latencyMs?: number;
  /** Added to the latency: a draw from 0 to this for each chunk. Order is kept. */
  readonly jitterMs?: number;
  readonly bytesPerSecond?: number;
  /** Writes no more than this at once, each in a packet of its own. */
  readonly sliceBytes?: number;
  /** Reads nothing: the sender's buffers fill up, and the connection looks alive. */
  readonly isStalled?: boolean;
  /** Inverts all bits of the byte at this place, from 0. */
  readonly flipByteAt?: number;
  /** Ends the connection in order after this many bytes. */
  readonly finAfterBytes?: number;
  /** Resets it after this many bytes. */
  readonly rstAfterBytes?: number;
}
export interface Faults {
  /** From whoever connects. */
  readonly up?: Fault;
  /** To whoever connected. */
  readonly down?: Fault;
  /** New connections are accepted and lead nowhere. */
  readonly isBlackHole?: boolean;
}
export interface FaultProxy {
  readonly port: number;
  /** Replaces the faults before. */
  readonly set: (faults: Faults) => void;
  /** Resets every connection, and new ones at once, until `heal`. */
  readonly cut: () => void;
  /** Resets the connections that are open now; new ones work. */
  readonly resetAll: () => void;
  /** No faults any more. What was held back goes on. */
  readonly heal: () => void;
  readonly connections: () => number;
  readonly close: () => Promise<void>;
}
export interface ProxyOptions {
  /** Where it leads; asked at each connection. */
  readonly target: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Default: any that is free. */
  readonly port?: number;
}

/** Read and not yet written, of one direction: more is left to the sender. */
const MOST_QUEUED_BYTES = 2 ** 20;
/** So that the last bytes are read before: a reader that has not read them may take the reset for an orderly end. */
const BEFORE_RESET_MS = 30;

interface Pump {
  /** The faults have changed. */
  readonly changed: () => void;
}

export async function startFaultProxy({ target, random, port = 0 }: ProxyOptions): Promise<FaultProxy> {
  let faults: Faults = {};
  let isCut = false;
  const open = new Map<Socket, { readonly server: Socket | null; readonly pumps: readonly Pump[] }>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    client.on("error", () => undefined);
    if (isCut) { client.resetAndDestroy(); return; }
    client.once("close", () => open.delete(client));
    if (faults.isBlackHole === true) return void open.set(client, { server: null, pumps: [] });
    const upstream = connect({ host: LOOPBACK, port: target(), allowHalfOpen: true, noDelay: true });
    const pumps = [pump(client, upstream, () => faults.up ?? {}, random), pump(upstream, client, () => faults.down ?? {}, random)];
    open.set(client, { server: upstream, pumps });
  });
  await new Promise<void>((resolve, reject) => void server.once("error", reject).listen(port, LOOPBACK, resolve));
  const resetAll = () => {
    for (const [client, { server: upstream }] of open) for (const socket of [client, upstream]) socket?.resetAndDestroy();
  };
  const set = (next: Faults) => {
    faults = next;
    for (const { pumps } of open.values()) for (const { changed } of pumps) changed();
  };
  return {
    port: (server.address() as AddressInfo).port, set, resetAll,
    cut: () => {
      isCut = true;
      resetAll();
    },
    heal: () => {
      isCut = false;
      for (const [client, { server: upstream }] of open) if (upstream === null) client.resetAndDestroy(); // of a black hole
      set({});
    },
    connections: () => open.size,
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      resetAll();
    }),
  };
}

/** One direction of one connection. */
function pump(from: Socket, to: Socket, fault: () => Fault, random: () => number): Pump {
  const queue: { readonly bytes: Buffer; readonly dueAtMs: number }[] = [];
  const gone = new AbortController();
  let queuedBytes = 0;
  let passedBytes = 0;
  let lastDueAtMs = 0;
  let isWriting = false;
  let hasEnded = false;
  const readOrNot = () => {
    if (fault().isStalled === true || queuedBytes > MOST_QUEUED_BYTES) from.pause();
    else from.resume();
  };
  const write = async () => {
    if (isWriting) return;
    isWriting = true;
    for (let next = queue.shift(); next !== undefined && !to.destroyed; next = queue.shift()) {
      const waitMs = next.dueAtMs - performance.now();
      if (waitMs > 0) await pause(waitMs, gone.signal);
      await writeFaulty(next.bytes);
      queuedBytes -= next.bytes.length;
      readOrNot();
    }
    isWriting = false;
    if (hasEnded && !to.destroyed) to.end();
  };
  const writeFaulty = async (given: Buffer) => {
    const { sliceBytes = given.length, bytesPerSecond, flipByteAt, finAfterBytes, rstAfterBytes } = fault();
    const limit = Math.min(finAfterBytes ?? Infinity, rstAfterBytes ?? Infinity);
    const bytes = Buffer.from(given);
    const place = (flipByteAt ?? -1) - passedBytes;
    if (place >= 0 && place < bytes.length) bytes[place] = (bytes[place] ?? 0) ^ 0xff;
    const whole = bytes.subarray(0, Math.min(bytes.length, Math.max(0, limit - passedBytes)));
    for (let at = 0; at < whole.length && !to.destroyed; at += sliceBytes) {
      const slice = whole.subarray(at, at + sliceBytes);
      if (bytesPerSecond !== undefined) await pause((slice.length / bytesPerSecond) * 1_000, gone.signal);
      await new Promise<void>((resolve) => { to.write(slice, () => { resolve(); }); });
    }
    passedBytes += given.length;
    if (passedBytes < limit) return;
    if (rstAfterBytes !== undefined) {
      await pause(BEFORE_RESET_MS, gone.signal);
      for (const socket of [from, to]) socket.resetAndDestroy();
    } else to.end(() => { from.destroy(); });
  };
  from.on("data", (bytes: Buffer) => {
    const { latencyMs = 0, jitterMs = 0 } = fault();
    lastDueAtMs = Math.max(lastDueAtMs, performance.now() + latencyMs + jitterMs * random());
    queue.push({ bytes, dueAtMs: lastDueAtMs });
    queuedBytes += bytes.length;
    readOrNot();
    void write();
  });
  from.on("end", () => {
    hasEnded = true;
    void write();
  });
  from.on("error", () => { to.resetAndDestroy(); });
  from.on("close", () => {
    gone.abort();
    if (!hasEnded && !to.destroyed) to.destroy();
  });
  readOrNot();
  return {
    changed: () => {
      passedBytes = 0;
      readOrNot();
    },
  };
}

import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection, nkeyAuthenticator } from "@nats-io/transport-node";
import type { Logger } from "pino";

import { hasEnded, pause, unlessAborted } from "#shared/runtime/lifecycle.ts";

import { missingTopology } from "./ensureTopology.ts";
import type { Source } from "./topology.ts";

export interface ConnectOptions {
  readonly url: string;
  /** Shown by the server's monitoring. */
  readonly name: string;
  /** Of an nkey user, instead of user and password in the URL. */
  readonly nkeySeed?: string | undefined;
  /** Where answers to this connection's requests go: one that others may not listen on. */
  readonly inboxPrefix?: string | undefined;
}

/**
 * Connects, or throws when nobody answers. Once connected it reconnects for ever, and notices a frozen server within
 * 10-15 s: the client's defaults give up for good after about 20 s and notice after minutes.
 */
export async function connectNats({ url, name, nkeySeed, inboxPrefix }: ConnectOptions): Promise<NatsConnection> {
  const { username, password, host, protocol } = new URL(url);
  const nats = await connect({
    servers: `${protocol}//${host}`,
    ...(nkeySeed === undefined ? {} : { authenticator: nkeyAuthenticator(new TextEncoder().encode(nkeySeed)) }),
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
    ...(username ? { user: decodeURIComponent(username), pass: decodeURIComponent(password) } : {}),
    name,
    timeout: CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 200,
    reconnectJitter: 200,
    pingInterval: 5_000,
    maxPingOut: 2,
    ignoreAuthErrorAbort: true,
  });
  const version = nats.info?.version ?? "unknown";
  if (!isSupported(version)) {
    await nats.close();
    throw new UnsupportedServer(`nats-server ${version} at ${host} is too old: 2.10 or newer is needed`);
  }
  return nats;
}

/** For roles: waits for the server, however long it takes. Throws when the signal comes first, or the server is too old. */
export async function awaitNats(options: ConnectOptions, log: Logger, signal: AbortSignal): Promise<NatsConnection> {
  for (let isFirst = true; ; isFirst = false) {
    signal.throwIfAborted();
    try {
      return await connectNats(options);
    } catch (error) {
      if (error instanceof UnsupportedServer) throw error;
      if (isFirst) log.warn({ err: error }, "waiting for NATS");
    }
    await pause(RETRY_MS, signal);
  }
}

const CONNECT_TIMEOUT_MS = 5_000;
const RETRY_MS = 250;
class UnsupportedServer extends Error {
  override readonly name = "UnsupportedServer";
}

export function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 2 || (major === 2 && minor >= 10);
}

export interface Needed {
  readonly prefix: string;
  readonly needed: readonly Source[];
}
/** Waits until `inferctl topology` has run. Says what is missing, once. */
export async function awaitTopology(nats: NatsConnection, { prefix, needed }: Needed, log: Logger, signal: AbortSignal): Promise<void> {
  let isFirst = true;
  while (!signal.aborted) {
    const looking = jetstreamManager(nats).then((jsm) => missingTopology(jsm, prefix, needed));
    const missing = await unlessAborted(signal, looking).catch((error: unknown) => [`JetStream (${String(error)})`]);
    if (missing.length === 0 || hasEnded(signal)) return;
    if (isFirst) log.warn({ missing }, "waiting for the NATS topology: run `inferctl topology`");
    isFirst = false;
    await pause(500, signal);
  }
}

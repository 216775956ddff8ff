import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection, nkeyAuthenticator, PermissionViolationError } from "@nats-io/transport-node";
import type { Logger } from "pino";

import { hasEnded, pause, unlessAborted } from "#shared/runtime/lifecycle.ts";

import { missingTopology } from "./ensureTopology.ts";
import type { Source } from "./topology.ts";

export interface ConnectOptions {
  /** Of one server, or of several of a cluster with commas between them. */
  readonly url: string;
  /** Shown by the server's monitoring. */
  readonly name: string;
  /** Of an nkey user, instead of user and password in the URL. */
  readonly nkeySeed?: string | undefined;
  /** Where answers to this connection's requests go: one that others may not listen on. */
  readonly inboxPrefix?: string | undefined;
}

/** Schemes that refuse a server without TLS. With `nats:` it is used where the server has it. */
const TLS_SCHEMES: ReadonlySet<string> = new Set(["tls:", "natss:"]);

/**
 * Connects, or throws when nobody answers. Once connected it reconnects for ever, and notices a frozen server within
 * 6-9 s, little longer than an election takes: the client's defaults give up for good after about 20 s and notice after minutes.
 */
export async function connectNats({ url, name, nkeySeed, inboxPrefix }: ConnectOptions): Promise<NatsConnection> {
  const [first, ...others] = serverUrls(url);
  const { username, password, host, protocol } = first;
  const nats = await connect({
    servers: [first, ...others].map((server) => `${server.protocol}//${server.host}`),
    ...(TLS_SCHEMES.has(protocol) ? { tls: {} } : {}),
    ...(nkeySeed === undefined ? {} : { authenticator: nkeyAuthenticator(new TextEncoder().encode(nkeySeed)) }),
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
    ...(username ? { user: decodeURIComponent(username), pass: decodeURIComponent(password) } : {}),
    name,
    timeout: CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 200,
    reconnectJitter: 200,
    pingInterval: 3_000,
    maxPingOut: 2,
    reconnectToServer: longestUntried,
    ignoreAuthErrorAbort: true,
  });
  const version = nats.info?.version ?? "unknown";
  if (!isSupported(version)) {
    await nats.close();
    throw new UnsupportedServer(`nats-server ${version} at ${host} is too old: 2.10 or newer is needed`);
  }
  return nats;
}

/** The one that was just lost comes last. The client by itself tries it first, and one that hangs takes the whole time-out of a connection. */
export function longestUntried<S extends { readonly lastConnect: number }>(servers: readonly S[]): S | null {
  return servers.reduce<S | null>((found, server) => (found === null || server.lastConnect < found.lastConnect ? server : found), null);
}

/** Each with a scheme of its own; user and password are taken from the first. Throws `TypeError` where one is no URL. */
function serverUrls(urls: string): readonly [URL, ...URL[]] {
  const [first = "", ...others] = urls.split(",");
  return [new URL(first.trim()), ...others.map((url) => new URL(url.trim()))];
}

/** The server refused a publish or a subscription of this connection's user; perhaps wrapped by a request that it was part of. */
export function permissionViolation(error: unknown): PermissionViolationError | null {
  if (error instanceof PermissionViolationError) return error;
  return error instanceof Error && error.cause !== undefined ? permissionViolation(error.cause) : null;
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

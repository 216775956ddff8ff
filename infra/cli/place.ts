/** What somebody looks at who looks at everything: settings, and one connection to each server, opened when it is first asked for. */
import { jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Redis } from "ioredis";
import type { Pool } from "pg";

import { type Environment, type Home, openHome } from "#infra/embedded/homeFolder.ts";
import { withoutPassword } from "#infra/embedded/locateServer.ts";
import { withOwnSecret } from "#infra/embedded/ownSecret.ts";
import { readSettings, type Settings } from "#infra/embedded/settings.ts";
import { readState, type State } from "#infra/embedded/stateFile.ts";
import { makePool } from "#shared/db/pool.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { makeStoredMessages, type StoredMessages } from "#shared/messaging/storedMessages.ts";
import { pick } from "#shared/runtime/loadConfig.ts";

import { loginFor } from "./loginFor.ts";
import { openRedis } from "./redis.ts";
import { serverUrl } from "./serverUrl.ts";

/** A server that another look tells of, and without which this one cannot be had. */
export class Unreached extends Error {
  override readonly name = "Unreached";
  readonly server: string;
  constructor(server: string, cause: unknown) {
    super(`${server} cannot be reached: ${cause instanceof Error && cause.message !== "" ? cause.message : String(cause)}`, { cause });
    this.server = server;
  }
}

export interface NatsPlace {
  readonly nats: NatsConnection;
  readonly jsm: JetStreamManager;
  readonly streams: StoredMessages;
  /** As it may be shown. */
  readonly url: string;
}
export interface Place {
  readonly environment: Environment;
  readonly home: Home;
  /** `null`: they cannot be read; the check of the configuration says why. */
  readonly settings: Settings | null;
  readonly prefix: string;
  readonly state: State;
  /** These throw `Unreached`, and try again when they are asked again later. */
  readonly nats: () => Promise<NatsPlace>;
  readonly postgres: () => Promise<{ readonly pool: Pool; readonly url: string }>;
  readonly redis: () => Promise<{ readonly redis: Redis; readonly url: string }>;
  readonly close: () => Promise<void>;
}

const Prefix = pick("INFER_PREFIX");
/** Somebody else who asks meanwhile need not wait as long again. */
const RETRY_AFTER_MS = 10_000;

export function openPlace(given: Environment): Place {
  const home = openHome(given);
  const environment = withOwnSecret(given, home, { makes: false });
  const closing: (() => unknown)[] = [];
  const settings = settingsOf(environment, home);
  const open = <T>(server: string, start: () => Promise<T>): (() => Promise<T>) => {
    let opened: Promise<T> | undefined;
    return () => (opened ??= start().catch((error: unknown) => {
      setTimeout(() => { opened = undefined; }, RETRY_AFTER_MS).unref();
      throw new Unreached(server, error);
    }));
  };
  return {
    environment, home, settings, state: readState(home.stateFile),
    prefix: settings?.prefix ?? Prefix.safeParse({ INFER_PREFIX: environment["INFER_PREFIX"] || undefined }).data?.INFER_PREFIX ?? Prefix.parse({}).INFER_PREFIX,
    nats: open("NATS", async () => {
      const url = serverUrl("nats", environment, home);
      const nats = await connectNats({ url, name: "inferctl", ...loginFor(environment, home) });
      closing.push(() => nats.close());
      const jsm = await jetstreamManager(nats);
      return { nats, jsm, streams: makeStoredMessages(jsm), url: url.split(",").map((one) => withoutPassword(one.trim())).join(", ") };
    }),
    postgres: open("Postgres", async () => {
      const url = serverUrl("postgres", environment, home);
      const pool = makePool(url, "inferctl", () => undefined); // the query that it breaks says so
      closing.push(() => pool.end());
      await pool.query("SELECT 1");
      return { pool, url: withoutPassword(url) };
    }),
    redis: open("Redis", async () => {
      const url = serverUrl("redis", environment, home);
      const redis = await openRedis(url);
      closing.push(() => { redis.disconnect(); });
      return { redis, url: withoutPassword(url) };
    }),
    close: async () => { await Promise.allSettled(closing.map((close) => close())); },
  };
}

function settingsOf(environment: Environment, home: Home): Settings | null {
  try {
    return readSettings(environment, home);
  } catch {
    return null; // the check of the configuration reads them again, and says why
  }
}

import { jetstreamManager } from "@nats-io/jetstream";
import { Redis } from "ioredis";
import { Client, type Pool } from "pg";
import { existsSync, readFileSync } from "node:fs";

import { LOGINS, passwordFile, userOf, withLogin } from "#infra/logins/logins.ts";
import { userFilesIn } from "#infra/nats/natsUsers.ts";
import { servedBy } from "#shared/contracts/tiers.ts";
import { DATABASE_ROLES, MAY_BECOME, roleName, TABLES } from "#shared/db/permissions.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { roleUsers } from "#shared/messaging/permissions.ts";
import { inboxOf, streamOfBucket, tierBucket } from "#shared/messaging/topology.ts";
import { REDIS_RIGHTS } from "#shared/redis/permissions.ts";
import { seedFileIn } from "#shared/runtime/natsSeed.ts";

import { serverUrl } from "../../serverUrl.ts";
import { type Place, Unreached } from "../../place.ts";
import { type Check, type Finding, ok, problem, warning } from "../finding.ts";

export interface Tried {
  readonly server: "NATS" | "Postgres" | "Redis";
  readonly login: string;
  /** `null`: it may do what it must. */
  readonly refusal: string | null;
}

/** Whether each role of the service may do what it must: what Postgres grants, and, where servers ask for logins, each login that is kept here. */
export const permissions: Check<Place> = {
  title: "permissions",
  run: async (place) => {
    const grants = place.postgres().then(({ pool }) => missingGrants(pool)).then(judgeGrants, (error: unknown) => {
      if (error instanceof Unreached) return [warning("what Postgres grants was not looked at, since it cannot be reached", "Mend what the check of Postgres says.")];
      throw error;
    });
    const [found, ...tried] = await Promise.all([grants, triedPostgres(place), triedRedis(place), triedNats(place)]);
    return [...found, ...judgeLogins(tried.flat(), place.environment["INFER_AUTH"] === "keys")];
  },
};

/** In words, as `infer_gateway: SELECT on tenants`. Of columns, each has to be granted. */
async function missingGrants(pool: Pool): Promise<string[]> {
  const wanted = Object.entries(TABLES).flatMap(([table, { rights }]) => DATABASE_ROLES.flatMap((role) => (rights[role] ?? []).flatMap((right) => {
    const [, verb = "", columns] = /^(\w+)(?: \((.*)\))?$/.exec(right) ?? [];
    return (columns?.split(", ") ?? [null]).map((column) => ({ role: roleName(role), table, verb, column }));
  })));
  const taken = Object.entries(MAY_BECOME).flatMap(([service, roles]) => roles.map((role) => ({ service: `infer_${service}`, role: roleName(role) })));
  const { rows } = await pool.query<{ text: string }>(`
    SELECT role || ': ' || verb || ' on ' || tab || coalesce('.' || col, '') AS text
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS one(role, tab, verb, col)
    WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = role) AND to_regclass(quote_ident(tab)) IS NOT NULL
      AND NOT CASE WHEN col IS NULL THEN has_table_privilege(role, quote_ident(tab), verb) ELSE has_column_privilege(role, quote_ident(tab), col, verb) END
    UNION ALL
    SELECT service || ': may not become ' || role FROM unnest($5::text[], $6::text[]) AS two(service, role)
    WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = role) AND EXISTS (SELECT FROM pg_roles WHERE rolname = service) AND NOT pg_has_role(service, role, 'MEMBER')`,
  [wanted.map(({ role }) => role), wanted.map(({ table }) => table), wanted.map(({ verb }) => verb), wanted.map(({ column }) => column), taken.map(({ service }) => service), taken.map(({ role }) => role)]);
  return rows.map(({ text }) => text);
}

/** A busy machine is no refusal. */
const ANSWER_MS = 10_000;

/** Each login becomes each of its services, as its process does. */
async function triedPostgres({ environment, home }: Place): Promise<Tried[]> {
  const url = serverUrl("postgres", environment, home);
  return Promise.all(LOGINS.filter(({ name, database }) => database.length > 0 && existsSync(passwordFile(home.root, "postgres", name))).map(async (login) => {
    const client = new Client({ connectionString: withLogin(url, userOf("postgres", login), passwordIn(passwordFile(home.root, "postgres", login.name))), connectionTimeoutMillis: ANSWER_MS, query_timeout: ANSWER_MS });
    client.on("error", () => undefined); // `connect` and `query` reject with it
    return tried("Postgres", login.name, async () => {
      await client.connect();
      for (const role of login.database) await client.query(`SET ROLE ${roleName(role)}`);
    }, () => client.end());
  }));
}

/** Harmless on a key that is not there. */
const HARMLESS: Readonly<Record<string, readonly string[]>> = { get: [], hget: ["field"], lrange: ["0", "0"], expire: ["1"] };

async function triedRedis({ environment, home, prefix }: Place): Promise<Tried[]> {
  const url = serverUrl("redis", environment, home);
  return Promise.all(LOGINS.filter(({ name, redis }) => redis.length > 0 && existsSync(passwordFile(home.root, "redis", name))).map(async (login) => {
    const redis = new Redis(withLogin(url, userOf("redis", login), passwordIn(passwordFile(home.root, "redis", login.name))), { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0, connectTimeout: ANSWER_MS, commandTimeout: ANSWER_MS });
    let why: Error | undefined;
    redis.on("error", (error) => { why ??= error; }); // `connect` tells less
    return tried("Redis", login.name, async () => {
      await redis.connect().catch((error: unknown) => { throw why ?? error; });
      for (const { area, commands } of login.redis.flatMap((service) => REDIS_RIGHTS[service].keys)) {
        const [command, more] = Object.entries(HARMLESS).find(([name]) => commands.includes(name)) ?? [];
        if (command !== undefined && more !== undefined) await redis.call(command, `${prefix}:${area}:{doctor}`, ...more);
      }
    }, () => { redis.disconnect(); });
  }));
}

/** Each user is let in, and may ask for what all roles may. */
async function triedNats({ environment, home, prefix, settings }: Place): Promise<Tried[]> {
  const url = serverUrl("nats", environment, home);
  const { seeds } = userFilesIn(home.root);
  const users = settings === null ? [] : roleUsers(servedBy(settings.tiers).map(({ name }) => name)).filter((role) => existsSync(seedFileIn(seeds, role)));
  return Promise.all(users.map((role) => {
    let close = (): Promise<void> => Promise.resolve();
    return tried("NATS", role, async () => {
      const nats = await connectNats({ url, name: "inferctl", nkeySeed: readFileSync(seedFileIn(seeds, role), "utf8").trim(), inboxPrefix: inboxOf(role) });
      close = () => nats.close();
      await (await jetstreamManager(nats)).streams.info(streamOfBucket(tierBucket(prefix).name));
    }, () => close());
  }));
}

const passwordIn = (file: string): string => readFileSync(file, "utf8").trim();

async function tried(server: Tried["server"], login: string, run: () => Promise<void>, close: () => unknown): Promise<Tried> {
  try {
    await run();
    return { server, login, refusal: null };
  } catch (error) {
    return { server, login, refusal: error instanceof Error ? error.message : String(error) };
  } finally {
    await Promise.resolve(close()).catch(() => undefined);
  }
}

const MOST_NAMED = 10;
export const judgeGrants = (missing: readonly string[]): Finding[] => (missing.length === 0
  ? [ok("Postgres grants each role what it must do")]
  : [problem(`Postgres does not grant what is needed: ${missing.slice(0, MOST_NAMED).join("; ")}${missing.length > MOST_NAMED ? `; and ${missing.length - MOST_NAMED} more` : ""}`, "Run as the owner of the tables: inferctl migrate")]);

const REMEDIES: Readonly<Record<Tried["server"], string>> = {
  NATS: "Make and tell the users again: inferctl nats-users init; inferctl up. Of a server elsewhere: inferctl nats-users config", Postgres: "Make the logins again: inferctl logins init; inferctl up", Redis: "Make the users again: inferctl logins init; inferctl up",
};
export function judgeLogins(all: readonly Tried[], asksForKeys: boolean): Finding[] {
  if (all.length === 0) return [ok(asksForKeys ? "no logins are kept here: what each role may do at its servers is seen where it runs" : "INFER_AUTH is keyless: the servers that are started here ask nobody who they are")];
  const refused = all.filter(({ refusal }) => refusal !== null);
  return [
    ...(refused.length === all.length ? [] : [ok(`${all.length - refused.length} of ${all.length} logins are let in and may do what they must`)]),
    ...refused.map(({ server, login, refusal }) => problem(`${server} refuses ${login}: ${refusal ?? ""}`, REMEDIES[server])),
  ];
}

/**
 * Who logs in to Postgres and Redis where passwords are asked for: a login per service and server, each with a file of its own beside the others that
 * nobody else may read. What a login may do is said by the lists of shared/db/permissions.ts and shared/redis/permissions.ts.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { replaceFile } from "#infra/embedded/replaceFile.ts";
import type { DatabaseService } from "#shared/db/permissions.ts";
import type { RedisService } from "#shared/redis/permissions.ts";

export interface Login {
  /** Of the process, or `admin` of `inferctl`. */
  readonly name: string;
  /** In Postgres, each of which it may be; none: it has no login there. */
  readonly database: readonly DatabaseService[];
  readonly redis: readonly RedisService[];
}
/** The metrics sink uses neither. `all-in-one` runs all of them in one process. */
export const LOGINS: readonly Login[] = [
  { name: "admin", database: ["admin"], redis: ["admin"] },
  { name: "gateway", database: ["gateway"], redis: ["gateway"] },
  { name: "router", database: ["router"], redis: ["router"] },
  { name: "worker", database: [], redis: ["worker"] },
  { name: "audit-sink", database: ["audit_sink"], redis: [] },
  { name: "webhook-sender", database: ["webhook_sender"], redis: [] },
  { name: "console", database: ["console"], redis: ["console"] },
  { name: "all-in-one", database: ["gateway", "router", "audit_sink", "webhook_sender", "console"], redis: ["gateway", "router", "worker", "console"] },
];
/** Of a process, by its name. */
export const loginOf = (processName: string): Login | undefined => LOGINS.find(({ name }) => name === (processName.startsWith("worker-") ? "worker" : processName));

export type LoginServer = "postgres" | "redis";
/** `owner`: who may do everything there. */
export const passwordFile = (root: string, server: LoginServer, name: string): string => join(root, "logins", server, name);
/** In Postgres beside the roles of the services, which cannot log in. */
export const userOf = (server: LoginServer, { name }: Pick<Login, "name">): string => `infer_${name.replaceAll("-", "_")}${server === "postgres" ? "_login" : ""}`;

/** Makes it where there is none; `anew`: another one. */
export function ensurePassword(root: string, server: LoginServer, name: string, { anew = false }: { readonly anew?: boolean } = {}): string {
  const file = passwordFile(root, server, name);
  if (anew || !existsSync(file)) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    replaceFile(file, `${randomBytes(32).toString("base64url")}\n`);
  }
  return readFileSync(file, "utf8").trim();
}

export function withLogin(url: string, user: string, password: string): string {
  const own = new URL(url);
  own.username = user;
  own.password = password;
  return own.href;
}

/** What Postgres keeps of a password (RFC 5803), so that it never sees the password itself, and no log of it does. */
export function scramVerifier(password: string, salt: Buffer = randomBytes(16)): string {
  const iterations = 4_096;
  const salted = pbkdf2Sync(password, salt, iterations, 32, "sha256");
  const key = (name: string) => createHmac("sha256", salted).update(name).digest();
  const stored = createHash("sha256").update(key("Client Key")).digest("base64");
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${stored}:${key("Server Key").toString("base64")}`;
}
/** What Redis keeps of one. */
export const redisHash = (password: string): string => `#${createHash("sha256").update(password).digest("hex")}`;

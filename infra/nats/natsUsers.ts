/** Users of the NATS server, made and removed: the list, and a file with the seed of each role's. Call them one at a time (`withHomeLock`). */
import { chmodSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { nkeys } from "@nats-io/transport-node";

import { replaceFile } from "#infra/embedded/replaceFile.ts";
import type { RoleUser } from "#shared/messaging/permissions.ts";
import { seedFileIn } from "#shared/runtime/natsSeed.ts";

import { missingRoles, withoutUser, withUser } from "./changeUsers.ts";
import { readUsers, type TenantUser, type UserList, writeUsers } from "./userList.ts";

/** Where the users of one server are kept. */
export interface UserFiles {
  readonly list: string;
  /** A file `<role>.nk` per role. */
  readonly seeds: string;
}
export const userFilesIn = (root: string): UserFiles => ({ list: join(root, "nats-users.json"), seeds: join(root, "nats-users") });

/** Makes the users of roles that have none; `anew`: of all. Resolves to those. Safe to repeat. */
export function makeRoleUsers(files: UserFiles, tiers: readonly string[], { anew = false, now }: { anew?: boolean; now: () => Date }): RoleUser[] {
  const list = readUsers(files.list);
  const missing = missingRoles(list, tiers, (role, publicKey) => !anew && publicKeyIn(seedFileIn(files.seeds, role)) === publicKey);
  if (missing.length === 0) return [];
  mkdirSync(files.seeds, { recursive: true, mode: 0o700 });
  chmodSync(files.seeds, 0o700);
  const made = missing.map((role) => ({ role, ...newKey() }));
  for (const { role, seed } of made) replaceFile(seedFileIn(files.seeds, role), `${seed}\n`); // first: a user without its seed would be of no use
  writeUsers(files.list, made.reduce((before, { role, publicKey }) => withUser(before, { kind: "role", role, public_key: publicKey, created_at: now().toISOString() }), list));
  return missing;
}

/** The seed is nowhere else after this. `keep` has it before the list has the user. */
export function makeTenantUser(files: UserFiles, { tenant_id, name }: { tenant_id: string; name: string }, now: Date, keep?: (seed: string) => void): { user: TenantUser; seed: string } {
  const { seed, publicKey } = newKey();
  keep?.(seed);
  const user: TenantUser = { kind: "tenant", tenant_id, name, public_key: publicKey, created_at: now.toISOString() };
  mkdirSync(dirname(files.list), { recursive: true });
  writeUsers(files.list, withUser(readUsers(files.list), user));
  return { user, seed };
}

/** `null`: no tenant has such a user. */
export function removeTenantUser(files: UserFiles, publicKey: string, now: Date): TenantUser | null {
  const list = readUsers(files.list);
  const user = list.users.find((one): one is TenantUser => one.kind === "tenant" && one.public_key === publicKey) ?? null;
  if (user !== null) writeUsers(files.list, withoutUser(list, publicKey, now.toISOString()));
  return user;
}

/** Takes out of the list what the admin audit has now. */
export function noteAudited(files: UserFiles, audited: UserList["unaudited"]): void {
  const list = readUsers(files.list);
  writeUsers(files.list, { ...list, unaudited: list.unaudited.slice(audited.length) });
}

function newKey(): { readonly seed: string; readonly publicKey: string } {
  const pair = nkeys.createUser();
  return { seed: new TextDecoder().decode(pair.getSeed()), publicKey: pair.getPublicKey() };
}

/** Undefined for a file that is not there or holds no seed. */
function publicKeyIn(file: string): string | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return nkeys.fromSeed(new TextEncoder().encode(readFileSync(file, "utf8").trim())).getPublicKey();
  } catch {
    return undefined;
  }
}

/**
 * The users of the NATS server: public keys, and whose they are. No seed is in it. One file, replaced as a whole, so that a
 * reader never sees half of it. The server's configuration is made from it (serverUsers.ts).
 */
import { existsSync, readFileSync } from "node:fs";

import { z } from "zod";

import { replaceFile } from "#infra/embedded/replaceFile.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { issueLines } from "#shared/contracts/describeIssues.ts";
import { TenantId } from "#shared/contracts/ids.ts";

const PublicKey = z.string().regex(/^U[A-Z2-7]{55}$/, "must be the public key of a user: U and 55 of A-Z 2-7");
const known = { public_key: PublicKey, created_at: z.iso.datetime() };
export const NatsUser = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("role"), role: z.string().regex(/^(admin|gateway|router|audit-sink|metrics-sink|console|replay|replay-live|replay-shadow|worker-[a-z][a-z0-9-]*)$/), ...known }),
  z.strictObject({ kind: z.literal("tenant"), tenant_id: TenantId, /** Of what uses it. */ name: z.string().min(1).max(128), ...known }),
]);
export type NatsUser = z.infer<typeof NatsUser>;
export type TenantUser = Extract<NatsUser, { kind: "tenant" }>;

const UserChange = z.strictObject({ action: z.enum(["nats_user.create", "nats_user.remove"]), user: NatsUser, at: z.iso.datetime() });
export type UserChange = z.infer<typeof UserChange>;

export const UserList = z.strictObject({
  version: z.literal(1),
  users: z.array(NatsUser),
  /** Changes that the admin audit does not have yet, oldest first. */
  unaudited: z.array(UserChange),
});
export type UserList = Readonly<z.infer<typeof UserList>>;

const EMPTY: UserList = { version: 1, users: [], unaudited: [] };

/** No file is an empty list; one that cannot be read is a `SetupError`: taking it for empty would shut everybody out. */
export function readUsers(file: string): UserList {
  if (!existsSync(file)) return EMPTY;
  const parsed = UserList.safeParse(jsonIn(file));
  if (!parsed.success) throw unreadable(file, issueLines(parsed.error).join("; "));
  return parsed.data;
}

export function writeUsers(file: string, list: UserList): void {
  replaceFile(file, `${JSON.stringify(list, null, 2)}\n`);
}

function jsonIn(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw unreadable(file, String(error));
  }
}

const unreadable = (file: string, reason: string) => new SetupError(`the list of NATS users ${file} cannot be read: ${reason}`, "Correct it, or restore it from a backup. Without it every user would have to be made anew.");

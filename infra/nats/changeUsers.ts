/** What becomes of the list when users are made and removed. Pure: keys and the time come in. */
import { type RoleUser, roleUsers } from "#shared/messaging/permissions.ts";

import type { NatsUser, UserList } from "./userList.ts";

/** Roles of these tiers that have no user in the list, or none whose seed is still there. */
export function missingRoles({ users }: Pick<UserList, "users">, tiers: readonly string[], hasSeed: (role: RoleUser, publicKey: string) => boolean): RoleUser[] {
  return roleUsers(tiers).filter((role) => !users.some((user) => user.kind === "role" && user.role === role && hasSeed(role, user.public_key)));
}

/** A role has one user: the one before it goes. A tenant may have several. */
export function withUser(list: UserList, user: NatsUser): UserList {
  const replaced = user.kind === "role" ? list.users.filter((other) => other.kind === "role" && other.role === user.role) : [];
  const cleared = replaced.reduce((rest, { public_key }) => withoutUser(rest, public_key, user.created_at), list);
  return { ...cleared, users: [...cleared.users, user], unaudited: [...cleared.unaudited, { action: "nats_user.create", user, at: user.created_at }] };
}

/** Unchanged when there is no such user. */
export function withoutUser(list: UserList, publicKey: string, at: string): UserList {
  const user = list.users.find(({ public_key }) => public_key === publicKey);
  if (user === undefined) return list;
  return { ...list, users: list.users.filter((other) => other !== user), unaudited: [...list.unaudited, { action: "nats_user.remove", user, at }] };
}

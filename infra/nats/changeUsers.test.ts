import { expect, it } from "vitest";

import { missingRoles, withoutUser, withUser } from "./changeUsers.ts";
import type { NatsUser, UserList } from "./userList.ts";

const AT = "2026-11-28T10:00:00.000Z", LATER = "2026-11-28T11:00:00.000Z";
const EMPTY: UserList = { version: 1, users: [], unaudited: [] };
const role = (name: string, public_key = name, created_at = AT): NatsUser => ({ kind: "role", role: name, public_key, created_at });
const tenant = (tenant_id: string, public_key: string): NatsUser => ({ kind: "tenant", tenant_id, name: "default", public_key, created_at: AT });
const actionsOf = ({ unaudited }: UserList) => unaudited.map(({ action, user }) => [action, user.public_key]);

it("misses every role of an empty list, one worker per tier", () => {
  expect(missingRoles(EMPTY, ["small", "large"], () => true)).toEqual(["admin", "gateway", "router", "worker-small", "worker-large", "audit-sink", "metrics-sink", "console", "replay", "replay-live", "replay-shadow"]);
});

it("misses a role whose seed is gone, and no tenant's user stands in for one", () => {
  const users = [role("admin"), role("gateway"), role("router"), role("audit-sink"), role("metrics-sink"), role("console"), role("replay"), role("replay-live"), role("replay-shadow"), tenant("worker-small", "t")];
  expect(missingRoles({ users }, ["small"], (name) => name !== "router")).toEqual(["router", "worker-small"]);
});

it("gives a role one user: the one before it goes, and both changes are to be audited", () => {
  const list = withUser(withUser(EMPTY, role("router", "old")), role("router", "new", LATER));
  expect(list.users).toEqual([role("router", "new", LATER)]);
  expect(actionsOf(list)).toEqual([["nats_user.create", "old"], ["nats_user.remove", "old"], ["nats_user.create", "new"]]);
});

it("lets a tenant have several, so that one can replace the other", () => {
  const list = withUser(withUser(EMPTY, tenant("t1", "a")), tenant("t1", "b"));
  expect(withoutUser(list, "a", LATER).users).toEqual([tenant("t1", "b")]);
});

it("changes nothing for a user that is not there", () => { expect(withoutUser(EMPTY, "x", AT)).toBe(EMPTY); });

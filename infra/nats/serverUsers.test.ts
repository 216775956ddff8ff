import { expect, it } from "vitest";

import { serverUsers } from "./serverUsers.ts";
import type { NatsUser } from "./userList.ts";

const AT = "2026-11-28T10:00:00.000Z";
const role = (name: string): NatsUser => ({ kind: "role", role: name, public_key: `U-${name}`, created_at: AT });
const tenant = (tenant_id: string, public_key: string): NatsUser => ({ kind: "tenant", tenant_id, name: "default", public_key, created_at: AT });
interface Account { users: { nkey: string }[]; imports?: { service?: { subject: string }; stream?: { subject: string } }[] }
const accountsOf = (users: readonly NatsUser[]): Record<string, Account> => {
  const text = serverUsers(users, { prefix: "infer", tiers: ["small"] });
  return JSON.parse(text.slice(text.indexOf("{"))) as Record<string, Account>;
};

it("gives each tenant an account of its own, with its users, which imports its own subjects alone", () => {
  const accounts = accountsOf([role("admin"), tenant("t1", "a"), tenant("t2", "b"), tenant("t1", "c"), tenant("INFER", "d")]);
  expect(Object.entries(accounts).map(([name, { users }]) => [name, users.map(({ nkey }) => nkey)])).toEqual([["INFER", ["U-admin"]], ["tenant-t1", ["a", "c"]], ["tenant-t2", ["b"]], ["tenant-INFER", ["d"]]]);
  const imported = accounts["tenant-t1"]?.imports?.map(({ service, stream }) => (service ?? stream)?.subject);
  expect(imported).toEqual(["infer.request.t1.*", "infer.feedback.t1.*", "$JS.API.DIRECT.GET.COMPLETIONS.infer.completion.t1.*", "infer.completion.t1.*", "infer.reply.direct.t1.>", "infer.token.direct.t1.>"]);
});

it("lets in no worker of a tier that is not served", () => {
  expect(accountsOf([role("admin"), role("worker-small"), role("worker-gone")])["INFER"]?.users.map(({ nkey }) => nkey)).toEqual(["U-admin", "U-worker-small"]);
});

it("makes no configuration without users, which would let everybody in", () => {
  for (const users of [[], [tenant("t1", "a")]]) expect(() => serverUsers(users, { prefix: "infer", tiers: [] })).toThrow(/open to all/);
});

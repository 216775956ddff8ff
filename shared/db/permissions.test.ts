import { readdirSync } from "node:fs";

import { getTableColumns, getTableName, is } from "drizzle-orm";
import { PgTable } from "drizzle-orm/pg-core";
import { expect, it } from "vitest";

import { TABLES } from "./permissions.ts";

it("every table of the schema has a line in shared/db/permissions.ts, with a tenant where it has one", async () => {
  const folder = new URL("./schema/", import.meta.url);
  const tables = (await Promise.all(readdirSync(folder).map((file) => import(new URL(file, folder).href) as Promise<Record<string, unknown>>))).flatMap((exported) => Object.values(exported)).filter((one) => is(one, PgTable));
  expect(tables.length).toBeGreaterThan(10);
  const found = Object.fromEntries(tables.map((table) => [getTableName(table), "tenant_id" in getTableColumns(table)]));
  const listed = Object.fromEntries(Object.entries(TABLES).map(([table, { hasTenant }]) => [table, hasTenant]));
  expect(listed, "a new table needs a line in TABLES of shared/db/permissions.ts: who may do what, and whether it has a tenant_id").toEqual(found);
});

it("nobody but the retention and the eraser deletes what is written once, and only the eraser changes it, where it says so", () => {
  const writtenOnce = Object.entries(TABLES).filter(([, { isAppendOnly }]) => isAppendOnly);
  expect(writtenOnce.map(([table]) => table)).toEqual(expect.arrayContaining(["ledger", "ledger_requests", "requests", "attempts", "admin_audit"]));
  const changers = writtenOnce.flatMap(([table, { rights }]) => Object.entries(rights).flatMap(([role, verbs]) => verbs.filter((verb) => verb.startsWith("UPDATE") || (verb === "DELETE" && role !== "retention")).map((verb) => `${role} ${verb} ${table}`)));
  expect(changers.sort()).toEqual([
    ...["attempts", "cache_audits", "requests", "shadow_tiers", "shadows"].map((table) => `eraser DELETE ${table}`),
    "eraser UPDATE (change) admin_audit", "eraser UPDATE (user_id) ledger", "eraser UPDATE (user_id) ledger_requests",
  ]);
});

/** docs/privacy.md says of everything that is kept what it holds and for how long: what is new must be in it, too. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, it } from "vitest";

import { TABLES } from "#shared/db/permissions.ts";
import { ERASED_TABLES } from "#shared/erasure/eraseRows.ts";
import { modelBucket, streamNamesOf, streamOfBucket, sweeperBucket, tierBucket } from "#shared/messaging/topology.ts";
import { keyPattern, REDIS_RIGHTS } from "#shared/redis/permissions.ts";

const text = readFileSync(join(import.meta.dirname, "../../docs/privacy.md"), "utf8");
const rows = [...text.matchAll(/^\| `([^`]+)` \|(.+)\|$/gm)].map(([, where = "", rest = ""]) => ({ where, cells: rest.split("|").map((cell) => cell.trim()) }));

it("has one row for every stream, bucket, table and family of keys", () => {
  const buckets = [tierBucket("infer"), sweeperBucket("infer"), modelBucket("infer")].map(({ name }) => streamOfBucket(name));
  const keys = new Set(Object.values(REDIS_RIGHTS).flatMap((rights) => rights.keys.map((one) => keyPattern("infer", one))));
  expect(rows.map(({ where }) => where).sort()).toEqual([...streamNamesOf("infer"), ...buckets, ...Object.keys(TABLES), ...keys].sort());
  expect(rows.filter(({ cells }) => cells.length !== 4 || cells.includes(""))).toEqual([]);
});

it("says of each table that the eraser changes or deletes that it does, and of all others that they stay", () => {
  const tables = rows.filter(({ where }) => where in TABLES);
  expect(tables.filter(({ cells }) => cells.at(-1) !== "stays").map(({ where }) => where).sort()).toEqual([...new Set(ERASED_TABLES)].sort());
  expect(Object.entries(TABLES).filter(([, { rights }]) => rights.eraser !== undefined).map(([table]) => table).sort()).toEqual([...new Set(ERASED_TABLES)].sort());
});

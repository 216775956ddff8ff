import { expect, inject, it } from "vitest";

import { makePool } from "./pool.ts";
import { inTransaction } from "./transaction.ts";

it("bounds statements, locks and idle transactions", async () => {
  const pool = makePool(inject("adminDatabaseUrl"), "test", () => undefined);
  const { rows } = await pool.query<{ name: string; setting: string }>("SELECT name, setting FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout') ORDER BY name");
  expect(rows).toEqual([{ name: "idle_in_transaction_session_timeout", setting: "10000" }, { name: "lock_timeout", setting: "2000" }, { name: "statement_timeout", setting: "5000" }]);
  await pool.end();
});

it("gives up on a connection whose server says nothing any more, and goes on with another", async () => {
  const pool = makePool(inject("adminDatabaseUrl"), "test", () => undefined, { statementTimeoutMs: 200, answerTimeoutMs: 300 });
  let pid = 0;
  try {
    await expect(inTransaction(pool, async (client) => {
      const { rows: [row] } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      pid = row?.pid ?? 0;
      process.kill(pid, "SIGSTOP");
      await client.query("SELECT 1");
    })).rejects.toThrow("Query read timeout");
    expect((await pool.query<{ two: number }>("SELECT 2 AS two")).rows).toEqual([{ two: 2 }]);
    expect(pool.totalCount).toBe(1); // the silent one is not kept
  } finally {
    if (pid > 0) process.kill(pid, "SIGCONT");
  }
  await pool.end();
});

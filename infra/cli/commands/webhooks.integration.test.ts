/** `inferctl webhooks` against a database of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Pool } from "pg";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { inTransaction } from "#shared/db/transaction.ts";
import { insertDeliveries } from "#shared/webhooks/deliveries.ts";

import { callInferctl } from "../callInferctl.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-webhooks-"));
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "cli_webhooks");
  await inferctl("tenants", "create", "acme");
});
afterAll(async () => {
  await database.drop();
  rmSync(folder, { recursive: true });
});

const inferctl = (...args: string[]) => callInferctl(args, { DATABASE_URL: database.url, INFER_HOME: folder, INFER_SECRET: "s".repeat(32) });
const webhooks = (...args: string[]) => inferctl("webhooks", ...args, "--tenant", "acme");

it("makes an endpoint, rotates, disables and enables it, finds what was given up on and sends it again, and removes it", async () => {
  const { endpoint_id, secret } = JSON.parse((await webhooks("add", "http://127.0.0.1:9/hook", "--json")).printed) as { endpoint_id: string; secret: string };
  const rotated = await webhooks("rotate", endpoint_id);
  expect([secret, rotated.printed]).toEqual([expect.stringMatching(/^whsec_/), expect.stringMatching(/^whsec_[^]*shown this once/)]);
  expect((await webhooks("disable", endpoint_id)).printed).toBe(`endpoint ${endpoint_id} is disabled`);
  expect((await webhooks("enable", endpoint_id)).printed).toBe(`endpoint ${endpoint_id} is active`);
  const list = (await webhooks("list")).printed;
  expect([list.includes(endpoint_id), list.includes("http://127.0.0.1:9/hook"), list.includes("whsec_")]).toEqual([true, true, false]);

  const pool = new Pool({ connectionString: database.url, max: 1 });
  await inTransaction(pool, (client) => insertDeliveries(client, [{ tenant_id: "acme", type: "request.completed", occurrence: "a", payload: "{}" }]));
  await pool.query("UPDATE webhook_deliveries SET status = 'dead', tries = 15, last_status = 500, last_error = 'HTTP status 500'");
  await pool.end();
  const [, webhookId] = /(msg_[0-9a-f]{32})\s.*dead\s+15\s.*HTTP status 500/.exec((await webhooks("deliveries", "--status", "dead")).printed) ?? [];
  expect((await webhooks("retry", webhookId ?? "")).printed).toBe(`${webhookId ?? ""} is sent again`);
  expect((await webhooks("deliveries", "--status", "dead")).printed).toBe("none");
  expect((await webhooks("retry", webhookId ?? "")).errors).toContain("is pending");

  await webhooks("remove", endpoint_id);
  expect((await webhooks("list")).printed).toContain("no endpoint yet");
  const { changes } = JSON.parse((await inferctl("tenants", "history", "acme", "--json")).printed) as { changes: { action: string }[] };
  expect(changes.map(({ action }) => action).reverse()).toEqual(["tenant.create", "webhook.create", "webhook.rotate", "webhook.disable", "webhook.enable", "webhook.retry", "webhook.remove"]);
});

it.each([
  [["webhooks", "list"], "--tenant"], [["webhooks", "--tenant", "acme"], "say what to do"], [["webhooks", "add", "--tenant", "acme"], "an https URL"], [["webhooks", "add", "https://10.0.0.1/", "--tenant", "acme"], "is not a public address"],
  [["webhooks", "add", "https://93.184.216.34/", "--tenant", "nobody"], "there is no tenant nobody"], [["webhooks", "rotate", "we_0", "--tenant", "acme"], "there is no endpoint we_0"], [["webhooks", "disable", "--tenant", "acme"], "say which endpoint"],
  [["webhooks", "deliveries", "--status", "lost", "--tenant", "acme"], "--status: one of"], [["webhooks", "retry", "msg_0", "--tenant", "acme"], "there is no webhook msg_0"],
])("%j says what is wrong", async (args, message) => {
  expect(await inferctl(...args)).toMatchObject({ code: 64, errors: expect.stringContaining(message) as string });
});

/** `inferctl report` and `inferctl statement` as they are typed, on a database with one request in its books. */
import { Pool } from "pg";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { callInferctl } from "#infra/cli/callInferctl.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { Report, Statement } from "#shared/contracts/report.ts";

let database: Awaited<ReturnType<typeof makeTestDatabase>>;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "cli_report");
  const pool = new Pool({ connectionString: database.url });
  await pool.query("INSERT INTO ledger_requests (tenant_id, request_id, at, user_id, policy, tier, model, outcome, baseline_tier, baseline_cost_nano_usd, cost_is_partial, paid_nano_usd, paid_to_answer_tier_nano_usd, paid_to_answer_model_nano_usd, latency_ms, latency_slo_ms, stream_seq) VALUES ('acme', 'r', '2026-11-03T10:00:00Z', '=1+1', 'cascade', 'small', 's-1', 'completed', 'large', 5000000000, false, 1250000000, 1250000000, 1250000000, 400, 500, 1)");
  await pool.query("INSERT INTO ledger (tenant_id, request_id, kind, part, user_id, tier, model, policy, cost_nano_usd, is_charged, cost_is_partial, is_to_answer_tier, is_to_answer_model, at, stream, stream_seq) VALUES ('acme', 'r', 'attempt', '1', '=1+1', 'small', 's-1', 'cascade', 1250000000, true, false, true, true, '2026-11-03T10:00:00Z', 'COMPLETIONS', 1)");
  await pool.end();
});
afterAll(() => database.drop());

const inferctl = (...args: string[]) => callInferctl(args, { DATABASE_URL: database.url });
const MONTH = ["--from", "2026-11-01", "--to", "2026-12-01"];

it("prints a table, JSON and CSV of the same figures", async () => {
  expect((await inferctl("report", "--by", "model", ...MONTH)).printed).toMatch(/^s-1 +1 +1\.2500 +0\.000000 +0\.000000 +5\.0000 +3\.7500 /m);
  const report = Report.parse(JSON.parse((await inferctl("report", "--by", "user", ...MONTH, "--json")).printed));
  expect(report.rows).toMatchObject([{ group: "=1+1", spend_nano_usd: "1250000000", net_saving_nano_usd: "3750000000", slo: { requests: 1, within: 1 } }]);
  expect((await inferctl("report", "--by", "user", ...MONTH, "--csv")).printed).toMatch(/^group,'=1\+1,1,1,0,0,0,1250000000,/m);
});

it("prints a statement in each form", async () => {
  const args = ["statement", "--tenant", "acme", "--month", "2026-11"];
  expect((await inferctl(...args)).printed).toMatch(/attempt +small +s-1 +1 +1\.2500\nto pay: 1\.2500 USD/);
  expect(Statement.parse(JSON.parse((await inferctl(...args, "--json")).printed))).toMatchObject({ charged_nano_usd: "1250000000", not_charged_nano_usd: "0" });
  expect((await inferctl(...args, "--csv")).printed).toMatch(/^acme,2026-11,attempt,small,s-1,1,1250000000,true$/m);
});

it.each([
  [["report", "--by", "colour"], /by: /], [["report", "--from", "yesterday"], /from: must be a day as 2026-11-01/], [["report", "--tz", "Mars/Olympus"], /tz: is no time zone/], [["report", "--tz", "+01:00"], /tz: is no time zone/], [["report", "--json", "--csv"], /exclude each other/],
  [["report", "--from", "2026-11-02", "--to", "2026-11-01"], /to: must be after from/], [["statement", "--month", "2026-11"], /say whose/], [["statement", "--tenant", "a", "--month", "2026-13"], /month: must be a month as 2026-11/],
])("%j is refused with what to do", async (args, message) => {
  const refused = await inferctl(...args);
  expect([refused.code, refused.errors]).toEqual([64, expect.stringMatching(message) as string]);
});

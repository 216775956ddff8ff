import { readFileSync } from "node:fs";
import { Client } from "pg";
const url = readFileSync("/tmp/rs_pg.url", "utf8").trim();
const c = new Client({ connectionString: url });
await c.connect();
await c.query("SET role infer_console");
await c.query("SET max_parallel_workers_per_gather = 0; SET work_mem='32MB'; SET jit=off");
const pid = (await c.query("select pg_backend_pid() p")).rows[0].p;
const cpu = () => Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
const orig = c.query.bind(c);
const log: any[] = [];
(c as any).query = async (sql: any, values: any) => {
  const b = cpu();
  const r = await (orig as any)(sql, values);
  log.push([cpu() - b, String(sql).replace(/\s+/g, " ").slice(0, 110), r.rows?.length]);
  if (process.argv[2] === "explain" && cpu() - b > 30) {
    const e = await (orig as any)("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) " + sql, values);
    log.push([0, e.rows.map((x: any) => x["QUERY PLAN"]).join("\n"), 0]);
  }
  return r;
};
const { readOverview, readSeries, readFrontier, readFlow, readLatency } = await import("#sinks/console/views.ts");
const NOW = Date.parse("2026-11-30T23:20:00Z");
const scope = { span: { fromMs: NOW - Number(process.argv[3] ?? 24) * 3_600_000, toMs: NOW }, tenantId: process.argv[4] ?? null, tier: null };
for (let i = 0; i < 2; i++) {
  log.length = 0;
  const j = process.cpuUsage();
  await readOverview(c, scope, { nowMs: NOW, tz: "UTC" });
  if (process.argv[2] !== "explain") { await readSeries(c, scope); await readFrontier(c, scope, { floor: null, baselineTier: "large" }); await readFlow(c, scope); await readLatency(c, scope); }
  const k = process.cpuUsage(j);
  log.push([(k.user + k.system) / 1000, "own JS", 0]);
}
for (const [ms, sql, n] of log) console.log(ms.toFixed(1).padStart(8), n, sql);
await c.end();

/**
 * All roles do some of everything while a real Prometheus looks at them: every panel of every dashboard shows something, every rule is evaluated, and
 * docs/metrics.md has every metric that there is.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";

import { Pool } from "pg";
import { Registry } from "prom-client";
import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";

import { callInferctl } from "#infra/cli/callInferctl.ts";
import { body, getText, postJson } from "#infra/e2e/callers.ts";
import { type ModelServer, prompt, type Script, startModelServer } from "#infra/e2e/modelServer.ts";
import { writeTierFile } from "#infra/e2e/tierFile.ts";
import { anyFreePort } from "#infra/embedded/freePort.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { findPrometheus } from "#infra/prometheus/findPrometheus.ts";
import { metricsPage, Registered } from "#infra/prometheus/metricsPage.ts";
import { startPrometheus, type TestPrometheus } from "#infra/prometheus/startPrometheus.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startTestRoles, type TestRole, testRole, type TestRoles } from "#infra/testRoles.ts";
import { gateway } from "#producers/gateway/gateway.ts";
import { router } from "#router/router.ts";
import { Report } from "#shared/contracts/report.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";
import { auditSink } from "#sinks/audit/auditSink.ts";
import { metricsSink } from "#sinks/metrics/metricsSink.ts";
import { webhookSender } from "#sinks/webhooks/webhookSender.ts";
import { worker } from "#workers/worker.ts";

import { ALL_DASHBOARDS } from "./dashboards/allDashboards.ts";

const TIERS = ["alpha", "beta"] as const;
const ROLES = ["gateway", "router", "worker", "audit-sink", "metrics-sink", "webhook-sender"];
const TENANT = "caching";
const folder = mkdtempSync(join(tmpdir(), "infer-live-run-"));
const programs = await findPrometheus();
const registering = vi.spyOn(Registry.prototype, "registerMetric");

let broker: TestBroker;
let models: ModelServer;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let roles: TestRoles;
const urls = new Map<string, string>();

async function workerOf(tier: string, place: number): Promise<TestRole> {
  const port = await anyFreePort();
  urls.set(`worker-${tier}`, `http://127.0.0.1:${port}`);
  const { start } = testRole(worker);
  return { name: `worker-${tier}`, start: (environment, context) => start({ ...environment, INFER_WORKER_TIER: tier, INFER_WORKER_PORT: String(port - place) }, context) };
}

beforeAll(async () => {
  [broker, models, database] = await Promise.all([startTestBroker(TIERS.map((name) => ({ name, slots: 8 }))), startModelServer(), makeTestDatabase(inject("adminDatabaseUrl"), "live_run")]);
  const pool = new Pool({ connectionString: database.url });
  await createTenant({ pool, tenantId: null }, { kind: "inferctl" }, { tenant_id: TENANT, settings: { cache: { mode: "all", ttl_s: 60 } } }).finally(() => pool.end());
  const workers = await Promise.all(TIERS.map(workerOf));
  roles = await startTestRoles([testRole(gateway), testRole(router), ...workers, testRole(auditSink), testRole(metricsSink), testRole(webhookSender)], {
    NATS_URL: broker.url, REDIS_URL: `${inject("redisUrl")}/11`, DATABASE_URL: database.url, INFER_TIERS_FILE: writeTierFile(join(folder, "tiers.json"), models.url, TIERS.map((name) => ({ name }))),
    INFER_SECRET: "s".repeat(32), INFER_SNAPSHOT_KEYS: "k".repeat(32), INFER_BUDGET_DAY_USD: "100", INFER_SHADOW_SHARE: "1", INFER_RECONCILE_EVERY_S: "2",
  });
  for (const [name, url] of roles.urls) if (!urls.has(name)) urls.set(name, url);
  await waitUntil(async () => {
    const ready = await Promise.all([...urls.values()].map((url) => fetch(`${url}/readyz`).then(({ ok }) => ok, () => false)));
    return ready.every(Boolean) ? true : undefined;
  }, { deadlineMs: 40_000, everyMs: 100, describe: () => "some role is not ready" });
}, 90_000);
afterAll(async () => {
  await roles.stop();
  await Promise.all([broker.remove(), models.close(), database.drop()]);
  rmSync(folder, { recursive: true });
});

let rounds = 0;
/** An answer that is kept at once, one that needs the second tier, one that neither tier has, one that is asked twice of the cache, and a body that is none. */
async function round(): Promise<number[]> {
  const name = `r${rounds++}`;
  const ask = (suffix: string, script: Script, more = {}) => postJson(`${urls.get("gateway") ?? ""}/infer`, body(`${name}-${suffix}`, prompt(`${name}-${suffix}`, script), more));
  const same = (suffix: string) => postJson(`${urls.get("gateway") ?? ""}/infer`, body(`${name}-${suffix}`, prompt(`${name}-same`, {}), { tenant_id: TENANT }));
  const answers = await Promise.all([ask("kept", {}, { latency_slo_ms: 5_000 }), ask("escalated", { alpha: { confidence: 0.5 } }), ask("failed", { alpha: { status: 500 }, beta: { status: 500 } }), same("first"), postJson(`${urls.get("gateway") ?? ""}/infer`, {})]);
  return [...answers, await same("second")].map(({ status }) => status);
}

const namesOf = async (url: string) => new Set([...(await getText(`${url}/metrics`)).text.matchAll(/^# HELP (infer_\w+)/gm)].map(([, name = ""]) => name));

it("docs/metrics.md has each metric of each role, and no other (else: -u)", async () => {
  await round();
  const registered = registering.mock.calls.map(([metric]) => Registered.parse(metric));
  const byRole = new Map(await Promise.all(ROLES.map(async (role) => [role, await namesOf(urls.get(role === "worker" ? "worker-alpha" : role) ?? "")] as const)));
  const live = new Set([...byRole.values()].flatMap((names) => [...names]));
  expect([...new Set(registered.map(({ name }) => name))].filter((name) => name.startsWith("infer_") && !live.has(name))).toEqual([]);
  const used = ALL_DASHBOARDS.flatMap(({ rows }) => rows.flatMap(({ panels }) => panels.flatMap(({ queries }) => queries.flatMap(({ expr }) => expr.match(/\binfer_[a-z_]+/g) ?? []))));
  expect([...new Set(used.map((name) => name.replace(/_(bucket|sum|count)$/, "")))].filter((name) => !live.has(name) && !live.has(`${name}_sum`))).toEqual([]);
  await expect(metricsPage(registered, byRole)).toMatchFileSnapshot("../../docs/metrics.md");
});

describe.skipIf(programs === null)("a Prometheus that scrapes them", () => {
  let prometheus: TestPrometheus;
  beforeAll(async () => {
    const home = join(folder, "prometheus");
    mkdirSync(home);
    const jobOf = (name: string) => (name.startsWith("worker-") ? "worker" : name);
    const targets: Record<string, string[]> = {};
    for (const [name, url] of urls) (targets[jobOf(name)] ??= []).push(new URL(url).host);
    prometheus = await startPrometheus({ program: programs?.prometheus ?? "", folder: home, targets });
  }, 60_000);
  afterAll(() => prometheus.stop());

  const filled = (expr: string) => expr.replaceAll("$__rate_interval", "1m").replaceAll("$__range", "5m").replaceAll("$tier", ".*");
  const panels = ALL_DASHBOARDS.flatMap(({ uid, rows }) => rows.flatMap((row) => row.panels.map((panel) => ({ name: `${uid}: ${panel.title}`, ...panel }))));
  const queries = panels.flatMap(({ name, mayBeEmpty, queries: own }) => own.map(({ expr, legend }) => ({ name: `${name}: ${legend}: ${expr}`, expr: filled(expr), mayBeEmpty })));
  const isEmpty = async (expr: string) => (await prometheus.query(expr)).every(({ value: [, value] }) => value === "NaN");

  it("finds something for each query of each panel while requests come", async () => {
    expect(await isEmpty("infer_no_such_metric")).toBe(true);
    let empty: string[] = [], statuses: number[] = [], wentAsWanted = false;
    await waitUntil(async () => {
      statuses = await round();
      const [kept, escalated, failed = 0, first, unreadable, second] = statuses; // one that is refused for want of time is asked again by the next round
      wentAsWanted ||= [kept, escalated, first, second].every((status) => status === 200) && failed >= 500 && unreadable === 400;
      const looked = await Promise.all(queries.map(async ({ name, expr, mayBeEmpty }) => ((await isEmpty(expr)) && mayBeEmpty === undefined ? [name] : [])));
      empty = looked.flat();
      return empty.length === 0 && wentAsWanted ? true : undefined;
    }, { deadlineMs: 80_000, everyMs: 500, describe: () => `answers: ${statuses.join(" ")}; nothing for\n${empty.join("\n")}` });
  }, 100_000);

  it("lets few panels be empty, each for a reason", () => {
    expect(panels.filter(({ mayBeEmpty }) => mayBeEmpty !== undefined).map(({ title }) => title)).toEqual(["Calibration error of a day", "First token, p95", "Pacing: λ", "Not reconciled yet", "Until a price ends"]);
  });

  it("knows what is left of a budget, whose name it does not say", async () => {
    const of = async (what: string) => Number((await prometheus.query(`max(infer_budget_${what}_usd{scope="global",window="day"})`))[0]?.value[1]);
    const spent = await waitUntil(async () => [await of("spent")].find((usd) => usd > 0), { deadlineMs: 40_000, everyMs: 500, describe: () => "nothing is spent" });
    expect(spent).toBeLessThan(1);
    expect(await of("limit")).toBe(100);
    expect(await prometheus.query('max by (outlook) (infer_budget_accounts{scope="global",window="day"}) == 1')).toMatchObject([{ metric: { outlook: "lasts" } }]);
  }, 60_000);

  /**
   * `increase` and `rate` extrapolate to the ends of a time, so their digits are nobody's. Counters began at 0 with this run, so over all of it
   * they have risen by what they are.
   */
  const overWholeRun = (expr: string) => expr.replaceAll(/(?:increase|rate)\(([a-z_]+(?:\{[^}]*\})?)\[\$__[a-z_]+\]\)/g, "$1");
  const exprsOf = (title: string) => panels.filter((panel) => panel.title === title).flatMap(({ queries: own }) => own.map(({ expr }) => overWholeRun(expr)));
  const samplesOf = async (title: string) => (await Promise.all(exprsOf(title).map((expr) => prometheus.query(expr)))).flat();
  const figureOf = async (title: string) => Number((await samplesOf(title))[0]?.value[1]);
  const inNano = async (title: string) => Math.round((await figureOf(title)) * 1e9);

  it("shows over the whole run what inferctl report says, to the nano-dollar", async () => {
    expect(exprsOf("Spent")).toEqual(["(sum(infer_cost_usd_total) or vector(0))"]);
    let told: object = {};
    const { report, tierMix, slo } = await waitUntil(async () => {
      const { printed } = await callInferctl(["report", "--by", "tier", "--from", "2020-01-01", "--to", "2100-01-01", "--json"], { DATABASE_URL: database.url });
      const { total, rows } = Report.parse(JSON.parse(printed));
      const answered = (tier: string) => rows.filter(({ group }) => group === tier).reduce((sum, { outcomes }) => sum + outcomes.completed + outcomes.degraded, 0);
      const whole = total.outcomes.completed + total.outcomes.degraded;
      const mine = { requests: total.requests, spent: Number(total.spend_nano_usd), saved: Number(total.net_saving_nano_usd), tiers: Object.fromEntries(TIERS.map((tier) => [tier, answered(tier) / whole])), slo: Object.fromEntries(rows.filter((row) => row.slo.requests > 0).map((row) => [row.group ?? "none", row.slo.within / row.slo.requests])) };
      const byTier = async (title: string) => Object.fromEntries((await samplesOf(title)).map(({ metric, value }) => [metric["tier"] ?? "", Number(value[1])]));
      const grafana = { requests: await figureOf("Requests"), spent: await inNano("Spent"), saved: await inNano("Saved"), tiers: await byTier("Which tier answers"), slo: await byTier("Answered within their latency SLO") };
      told = { report: mine, grafana };
      return isDeepStrictEqual(mine, grafana) && total.shadow_nano_usd !== "0" ? { report: total, tierMix: grafana.tiers, slo: grafana.slo } : undefined;
    }, { deadlineMs: 60_000, everyMs: 500, describe: () => `they differ: ${JSON.stringify(told)}` });
    expect([report.requests > 5, report.spend_nano_usd !== "0", report.cached > 0, report.outcomes.failed > 0, report.slo.requests > 0]).toEqual([true, true, true, true, true]);
    expect([Object.keys(tierMix).sort(), Object.keys(slo)]).toEqual([[...TIERS], expect.arrayContaining(["alpha"])]);
  }, 90_000);

  it("loads every rule, and evaluates each without an error", async () => {
    const rulesNow = async () => (await prometheus.get("rules")) as { data: { groups: { rules: { name: string; health: string; lastError?: string }[] }[] } };
    const rules = await waitUntil(async () => {
      const found = (await rulesNow()).data.groups.flatMap((group) => group.rules);
      return found.some(({ health }) => health === "unknown") ? undefined : found;
    }, { deadlineMs: 20_000, everyMs: 200, describe: () => "some rule is not evaluated" });
    expect(rules.length).toBe(33);
    expect(rules.filter(({ health }) => health !== "ok")).toEqual([]);
  });

  it("reaches every role", async () => {
    const up = async () => (await prometheus.query('up{job!="prometheus"} == 1')).map(({ metric }) => metric["job"]).sort();
    await waitUntil(async () => ((await up()).join() === "audit-sink,gateway,metrics-sink,router,webhook-sender,worker,worker" ? true : undefined), { deadlineMs: 20_000, everyMs: 200, describe: () => "some role does not answer" });
  });
});

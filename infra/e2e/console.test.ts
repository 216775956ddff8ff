/** The console as people use it: a real Chromium on a real system, which asks for keys. */
import type { Browser, BrowserContext, BrowserContextOptions, Locator, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import type { AdminAuditRow } from "#shared/tenancy/adminAudit.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { DeadLetter } from "#shared/contracts/events.ts";
import letterFixture from "#shared/contracts/fixtures/dead_letter.v1.json" with { type: "json" };
import type { Report } from "#shared/contracts/report.ts";
import type { TierStatus } from "#shared/contracts/tierStatus.ts";
import { formatUsd } from "#sinks/console/web/pure/money.ts";

import { findChromium, launchChromium, lookAt, NO_CHROMIUM, watchPage } from "./browser.ts";
import { connectBroker, connectPlain } from "./callers.ts";
import { makeTenants, planRequests, sendRequests } from "./consoleTraffic.ts";
import { jsonIn, startSystem, type System } from "./system.ts";

const program = findChromium(process.env);
if (program === null) process.stderr.write(`  the console's page is not tested: ${NO_CHROMIUM}\n`);
const WAIT_MS = 60_000;
const REQUESTS = 60;
const VIEWS = [["/console", "Overview"], ["/console/requests", "Requests"], ["/console/tiers", "Tiers"], ["/console/budgets", "Budgets"]] as const;

describe.skipIf(program === null)("the console", () => {
  let system: System;
  let browser: Browser;
  let origin: string;
  let adminKey: string;
  let inferKey: string;
  const contexts: BrowserContext[] = [];

  const makeKey = async (role: string) => (jsonIn(await system.inferctl("keys", "create", "--operator", "--role", role, "--json")) as { key: string }).key;
  beforeAll(async () => {
    system = await startSystem({ isSingleProcess: true, env: { INFER_AUTH: "keys", INFER_SHADOW_SHARE: "1" } });
    origin = system.url("gateway-admin");
    [adminKey, inferKey] = [await makeKey("admin"), await makeKey("infer")];
    browser = await launchChromium(program ?? "");
  });
  afterEach(() => Promise.all(contexts.splice(0).map((context) => context.close())));
  afterAll(async () => {
    await (browser as Browser | undefined)?.close(); // either may not have come up
    await (system as System | undefined)?.remove();
  });

  const audited = async (action: AdminAuditRow["action"]) => {
    const answer = await fetch(`${origin}/admin/audit`, { headers: { authorization: `Bearer ${adminKey}` } });
    return ((await answer.json()) as { changes: AdminAuditRow[] }).changes.filter((change) => change.action === action);
  };
  async function open(path: string, { key = adminKey, ...options }: BrowserContextOptions & { key?: string | null } = {}) {
    const context = await browser.newContext({ timezoneId: "UTC", ...options });
    contexts.push(context);
    context.setDefaultTimeout(WAIT_MS);
    if (key !== null) await context.addInitScript(`sessionStorage.setItem("infer-console-key", ${JSON.stringify(key)})`);
    const page = await context.newPage();
    const watch = watchPage(page, origin);
    await page.goto(origin + path);
    return { page, ...watch };
  }
  /** All of it has been answered, one way or the other. */
  const settled = async (page: Page) => {
    await page.locator("h1").first().waitFor();
    await page.locator('[aria-busy="true"], .loading').first().waitFor({ state: "detached" });
  };
  async function expectSound(path: string, title: string, options: BrowserContextOptions = {}): Promise<Page> {
    const { page, complaints, foreign } = await open(path, options);
    await page.getByRole("heading", { level: 1, name: title }).waitFor();
    await settled(page);
    const { barriers, overflowPx } = await lookAt(page);
    expect({ path, barriers, overflowPx, complaints, foreign, problems: await page.locator(".problem").allTextContents() }).toEqual({ path, barriers: [], overflowPx: 0, complaints: [], foreign: [], problems: [] });
    return page;
  }

  it("asks for a key, says when one is wrong, and takes one that is right", async () => {
    const { page, foreign } = await open("/console/tiers", { key: null });
    await page.getByLabel("API key").fill("nobody's");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("was not accepted").waitFor();
    expect((await lookAt(page)).barriers).toEqual([]);
    await page.getByLabel("API key").fill(adminKey);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("rowheader", { name: "small" }).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API key").waitFor();
    expect(foreign).toEqual([]);
  });

  it("is empty on a new system, in every view, and says what to do", async () => {
    for (const [path, title] of VIEWS) await expectSound(path, title);
    const page = await expectSound("/console", "Overview");
    await page.getByText("npx inferctl demo").waitFor();
    await (await open("/console/requests/acme/nothing")).page.getByText("It may be older than what is kept").first().waitFor();
  });

  it("shows requests as they end, without being asked, and the money that reports show", async () => {
    await makeTenants(system);
    const { page } = await open("/console?tz=UTC");
    await page.getByText("Live", { exact: true }).waitFor();
    const asked = await planRequests(REQUESTS);
    expect(await sendRequests(system.url("gateway"), asked, { key: inferKey })).toHaveLength(REQUESTS);
    await page.getByRole("region", { name: "Live requests" }).getByRole("link", { name: /^mail-/ }).first().waitFor();
    await page.locator(".figures > div", { hasText: "Requests" }).getByText(String(REQUESTS), { exact: true }).waitFor();
    // Shadows are booked after their requests.
    await waitUntil(async () => {
      const { total } = jsonIn(await system.inferctl("report", "--json")) as Report;
      const shown = await page.locator(".hero", { hasText: "this month" }).locator(".amount a").textContent();
      return shown === formatUsd(total.net_saving_nano_usd).replace("−", "") && total.shadow_nano_usd !== "0" ? true : undefined;
    }, { deadlineMs: WAIT_MS, describe: () => "page and report do not say the same" });
  });

  it("is sound in every view with data, on a desk and on a phone in the dark", async () => {
    const phone: BrowserContextOptions = { viewport: { width: 390, height: 844 }, colorScheme: "dark", hasTouch: true };
    const all = [...VIEWS, ["/console/requests/acme/mail-0001", "Request mail-0001"]] as const;
    for (const [path, title] of all) {
      await expectSound(path, title);
      const page = await expectSound(path, title, phone);
      if (await page.locator("table.requests").count() === 0) continue;
      expect(await page.evaluate<number>('(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector("table.requests").parentElement)'), `${path}: the list of requests does not fit its card`).toBe(0);
    }
  });

  it("leads from a number to one request and why its tiers were chosen, by keyboard alone", async () => {
    const { page } = await open("/console?last=1h");
    await settled(page);
    const tabTo = async (link: Locator) => {
      const href = await link.getAttribute("href");
      const reached = page.locator(`a:focus[href="${href ?? ""}"]`);
      for (let presses = 0; presses < 200; presses++) {
        await page.keyboard.press("Tab");
        if (await reached.count() === 1) return;
      }
      throw new Error(`${href ?? "the link"} cannot be reached`);
    };
    const escalated = page.locator(".figures > div", { hasText: "Escalated" }).locator("a");
    const count = await escalated.textContent();
    await tabTo(escalated);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "Requests" }).waitFor();
    expect(new URL(page.url()).search).toBe("?last=1h&escalated=true");
    await page.getByText("These are all.").waitFor();
    expect(String(await page.locator("table.requests tbody tr").count())).toBe(count);
    await tabTo(page.locator("th.id a").first());
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: /^Request mail-/ }).waitFor();
    await page.getByText("Trace id").waitFor();
    await page.getByRole("img", { name: /^Timeline of/ }).waitFor();
    expect(await page.locator("tr.chosen").count()).toBeGreaterThanOrEqual(2);
    expect(await page.getByText("already asked for this request").count()).toBeGreaterThanOrEqual(1);
    await page.goBack();
    await page.getByRole("heading", { level: 1, name: "Requests" }).waitFor();
  });

  it("has all that it shows in its address", async () => {
    const { page } = await open("/console/requests");
    await page.getByLabel("Tenant").selectOption("acme");
    await page.getByLabel("Outcome").selectOption("completed");
    await page.getByText("These are all.").waitFor();
    await settled(page);
    const rows = await page.locator("table.requests tbody tr").allTextContents();
    const { page: other } = await open(page.url().slice(origin.length));
    await other.getByText("These are all.").waitFor();
    expect(rows.length).toBeGreaterThan(5);
    expect(await other.locator("table.requests tbody tr").allTextContents()).toEqual(rows);
  });

  it("shows a tenant's reader its own requests alone, and what it may not change without an error", async () => {
    const { key } = jsonIn(await system.inferctl("keys", "create", "--tenant", "acme", "--role", "read", "--json")) as { key: string };
    const { page } = await open("/console/requests", { key });
    await page.getByText("These are all.").waitFor();
    expect(new Set(await page.locator("table.requests tbody td:nth-child(3)").allTextContents())).toEqual(new Set(["acme"]));
    await page.getByRole("link", { name: "Tiers" }).click();
    await page.getByRole("rowheader", { name: "small" }).waitFor();
    await page.getByText("it needs a key of the role admin").nth(1).waitFor(); // models, dead letters
    expect(await page.locator(".problem").count()).toBe(0);
  });

  it("changes a budget only when it is told to, and the audit says who did", async () => {
    const { page } = await open("/console/budgets?tenant_id=globex");
    const change = page.getByRole("button", { name: /Change the budget of globex/ });
    const changes = async () => (await audited("tenant.change")).filter(({ tenant_id }) => tenant_id === "globex").length;
    const before = await changes();
    await change.click();
    expect((await lookAt(page)).barriers).toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(await changes()).toBe(before);
    await change.click();
    await page.getByLabel("New limit in $").fill("2.5");
    await page.getByRole("button", { name: "Change the budget", exact: true }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(await changes()).toBe(before + 1);
    expect(await system.inferctl("tenants", "show", "globex", "--json")).toContain("2.5");
  });

  it("shows a dead letter, and discards it only when it is told to", async () => {
    const broker = await connectBroker(system.url("nats"), { seed: system.natsSeed("admin"), inboxPrefix: "_INBOX.admin" });
    await broker.js.publish("infer.request.acme.broken-1", "{").finally(() => broker.close());
    const { page } = await open("/console/tiers");
    const discard = page.getByRole("button", { name: /^Discard letter/ });
    await waitUntil(async () => {
      if (await discard.count() > 0) return true;
      await page.reload();
      return settled(page).then(() => undefined);
    }, { deadlineMs: WAIT_MS, describe: () => "no dead letter is shown" });
    await discard.click();
    await page.getByRole("button", { name: "Cancel" }).click();
    expect(await audited("dead_letter.discard")).toEqual([]);
    await discard.click();
    await page.getByRole("button", { name: "Discard", exact: true }).click();
    await page.getByText("There are no dead letters").waitFor();
    expect(await audited("dead_letter.discard")).toHaveLength(1);
  });

  /** Cancelled, it changes nothing; told to, it does, and the admin audit says so. */
  async function doesOnlyWhenTold(page: Page, button: Locator, { action, writes }: { readonly action: string; readonly writes: AdminAuditRow["action"] }): Promise<void> {
    const dialog = page.getByRole("dialog");
    const before = (await audited(writes)).length;
    await button.click();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.waitFor({ state: "detached" });
    expect((await audited(writes)).length).toBe(before);
    await button.click();
    await dialog.getByRole("button", { name: action, exact: true }).click();
    await dialog.waitFor({ state: "detached" });
    expect((await audited(writes)).length).toBe(before + 1);
  }

  it("sends a dead letter's request again, and resets a breaker, only when it is told to", async () => {
    const loginOf = (role: string) => ({ seed: system.natsSeed(role), inboxPrefix: `_INBOX.${role}` });
    const [admin, router, worker] = await Promise.all([connectBroker(system.url("nats"), loginOf("admin")), connectPlain(system.url("nats"), loginOf("router")), connectPlain(system.url("nats"), loginOf("worker-small"))]);
    const [tenant_id, request_id] = ["globex", "mail-0014"]; // whose budget no tier fits, so that it has no answer
    const subject = `infer.request.${tenant_id}.${request_id}`;
    const given = await admin.jsm.streams.getMessage("REQUESTS", { last_by_subj: subject });
    const letter = DeadLetter.parse({ ...letterFixture, stream: "REQUESTS", stream_seq: given?.seq, subject, tenant_id, request_id, reason: "poison", late_attempt: null, at_ms: Date.now() });
    router.publish(`infer.deadletter.REQUESTS.${tenant_id}`, JSON.stringify(letter));
    // A second worker of the tier, whose backend is away: it says so as long as it is there.
    const status: TierStatus = { tier: "small", instance: "second", breaker: "open", retry_in_ms: 60_000, slots: 1, busy: 0, batch_slots: 0, batch_busy: 0 };
    const say = () => { worker.publish("$KV.infer-tiers.small.second", JSON.stringify(status)); };
    say();
    const saying = setInterval(say, 1_000);
    try {
      await Promise.all([router.flush(), worker.flush()]);
      const { page } = await open("/console/tiers");
      const retry = page.getByRole("button", { name: /^Retry letter/ });
      const seq = /\d+/.exec((await retry.getAttribute("aria-label")) ?? "")?.[0] ?? "";
      await doesOnlyWhenTold(page, retry, { action: "Send again", writes: "dead_letter.retry" });
      await page.getByText("There are no dead letters").waitFor();
      expect((await admin.completion(tenant_id, `dlq-${seq}`, WAIT_MS)).outcome).toBe((await admin.completion(tenant_id, request_id)).outcome);
      await doesOnlyWhenTold(page, page.getByRole("button", { name: "Reset the breaker of small" }), { action: "Reset", writes: "breaker.reset" });
    } finally {
      clearInterval(saying);
      await Promise.all([admin.close(), router.drain(), worker.drain()]);
    }
  });

  it("activates, deactivates and brings back a routing model only when it is told to", async () => {
    const { version } = jsonIn(await system.inferctl("models", "import", "shared/contracts/fixtures/routing_model.v1.json", "--json")) as { version: string };
    const { page } = await open("/console/tiers");
    const row = page.locator("tr", { has: page.getByRole("rowheader", { name: version }) });
    await doesOnlyWhenTold(page, page.getByRole("button", { name: `Activate model ${version}` }), { action: "Activate", writes: "model.activate" });
    await row.getByText("active").waitFor();
    await doesOnlyWhenTold(page, page.getByRole("button", { name: "Deactivate…" }), { action: "Deactivate", writes: "model.deactivate" });
    await row.getByText("stored").waitFor();
    await doesOnlyWhenTold(page, page.getByRole("button", { name: "Roll back…" }), { action: "Roll back", writes: "model.rollback" });
    await row.getByText("active").waitFor();
  });

  it("says what is away and what to do, and keeps what it has", async () => {
    const { page } = await open("/console");
    await settled(page);
    await system.signal("postgres", "SIGINT");
    const { page: late } = await open("/console");
    await late.getByText("A part of the system is away").first().waitFor();
    expect((await lookAt(late)).barriers).toEqual([]);
    await page.reload().catch(() => undefined);
    await system.signal("all-in-one", "SIGKILL");
    await late.getByRole("button", { name: "Try again" }).first().click();
    await late.getByText("The server did not answer").first().waitFor();
    await late.getByText(/Not live: tries again/).waitFor();
    expect((await lookAt(late)).barriers).toEqual([]);
  });
});

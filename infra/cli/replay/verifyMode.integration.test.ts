import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { makeVerifyWorld } from "#infra/bench/verifyWorld.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import type { AuditSource, Unreadable } from "#shared/audit/auditSource.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { openModelStore } from "#shared/messaging/modelStore.ts";
import { openTierFileStore } from "#shared/messaging/tierFileStore.ts";

import type { ReplayContext } from "./replayMode.ts";
import { verifyMode } from "./verifyMode.ts";

const BATCH = 50;
const world = makeVerifyWorld({ seed: 5, traffic: "mixed" });
const EVENTS = Array.from({ length: 300 }, () => world.next());
const folder = mkdtempSync(join(tmpdir(), "infer-verify-"));
const [tiers, models] = [join(folder, "tiers.yaml"), join(folder, "models")];
let test: TestBroker;
beforeAll(async () => {
  test = await startTestBroker([]);
  await (await openModelStore(test.nats, "infer")).put(world.model);
  await (await openTierFileStore(test.nats, "infer")).put(world.file);
  const made = mkdtempSync(models);
  writeFileSync(join(made, "model.json"), JSON.stringify(world.model));
  writeFileSync(tiers, JSON.stringify(world.source)); // JSON is YAML
  files = { tiers, models: join(made, "model.json") };
});
let files: { tiers: string; models: string };
afterAll(async () => {
  await test.remove();
  rmSync(folder, { recursive: true });
});

/** Ends after `most` batches as at Ctrl-C. */
const sourceOf = (events: readonly Completion[], { unreadable = [], most = Infinity, stop = () => undefined }: { unreadable?: readonly Unreadable[]; most?: number; stop?: () => void } = {}): AuditSource => ({
  name: "a list", total: events.length, start: "0",
   
  async *batches({ after = "0" }) {
    let batches = 0;
    for (let at = Number(after); at < events.length; at += BATCH) {
      if (batches++ >= most) {
        stop();
        return;
      }
      yield { records: events.slice(at, at + BATCH).map((completion, i) => ({ seq: at + i + 1, completion })), unreadable: at === 0 ? unreadable : [], cursor: String(at + BATCH) };
    }
  },
});
async function run(source: AuditSource, values: Record<string, unknown> = files, over: Partial<ReplayContext> = {}) {
  const printed: string[] = [], notes: string[] = [];
  let kept: ReplayContext["resumed"] = null;
  const context = {
    source, resumed: null, signal: new AbortController().signal, environment: { NATS_URL: test.url, INFER_HOME: folder },
    keep: async (cursor: string, found: unknown) => { kept = { cursor, found: JSON.parse(JSON.stringify(found)) as unknown }; return Promise.resolve(); },
    print: (line: string) => { printed.push(line); }, progress: { note: (line: string) => { notes.push(line); }, step: <T>(_title: string, work: () => Promise<T>) => work() }, ...over,
  } as unknown as ReplayContext;
  const code = await verifyMode.run(values as never, context);
  return { code, text: printed.join("\n"), notes, kept: kept as ReplayContext["resumed"] };
}
const decisions = EVENTS.reduce((sum, event) => sum + event.decisions.length, 0);

describe("inferctl replay --mode verify", () => {
  it.each([["files, without a server", () => ({ ...files, models: `${files.models},${files.models.replace("/model.json", "")}` }), { NATS_URL: "nats://127.0.0.1:1" }], ["what routers keep in NATS", () => ({}), undefined]] as const)("decides all again by %s", async (_what, values, environment) => {
    const { code, text } = await run(sourceOf(EVENTS), { ...values(), json: true }, environment === undefined ? {} : { environment });
    expect(JSON.parse(text)).toMatchObject({ is_complete: true, requests: 300, same: 300, decisions, differing: 0, differences: [], missing: [], unreadable: {} });
    expect(code).toBe(0);
  });

  it("ends with 1 where something differs, and names what", async () => {
    const other = EVENTS.map((event, i) => (i % 100 === 7 ? { ...event, cost_nano_usd: nanoUsd(event.cost_nano_usd + 5) } : event));
    const { code, text } = await run(sourceOf(other), { ...files, show: "2" });
    expect(code).toBe(1);
    expect(text).toContain("300 requests of a list: 297 decided again as they were");
    expect(text).toContain(`differs: tenant-1 r-8 (#8) at cost_nano_usd: recorded ${(EVENTS[7]?.cost_nano_usd ?? 0) + 5}, decided ${EVENTS[7]?.cost_nano_usd ?? 0}`);
    expect(text).toContain("... and 1 more");
  });

  it("counts by reason what cannot be verified or read", async () => {
    const unreadable: Unreadable[] = [{ at: "line 3", why: "not_json", what: "no JSON" }];
    const old = EVENTS.map(({ terms, ...event }, i): Completion => (i < 3 ? event : { ...event, ...(terms === undefined ? {} : { terms }) }));
    const { code, text } = await run(sourceOf(old, { unreadable }), { ...files, json: true });
    expect([code, JSON.parse(text)]).toMatchObject([0, { same: 297, not_verifiable: { older_event: 3 }, unreadable: { not_json: 1 } }]);
  });

  it("names the versions that are not kept", async () => {
    const elsewhere = { ...files, models: join(folder, "none") };
    await expect(run(sourceOf(EVENTS), elsewhere)).rejects.toThrow(/cannot read .*none/);
    const renamed = EVENTS.map((event) => ({ ...event, decisions: event.decisions.map((decision) => ({ ...decision, tier_file: "gone" })) }));
    const { code, text } = await run(sourceOf(renamed), { json: true });
    expect([code, JSON.parse(text)]).toMatchObject([0, { same: 0, not_verifiable: { tier_file_not_kept: 300 }, missing: ["gone"] }]);
  });

  it("goes on where it was interrupted, to the same totals", async () => {
    const other = EVENTS.map((event, i) => (i === 20 || i === 250 ? { ...event, tier: "other" } : event));
    const stopping = new AbortController();
    const begun = await run(sourceOf(other, { most: 2, stop: () => { stopping.abort(); } }), { ...files, json: true }, { signal: stopping.signal });
    expect([begun.code, JSON.parse(begun.text)]).toMatchObject([1, { is_complete: false, requests: 100, differing: 1 }]);
    const [rest, whole] = [await run(sourceOf(other), { ...files, json: true }, { resumed: begun.kept }), await run(sourceOf(other), { ...files, json: true })];
    const { requests_per_s: _rate, ...totals } = JSON.parse(whole.text) as Record<string, unknown>;
    expect(JSON.parse(rest.text)).toMatchObject(totals);
  });
});

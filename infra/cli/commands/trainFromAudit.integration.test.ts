import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Pool } from "pg";
import { Registry } from "prom-client";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import type { SourceComparison } from "#router/evaluation/compareSources.ts";
import fixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { Shadow, type ShadowEvent, type ShadowTier } from "#shared/contracts/shadow.ts";
import { makePool } from "#shared/db/pool.ts";
import { readShadows } from "#shared/db/readShadows.ts";
import { feedbackFeed } from "#sinks/audit/feedbackFeed.ts";
import { shadowFeed, toShadowItem } from "#sinks/audit/shadowFeed.ts";

import { callInferctl } from "../callInferctl.ts";

const SHADOW = Shadow.parse(fixture);
const [SMALL, LARGE] = SHADOW.tiers as [ShadowTier, ShadowTier];
const BEGIN_MS = Date.parse("2025-01-01T00:00:00.000Z");
const COMPLETE = 600;
const home = mkdtempSync(join(tmpdir(), "infer-audit-"));
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;

/** What the small tier says is wrong in one of four cases, and it knows; the medium one is always right. One request an hour. */
function shadow(i: number, over: Partial<Shadow> = {}): Shadow {
  const isRight = i % 4 !== 0;
  const sure = isRight ? 0.95 : 0.55;
  const tiers: ShadowTier[] = [
    { ...SMALL, confidence: sure, agreement_with_baseline: isRight ? 1 : 0, cost_nano_usd: nanoUsd(1_000) },
    { ...LARGE, agreement_with_kept: isRight ? 1 : 0, cost_nano_usd: nanoUsd(100_000) },
    { ...LARGE, tier: "medium", model: "m-1", agreement_with_kept: isRight ? 1 : 0, cost_nano_usd: nanoUsd(10_000) },
  ];
  return { ...SHADOW, request_id: `r-${i}`, agreement: isRight ? 1 : 0, tiers, task: i % 2 === 0 ? "mail" : null, at_ms: BEGIN_MS + i * 3_600_000, ...over };
}

/** With an event of its own for the last tier, which may come first. */
function askedLater(event: Shadow): ShadowEvent[] {
  const { tenant_id, request_id, at_ms } = event;
  return [...event.tiers.slice(2).map((tier) => ({ type: "shadow_tier.v1" as const, tenant_id, request_id, ...tier, at_ms })), { ...event, tiers: event.tiers.slice(0, 2) }];
}

beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "from_audit");
  pool = makePool(database.url, "test", () => undefined);
  const complete = Array.from({ length: COMPLETE }, (_, i) => shadow(i));
  const [withoutMedium, unsampled, ofAnother] = [shadow(COMPLETE), shadow(COMPLETE + 1), shadow(COMPLETE + 2, { tenant_id: "t2" })];
  const events = [...complete, ofAnother].flatMap((event, i) => (i % 2 === 0 ? [event] : askedLater(event)));
  events.push({ ...withoutMedium, tiers: withoutMedium.tiers.slice(0, 2) }, { ...unsampled, tiers: [] });
  expect(await shadowFeed(pool, new Registry(), "infer").writer.write(events.map((event, i) => toShadowItem(event, i + 1)))).toEqual(events.map(() => ({ ok: true })));
  const said = (request_id: string, source: string, score: number, stream_seq: number) => ({ tenant_id: "t1", request_id, source, score, comment: null, stream_seq, at: new Date(BEGIN_MS).toISOString() });
  await feedbackFeed(pool, new Registry(), "infer").writer.write([said("r-4", "user", 1, 1), said("r-4", "thumbs", 0, 2), said("r-5", "user", 1, 3), said("r-5", "label", 0, 4)]);
});
afterAll(async () => {
  await pool.end();
  await database.drop();
  rmSync(home, { recursive: true });
});

const train = (...args: string[]) => inferctl("train", ...args);
const inferctl = (verb: string, ...args: string[]) => callInferctl([verb, "--from-audit", ...args], { DATABASE_URL: database.url, INFER_HOME: home });
const modelOf = ({ printed }: { printed: string }) => RoutingModelFile.parse(JSON.parse(printed));
/** Small enough to be quick. */
const LAST = `--since=${new Date(BEGIN_MS + (COMPLETE - 100) * 3_600_000).toISOString()}`;

it("makes a model of the rows in Postgres that are complete, in the tier file's order, and says what became of the others", async () => {
  const trained = await train("--json");
  const model = modelOf(trained);
  expect([trained.code, trained.errors]).toEqual([0, ""]);
  expect(model).toMatchObject({
    tiers: ["small", "medium", "large"], baseline_tier: "large",
    data: { rows: COMPLETE + 1, sources: [{ name: "audit 2025-01-01T00:00:00.000Z..2025-01-26T02:00:00.000Z", rows: COMPLETE + 1 }] },
    metrics: { cascade_routing: { rows: COMPLETE + 1 } },
  });
  expect([...model.classes.names].sort()).toEqual(["live", "mail"]);
  expect(model.metrics.cascade_routing).not.toHaveProperty("quality_low"); // nobody judged: its qualities are agreements
  expect(model.metrics.cascade_routing?.saving).toBeGreaterThan(0.5);
  expect(trained.notes).toContain("601 of 603 sampled requests have answers of all of small, medium, large; 2 of these have feedback");
  expect(trained.notes).toContain("what they lack: medium (2), small (1), large (1). Set INFER_SHADOW_TIERS=all");
  expect(trained.notes).not.toContain("answered as");
});

describe("takes", () => {
  it("the latest rows, the rows since a time, or those of one tenant", async () => {
    const rowsOf = async (...args: string[]) => modelOf(await train("--json", ...args)).data.rows;
    expect([await rowsOf("--max-rows", "63"), await rowsOf(LAST)]).toEqual([61, 101]);
    expect((await train("--tenant", "t2")).errors).toContain("too few complete rows: 1 of 1 sampled requests, and training takes at least 30");
    expect((await train("--since", "1h")).errors).toContain("too few complete rows: 0 of 0 sampled requests"); // all are of the past
  });

  it("the same rows as the same, and other ones as others", async () => {
    const [one, same, other] = [await train("--json", LAST), await train("--json", LAST), await train("--json", LAST, "--max-rows", "90")].map(modelOf);
    expect([same?.data.fingerprint, same?.version]).toEqual([one?.data.fingerprint, one?.version]);
    expect(other?.data.fingerprint).not.toBe(one?.data.fingerprint);
  });

  it("two of the tiers, where that is all that was asked", async () => {
    const trained = await train("--json", LAST, "--tiers", "large,small");
    expect([modelOf(trained).tiers, trained.notes]).toEqual([["small", "large"], expect.stringContaining("102 of 103 sampled requests have answers of all of small, large") as string]);
  });
});

describe("evaluate", () => {
  const CHEAP = [LAST, "--folds", "3", "--policy", "cascade", "--json"];

  it("plays them as well, and compares the sources that their confidences have", async () => {
    const { code, printed, errors } = await inferctl("evaluate", ...CHEAP, "--confidence", "token_logprobs", "--confidence", "recorded");
    const { tiers, rows, sources } = JSON.parse(printed) as SourceComparison;
    expect([code, errors, tiers, rows.test, sources.map(({ source }) => source)]).toEqual([0, "", ["small", "medium", "large"], 101, ["token_logprobs", "recorded"]]);
    expect(sources[0]?.on_tiers).toMatchObject([{ tier: "small", dataset: "all", share: 1, auc: 1 }, { tier: "medium" }, {}, {}, {}, {}]);
  });

  it("says which sources there are", async () => {
    expect((await inferctl("evaluate", ...CHEAP, "--confidence", "self_verification")).errors).toContain("no row has a confidence self_verification of a tier below the last; there is recorded, token_logprobs");
    expect((await inferctl("evaluate", ...CHEAP, "--train", "x.jsonl")).errors).toContain("--train does not go with --from-audit");
  });
});

it("reads each request once, page by page, the latest first, with what was said of it", async () => {
  const ids: string[] = [];
  const said = new Map<string, unknown>();
  for await (const { tenant_id, request_id, feedback } of readShadows(pool, { since: null, tenantId: null, maxRows: 550 })) {
    ids.push(`${tenant_id}/${request_id}`);
    if (Object.keys(feedback).length > 0) said.set(request_id, feedback);
  }
  expect([ids.length, new Set(ids).size, ids.slice(0, 2), ids.at(-1)]).toEqual([550, 550, ["t2/r-602", "t1/r-601"], "t1/r-53"]);
  for await (const { request_id, feedback } of readShadows(pool, { since: null, tenantId: "t1", maxRows: 10_000 })) if (Object.keys(feedback).length > 0) said.set(request_id, feedback);
  expect([...said]).toEqual([["r-5", { user: 1, label: 0 }], ["r-4", { user: 1, thumbs: 0 }]]);
});

it.each([
  ["files beside it", ["--train", "x.jsonl"], /--train does not go with --from-audit/],
  ["another baseline", ["--baseline", "medium"], /--baseline does not go with --from-audit/],
  ["a tier that is not there", ["--tiers", "small,huge"], /the tier file has no huge/],
  ["tiers without the baseline", ["--tiers", "small,medium"], /baseline tier large must be among them/],
  ["a time that is none", ["--since", "yesterday"], /--since must be an ISO time or an age/],
])("refuses %s", async (_name, args, message) => {
  const { code, errors } = await train(...args);
  expect([code, errors]).toEqual([64, expect.stringMatching(message)]);
});

it("says what to do when Postgres or its tables are not there", async () => {
  await pool.query("ALTER TABLE shadows RENAME TO hidden");
  const { code, errors } = await train();
  await pool.query("ALTER TABLE hidden RENAME TO shadows");
  expect([code, errors]).toEqual([1, expect.stringMatching(/the table shadows cannot be read: relation "shadows" does not exist[^]*inferctl migrate/)]);
});

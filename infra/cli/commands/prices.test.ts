import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import fixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };

import { dispatch } from "../dispatch.ts";
import { PLAIN_SCREEN } from "../screen.ts";
import { terminalProgress } from "../terminalProgress.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-prices-"));
afterAll(() => { rmSync(folder, { recursive: true }); });
const write = (name: string, content: unknown) => {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(content));
  return path;
};

async function run(args: readonly string[], environment: Record<string, string> = {}) {
  const printed: string[] = [], said: string[] = [];
  const context = {
    environment, screen: PLAIN_SCREEN, print: (line: string) => void printed.push(line), progress: terminalProgress({ write: () => {} }),
    prepare: { topology: () => Promise.resolve(), migrations: () => Promise.resolve(0), localModels: () => Promise.resolve({ models: [], wasCached: true }) },
  };
  const code = await dispatch(["prices", ...args], context, (line) => void said.push(line));
  return { code, printed: printed.join("\n"), said: said.join("\n") };
}

const PRICE = { usd_per_million_input_tokens: 2, usd_per_million_output_tokens: 8, source: "a page", read_on: new Date().toISOString().slice(0, 10), valid_from: "2026-01-01" };
const prices = write("prices.yaml", {
  version: 1, providers: { acme: { hosts: ["api.acme.example"] } },
  models: [{ provider: "acme", model: "m-1", aliases: ["m-1-old"], prices: [PRICE] }, { provider: "acme", model: "m-0", prices: [{ ...PRICE, valid_until: "2026-02-01" }] }],
});
const BACKEND = { kind: "openai-compatible", model: "m-1", base_url: "https://api.acme.example/v1", max_output_tokens: 9 };
const [small, ...rest] = fixture.tiers;
const others = rest.map((tier) => ({ ...tier, price: { ...tier.price, unusual: "made up for tests" } }));
const { price: inline, ...unpriced } = small ?? {};
const tiersWith = (name: string, over: object) => write(name, { ...fixture, tiers: [{ ...unpriced, ...over }, ...others] });
const good = tiersWith("good.json", { backend: BACKEND });
const unknown = tiersWith("unknown.json", { backend: { ...BACKEND, model: "m-9" } });
const over = tiersWith("over.json", { backend: { ...BACKEND, model: "m-0" } });

describe("prices check", () => {
  it("shows what each tier is charged, from where and since when, and ends well", async () => {
    const { code, printed } = await run(["check", "--tiers", good, "--prices", prices]);
    expect(printed).toMatch(/tier small +m-1 +2 +8 +- +- +- +- +book acme\/m-1 +2026-01-01/);
    expect(printed).toMatch(/tier large .* inline /);
    expect(printed).toMatch(/\nnothing to complain about$/);
    expect(code).toBe(0);
  });

  it("takes the files of the environment", async () => {
    expect(await run(["check"], { INFER_TIERS_FILE: unknown, INFER_PRICES_FILE: prices })).toMatchObject({ code: 1, printed: expect.stringMatching(/^problem: tier small: unknown: no price: the price book has no acme\/m-9/m) as string });
  });

  it.each([
    ["unknown", unknown, /problem: tier small: unknown: /], ["over", over, /problem: tier small: expired: .* ended on 2026-02-01/],
    ["dearer than listed", tiersWith("dear.json", { backend: BACKEND, price: { ...inline, usd_per_million_input_tokens: 3, usd_per_million_output_tokens: 8 } }), /problem: tier small: differs: input: 3 USD here and 2 in the price book \(acme\/m-1\): 50 % more/],
  ])("ends with 1 for a price that is %s", async (_what, tiers, message) => {
    const { code, printed } = await run(["check", "--tiers", tiers, "--prices", prices]);
    expect(printed).toMatch(message);
    expect(printed).toMatch(/\n1 problem, 0 warnings$/);
    expect(code).toBe(1);
  });

  it("ends well with warnings alone", async () => {
    const stale = write("stale.yaml", { version: 1, providers: { acme: { hosts: ["api.acme.example"] } }, models: [{ provider: "acme", model: "m-1", prices: [{ ...PRICE, read_on: "2020-01-01" }] }] });
    const { code, printed } = await run(["check", "--tiers", good, "--prices", stale]);
    expect(printed).toMatch(/^warning: tier small: stale: it was read \d+ days ago, on 2020-01-01/m);
    expect([printed.split("\n").at(-1), code]).toEqual(["0 problems, 1 warning", 0]);
  });

  it("says the same for programs", async () => {
    const { code, printed } = await run(["check", "--json", "--tiers", unknown, "--prices", prices]);
    expect(JSON.parse(printed)).toMatchObject({ tiers_file: unknown, prices_file: prices, problems: 1, warnings: 0, prices: [{ owner: "tier small", model: "m-9", figures: null, findings: [{ level: "problem", kind: "unknown" }] }, { owner: "tier medium", from: "inline" }, { owner: "tier large" }] });
    expect(code).toBe(1);
  });

  it.each([
    ["no tier file", ["check", "--tiers", join(folder, "gone.yaml"), "--prices", prices], /tier file .*gone\.yaml cannot be used:\n {2}ENOENT/],
    ["a tier file that is wrong elsewhere", ["check", "--tiers", tiersWith("bad.json", { backend: BACKEND, slots: 0 }), "--prices", prices], /bad\.json cannot be used:\n {2}tiers\.0\.slots: /],
    ["a price book that is none", ["check", "--tiers", good, "--prices", write("bad.yaml", { version: 1, providers: {}, models: [] })], /price book .*bad\.yaml cannot be used:\n {2}models: /],
  ])("says what is wrong with %s", async (_what, args, message) => {
    expect(await run(args)).toMatchObject({ code: 1, said: expect.stringMatching(message) as string });
  });
});

describe("prices list", () => {
  it("shows what holds today, and what is over", async () => {
    const { code, printed } = await run(["list", "--prices", prices]);
    expect(printed).toMatch(/^acme\/m-1 +2 +8 .* 2026-01-01 +\d{4}-\d\d-\d\d$/m);
    expect(printed).toMatch(/^acme\/m-0 +- .* over since 2026-02-01 +-$/m);
    expect(code).toBe(0);
  });

  it("finds a model by any of its names", async () => {
    const { printed } = await run(["list", "--prices", prices, "--model", "1-old", "--json"]);
    expect(JSON.parse(printed)).toMatchObject({ models: [{ model: "m-1", price: { source: "a page" } }] });
    expect((await run(["list", "--prices", prices, "--model", "none"])).printed).toMatch(/has no model of that name$/);
  });
});

it.each([[[], /say what to do with the prices/], [["chek"], /there is no "prices chek"/], [["list", "--tiers", "x"], /--tiers goes with check alone/], [["check", "--model", "x"], /--model goes with list alone/]])("%j is wrong use", async (args, message) => {
  expect(await run(args)).toMatchObject({ code: 64, said: expect.stringMatching(message) as string });
});

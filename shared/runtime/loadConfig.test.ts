import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import fixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };

import { ENVIRONMENT } from "./environment.ts";
import { pick, readTierFile, unknownVariables } from "./loadConfig.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-load-config-"));
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });
const written = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const at = (tiersFile: string, pricesFile = join(folder, "no-prices.yaml")) => ({ tiersFile, pricesFile });
const problemsOf = (path: string): string[] => {
  const read = readTierFile(at(path));
  return "problems" in read ? read.problems : [];
};

describe("unknownVariables", () => {
  it("names every INFER_ variable that nothing reads", () => {
    expect(unknownVariables({ INFER_PREFIX: "x", INFER_PREFX: "y", INFER_: "", PATH: "/bin", NATS_URI: "z", infer_x: "" })).toEqual(["INFER_PREFX", "INFER_"]);
  });

  it("knows every variable that a role can pick", () => {
    expect(unknownVariables(Object.fromEntries(Object.keys(ENVIRONMENT).map((name) => [name, "x"])))).toEqual([]);
  });

  it("does not take what every object inherits for a variable", () => {
    expect(Object.keys(ENVIRONMENT).filter((name) => !/^[A-Z][A-Z0-9_]*$/.test(name))).toEqual([]);
  });
});

describe("pick", () => {
  const schema = pick("NATS_URL", "INFER_ROUTER_CONCURRENCY", "INFER_PREFIX");

  it("fills in the defaults and reads numbers", () => {
    expect(schema.parse({ INFER_ROUTER_CONCURRENCY: "8", OTHER: "x" })).toEqual({ NATS_URL: "nats://127.0.0.1:4222", INFER_ROUTER_CONCURRENCY: 8, INFER_PREFIX: "infer" });
  });

  it("reports every bad variable at once", () => {
    const { error } = schema.safeParse({ NATS_URL: "http://x", INFER_ROUTER_CONCURRENCY: "many", INFER_PREFIX: "a.b" });
    expect(error?.issues.map(({ path }) => path.join("."))).toEqual(["NATS_URL", "INFER_ROUTER_CONCURRENCY", "INFER_PREFIX"]);
  });

  it.each([
    ["INFER_GATEWAY_PORT", "65536"], ["INFER_GATEWAY_PORT", "-1"], ["INFER_GATEWAY_PORT", "80a"], ["INFER_SHADOW_SHARE", "10%"], ["INFER_SHUTDOWN_GRACE_MS", "0"], ["INFER_MAX_DEADLINE_MS", "1800001"],
    ["INFER_AUTH", "nobody"], ["INFER_SECRET", "short"], ["INFER_DURABILITY", "loose"], ["LOG_LEVEL", "loud"], ["REDIS_URL", "nats://x"], ["INFER_COMPLETIONS_MAX_AGE_HOURS", "1"], ["INFER_AUDIT_BATCH_SIZE", "1.5"],
  ] as const)("refuses %s=%s", (name, value) => {
    expect(pick(name).safeParse({ [name]: value }).success).toBe(false);
  });
});

describe("readTierFile", () => {
  it("reads JSON and YAML alike", () => {
    const fromJson = readTierFile(at(written("tiers.json", JSON.stringify(fixture))));
    expect(fromJson).toMatchObject({ file: { default_policy: "cascade", tiers: [{ name: "small" }, { name: "medium" }, { name: "large" }] } });
  });

  it("says which file is missing and which variable names it", () => {
    expect(problemsOf(join(folder, "gone.yaml"))).toEqual([expect.stringMatching(/ENOENT.*gone\.yaml.*; INFER_TIERS_FILE names the file/)]);
  });

  it("says where YAML is broken", () => {
    expect(problemsOf(written("broken.yaml", "tiers:\n  - a: [1,\n"))).toEqual([expect.stringMatching(/line \d+.*INFER_TIERS_FILE/)]);
  });

  it("reports every problem by its path", () => {
    const [first, ...others] = fixture.tiers;
    const problems = problemsOf(written("bad.json", JSON.stringify({ ...fixture, version: 3, tiers: [{ ...first, slots: 0, nme: 1 }, ...others] })));
    expect(problems).toEqual([expect.stringMatching(/^version: /), expect.stringMatching(/^tiers\.0\.slots: /), expect.stringMatching(/^tiers\.0: .*nme/)]);
  });

  it("takes the prices that it leaves out from the book that holds on the day, and reads no book without need", () => {
    const price = { usd_per_million_input_tokens: 1, usd_per_million_output_tokens: 4, source: "page", read_on: "2026-11-01", valid_from: "2026-01-01", valid_until: "2026-11-30" };
    const book = written("book.yaml", JSON.stringify({ version: 1, providers: { acme: { hosts: ["api.acme.example"] } }, models: [{ provider: "acme", model: "m", prices: [price] }] }));
    const [{ price: _price, ...unpriced }, ...others] = fixture.tiers as [(typeof fixture.tiers)[number], ...typeof fixture.tiers];
    const tiers = written("unpriced.json", JSON.stringify({ ...fixture, tiers: [{ ...unpriced, backend: { kind: "openai-compatible", model: "m", base_url: "https://api.acme.example/v1", max_output_tokens: 9 } }, ...others] }));
    expect(readTierFile(at(tiers, book), { day: "2026-11-30" })).toMatchObject({ file: { tiers: [{ price: { source: "page", valid_from: "2026-01-01", valid_until: "2026-11-30" } }, {}, {}] } });
    expect(readTierFile(at(tiers, book), { day: "2026-12-01" })).toEqual({ problems: [expect.stringMatching(/^tiers\.0\.price: tier small \(model m\) has no price: .* ended on 2026-11-30\. Add it to .*book\.yaml/)] });
    expect(readTierFile(at(tiers, book), { day: "2026-12-01", acceptsOver: true })).toMatchObject({ file: { tiers: [{ price: { source: "page", valid_until: "2026-11-30" } }, {}, {}] } });
    expect(readTierFile(at(tiers))).toEqual({ problems: [expect.stringMatching(/no-prices\.yaml: ENOENT.*INFER_PRICES_FILE names the file/)] });
    expect(readTierFile(at(tiers, written("bad-book.yaml", "version: 2")))).toEqual({ problems: [expect.stringMatching(/bad-book\.yaml: version: /), expect.stringMatching(/providers/), expect.stringMatching(/models/)] });
  });

  it("refuses a price that is over by the file's own word", () => {
    const [small, ...others] = fixture.tiers;
    const path = written("over.json", JSON.stringify({ ...fixture, tiers: [{ ...small, price: { ...small?.price, valid_until: "2026-11-27" } }, ...others] }));
    expect(readTierFile(at(path), { day: "2026-11-27" })).toHaveProperty("file");
    expect(readTierFile(at(path), { day: "2026-11-28", acceptsOver: true })).toHaveProperty("file");
    expect(readTierFile(at(path), { day: "2026-11-28" })).toEqual({ problems: [expect.stringMatching(/^tiers\.0\.price: tier small: its price ended on 2026-11-27/)] });
  });

  it("does not follow a bomb of aliases", () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]\n${"bcdefg".split("").map((key, i) => `${key}: &${key} [${`*${"abcdefg"[i] ?? "a"},`.repeat(9)}]`).join("\n")}\n`;
    expect(problemsOf(written("bomb.yaml", bomb))).toEqual([expect.stringMatching(/alias/i)]);
  });

  it.each([["empty", ""], ["a list", "- 1"], ["text", "hello"]])("refuses a file that is %s", (name, text) => {
    expect(problemsOf(written(`${name}.yaml`, text))).not.toEqual([]);
  });
});

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";

import { InferBody } from "../../shared/contracts/request.ts";
import { PriceFile } from "../../shared/contracts/prices.ts";
import { policyNames, TierFile } from "../../shared/contracts/tiers.ts";
import { checkPrices } from "../../shared/prices/checkPrices.ts";
import { withBookPrices } from "../../shared/prices/withBookPrices.ts";

const FILES = ["tiers.yaml", "tiers.hosted.yaml", "tiers.providers.yaml"];
const read = (name: string): string => readFileSync(join(import.meta.dirname, name), "utf8");
const book = PriceFile.parse(parse(read("prices.yaml")));
/** With the prices of the day on which the files were last looked through: what ends later is for `inferctl prices check` to say. */
const priced = (name: string) => withBookPrices(parse(read(name)), book, { booksName: "prices.yaml", day: "2026-11-28" });

describe("the documents", () => {
  const document = (path: string): string => readFileSync(join(import.meta.dirname, "../..", path), "utf8");

  it("name every policy that can be the default", () => {
    const row = document("docs/configuration.md").split("\n").find((line) => line.startsWith("| `default_policy` |"));
    for (const policy of policyNames([])) expect(row).toContain(`\`${policy}\``);
  });

  it("show a request to decide that can be sent", () => {
    const [, body] = /8081\/decide .* -d '([^']+)'/.exec(document("README.md")) ?? [];
    expect(InferBody.parse(JSON.parse(body ?? ""))).toMatchObject({ tenant_id: "demo" });
  });
});

describe.each(FILES)("%s", (name) => {
  const file = TierFile.parse(priced(name).file);

  it("finds every price", () => {
    expect(priced(name).problems).toEqual([]);
    expect(checkPrices(parse(read(name)), book, "2026-11-28").flatMap(({ findings }) => findings)).toEqual([]);
  });

  it("lists its tiers cheapest first, for input and for output", () => {
    for (const kind of ["input_nano_usd_per_million", "output_nano_usd_per_million"] as const) {
      const prices = file.tiers.map(({ price }) => price[kind]);
      expect(prices).toEqual([...prices].sort((a, b) => a - b));
    }
  });

  it("measures savings against its dearest tier, which is expected to be the best", () => {
    expect(file.baseline_tier).toBe(file.tiers.at(-1)?.name);
    const qualities = file.tiers.map(({ prior }) => prior.quality);
    expect(qualities).toEqual([...qualities].sort((a, b) => a - b));
  });

  it("expects latencies that its own timeouts allow", () => {
    for (const { prior, timeout_ms } of file.tiers) {
      expect(prior.latency_p50_ms).toBeLessThanOrEqual(prior.latency_p95_ms);
      expect(prior.latency_p95_ms).toBeLessThan(timeout_ms);
    }
  });

  it("says of every price that is not zero where it comes from, and from a day that is not in the future", () => {
    for (const { price } of file.tiers) {
      expect(price.source).toMatch(/https:\/\/\S+|@[0-9a-f]{12}|^illustrative|^own estimate/);
      expect(Date.parse(price.valid_from)).toBeLessThanOrEqual(Date.now());
    }
  });

  it("holds no key", () => {
    expect(read(name)).not.toMatch(/sk-[A-Za-z0-9]|api_key: *["']?[A-Za-z0-9]/);
  });
});

it("all files have the same tiers, so that docker-compose.yml starts a worker for each of any", () => {
  const [names, ...others] = FILES.map((name) => TierFile.parse(priced(name).file).tiers.map((tier) => tier.name));
  for (const other of others) expect(other).toEqual(names);
});

describe("a tier file is refused with the place and the reason:", () => {
  // What is replaced must occur in the text, so that a row cannot pass because its mistake was never made.
  const rows: [what: string, file: string, from: string, to: string, place: string, reason: string][] = [
    ["two tiers of one name", "tiers.yaml", "name: medium", "name: small", "tiers", "two are named small"],
    ["a baseline that is not there", "tiers.yaml", "baseline_tier: large", "baseline_tier: huge", "baseline_tier", "there is no tier huge; there are small, medium, large"],
    ["a static route to nowhere", "tiers.yaml", "{ default: medium }", "{ default: medum }", "static_routes.default", "there is no tier medum"],
    ["a task's route to nowhere", "tiers.yaml", "{ default: medium }", "{ default: medium, tasks: { spam: tiny } }", "static_routes.tasks.spam", "there is no tier tiny"],
    ["a policy that is not there", "tiers.yaml", "default_policy: cascade-routing", "default_policy: cheap", "default_policy", "there is no policy cheap; there are static, cheapest, cascade, predictive, cascade-routing, random, always-small"],
    ["always a tier that is not there", "tiers.yaml", "default_policy: cascade-routing", "default_policy: always-huge", "default_policy", "there is no policy always-huge"],
    ["a misspelt key", "tiers.yaml", "timeout_ms: 1000", "timeout: 1000", "tiers[0]", "Unrecognized key: \"timeout\""],
    ["a key that is missing", "tiers.yaml", "timeout_ms: 1000", "max_tries: 1", "tiers[0].timeout_ms", "expected number, received undefined"],
    ["a misspelt key at the top", "tiers.yaml", "default_policy: cascade", "default_policy: cascade\ndefault_polisy: cascade", "", "Unrecognized key: \"default_polisy\""],
    ["seconds for milliseconds", "tiers.yaml", "timeout_ms: 1000", "timeout_ms: 1", "tiers[0].timeout_ms", "expected number to be >=10"],
    ["a price that is far too high for a million tokens", "tiers.yaml", "usd_per_million_input_tokens: 2.50", "usd_per_million_input_tokens: 25000", "tiers[2].price.usd_per_million_input_tokens", "per 1,000 tokens?"],
    ["a price per 1,000 tokens by name", "tiers.yaml", "usd_per_million_input_tokens: 2.50", "usd_per_1000_input_tokens: 0.0025", "tiers[2].price", "Unrecognized key: \"usd_per_1000_input_tokens\""],
    ["a negative price", "tiers.yaml", "usd_per_million_output_tokens: 10.00", "usd_per_million_output_tokens: -10.00", "tiers[2].price.usd_per_million_output_tokens", "expected number to be >=0"],
    ["a price that is no number", "tiers.yaml", "usd_per_million_output_tokens: 10.00", "usd_per_million_output_tokens: .nan", "tiers[2].price.usd_per_million_output_tokens", "expected number, received NaN"],
    ["a price as text", "tiers.yaml", "usd_per_million_output_tokens: 10.00", "usd_per_million_output_tokens: \"10\"", "tiers[2].price.usd_per_million_output_tokens", "expected number, received string"],
    ["a price that is not known", "tiers.yaml", "usd_per_million_output_tokens: 10.00, ", "", "tiers[2].price.usd_per_million_output_tokens", "expected number, received undefined"],
    ["a price from nowhere", "tiers.yaml", "source: \"illustrative, see docs/configuration.md\", ", "", "tiers[0].price.source", "expected string, received undefined"],
    ["a price of no day", "tiers.yaml", "valid_from: 2026-11-01", "valid_from: 01.11.2026", "tiers[0].price.valid_from", "Invalid ISO date"],
    ["per cent for a probability", "tiers.yaml", "accept_confidence: 0.95", "accept_confidence: 95", "tiers[0].accept_confidence", "expected number to be <=1"],
    ["a name that is no subject token", "tiers.yaml", "name: medium", "name: Medium.2", "tiers[1].name", "lower-case letters, digits and dashes"],
    ["no slots", "tiers.yaml", "slots: 2", "slots: 0", "tiers[2].slots", "expected number to be >=1"],
    ["a tier without a backend", "tiers.yaml", "backend: { kind: local, model: mail-large }", "max_tries: 1", "tiers[2].backend", "a tier has either a backend or replicas"],
    ["a backend that nobody wrote", "tiers.yaml", "kind: local, model: mail-large", "kind: openai, model: gpt", "tiers[2].backend.kind", "Invalid discriminator value"],
    ["another version of the format", "tiers.yaml", "version: 1", "version: 2", "version", "expected 1"],
    ["a key in the file", "tiers.hosted.yaml", "api_key: { env: OPENAI_API_KEY }", "api_key: sk-0123456789", "tiers[1].backend.api_key", "Invalid input"],
    ["a file as an address", "tiers.hosted.yaml", "base_url: http://127.0.0.1:11434/v1", "base_url: file:///etc/passwd", "tiers[0].backend.base_url", "Invalid URL"],
    ["a provider without its key", "tiers.providers.yaml", "api_key: { env: GEMINI_API_KEY }", "system: Be brief.", "tiers[1].backend.api_key", "Invalid input"],
    ["a provider's option at another", "tiers.providers.yaml", "max_output_tokens: 8192", "max_output_tokens: 8192\n      sampling: false", "tiers[1].backend", "Unrecognized key: \"sampling\""],
    ["a backend without a limit of output", "tiers.hosted.yaml", "max_output_tokens: 4096", "system: Be brief.", "tiers[2].backend.max_output_tokens", "expected number, received undefined"],
  ];
  it.each(rows)("%s", (_what, name, from, to, place, reason) => {
    const text = read(name);
    expect(text).toContain(from);
    const error = TierFile.safeParse(parse(text.replace(from, to))).error;
    expect(error).toBeDefined();
    // As a person sees it: loadConfig prints exactly this.
    const shown = error === undefined ? "" : z.prettifyError(error).split("\n✖ ").join("\n\n✖ ").split("\n\n");
    expect(shown).toContainEqual(expect.stringContaining(reason));
    expect(error?.issues.map(({ path }) => z.core.toDotPath(path))).toContain(place);
  });
});

it("an empty file is refused too", () => {
  expect(TierFile.safeParse(parse("")).error?.issues[0]?.message).toBe("Invalid input: expected object, received null");
});

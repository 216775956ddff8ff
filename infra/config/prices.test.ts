import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, it } from "vitest";
import { parse } from "yaml";

import { PriceFile } from "../../shared/contracts/prices.ts";

const book = PriceFile.parse(parse(readFileSync(join(import.meta.dirname, "prices.yaml"), "utf8")));
const all = book.models.flatMap(({ provider, model, prices }) => prices.map((price) => ({ id: `${provider}/${model}`, ...price })));

it("says of every price where it can be looked up: an address, or a repository's file with its commit", () => {
  for (const { id, source } of all) expect(source, id).toMatch(/https:\/\/\S+\.\S+\/|^\S+\/\S+ \S+ @[0-9a-f]{12}\b/);
});

it("says of no price that it was read before it was published, but for those that are to come", () => {
  for (const { id, read_on, valid_from, valid_until } of all) {
    expect(Date.parse(read_on), id).toBeLessThanOrEqual(Date.now());
    if (valid_from > read_on) expect(all.some((other) => other.id === id && other.valid_until !== undefined && other.valid_until < valid_from), id).toBe(true);
    if (valid_until !== undefined) expect(valid_until >= valid_from, id).toBe(true);
  }
});

it("has what every provider's adapter can ask for, at the host that the adapter calls by itself", () => {
  const hosts = Object.values(book.providers).flatMap((provider) => provider.hosts);
  expect(hosts).toEqual(expect.arrayContaining(["api.openai.com", "api.anthropic.com", "generativelanguage.googleapis.com"]));
  for (const provider of Object.keys(book.providers)) expect(book.models.some((model) => model.provider === provider), provider).toBe(true);
});

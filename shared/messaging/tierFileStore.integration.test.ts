import { Kvm } from "@nats-io/kv";
import { afterAll, beforeAll, expect, it } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";
import { readTierFile } from "#shared/runtime/loadConfig.ts";
import { tierFileVersion } from "#shared/runtime/tierFileVersion.ts";

import { packedJson } from "./storedJson.ts";
import { openTierFileStore, type TierFileStore } from "./tierFileStore.ts";
import { modelBucket } from "./topology.ts";

const FILE = TierFile.parse({
  ...tierFixture,
  tiers: [...tierFixture.tiers, {
    ...tierFixture.tiers[1], name: "many", backend: undefined,
    replicas: [{ name: "eu", backend: { kind: "anthropic", model: "m", api_key: { env: "KEY" }, max_output_tokens: 5 }, price: { usd_per_million_input_tokens: 1, usd_per_million_output_tokens: 2, above: [{ input_tokens: 9, usd_per_million_input_tokens: 2, usd_per_million_output_tokens: 4 }], source: "s", valid_from: "2026-01-01" } }],
  }],
  embedders: [{ name: "vectors", slots: 4, dimensions: 8, timeout_ms: 5_000, backend: { kind: "openai-embeddings", model: "e", base_url: "http://localhost:1/v1" }, price: { usd_per_million_input_tokens: 0.02, source: "s", valid_from: "2026-11-01" }, prior: { latency_p50_ms: 50, latency_p95_ms: 200 } }],
});
let test: TestBroker;
let store: TierFileStore;
beforeAll(async () => {
  test = await startTestBroker(FILE.tiers);
  store = await openTierFileStore(test.nats, "infer");
});
afterAll(() => test.remove());

it("gives back what a router held, by its version, however often it was put", async () => {
  for (let i = 0; i < 3; i++) await store.put(FILE);
  const version = tierFileVersion(FILE);
  expect(await store.get(version)).toEqual({ file: JSON.parse(JSON.stringify(FILE)) as unknown });
  expect(await store.get("0000000000000000")).toBeNull();
  const bucket = await new Kvm(test.nats).open(modelBucket("infer").name);
  expect((await bucket.get(`tiers.${version}`))?.revision).toBe(1); // the first stays
});

it("keeps the tier file that the service comes with", async () => {
  const read = readTierFile({ tiersFile: "infra/config/tiers.yaml", pricesFile: "infra/config/prices.yaml" }, { acceptsOver: true });
  if ("problems" in read) throw new Error(read.problems.join());
  await store.put(read.file);
  expect(await store.get(tierFileVersion(read.file))).toEqual({ file: JSON.parse(JSON.stringify(read.file)) as unknown });
});

it("says what is wrong with one that is not what it is called, or none at all", async () => {
  const bucket = await new Kvm(test.nats).open(modelBucket("infer").name);
  await bucket.put("tiers.0123456789abcdef", packedJson(FILE));
  await bucket.put("tiers.1111111111111111", packedJson({ tiers: 1 }));
  await bucket.put("tiers.2222222222222222", new TextEncoder().encode("not json"));
  expect(await store.get("0123456789abcdef")).toEqual({ problem: `tiers.0123456789abcdef holds another version: ${tierFileVersion(FILE)}` });
  expect(await store.get("1111111111111111")).toEqual({ problem: expect.stringMatching(/^tiers\.1111111111111111 cannot be read: .*version/) as string });
  expect(await store.get("2222222222222222")).toEqual({ problem: expect.stringMatching(/^tiers\.2222222222222222 cannot be read: SyntaxError/) as string });
});

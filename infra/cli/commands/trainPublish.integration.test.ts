/** `inferctl train --publish` against a NATS server of its own. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, it } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { type ModelStore, openModelStore } from "#shared/messaging/modelStore.ts";

import { callInferctl } from "../callInferctl.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-publish-"));
let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection;
let store: ModelStore;
beforeAll(async () => {
  server = await startTestServer("nats");
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  store = await openModelStore(nats, "infer");
});
afterAll(async () => {
  await nats.close();
  await server.remove();
  rmSync(folder, { recursive: true });
});

/** The small tier is wrong in one of three cases, and knows it where `knows`. */
function log(name: string, rows: number, { knows }: { knows: boolean }): string {
  const file = join(folder, name);
  const outcome = (correct: number, confidence: number, cost_usd: number) => ({ correct, confidence, cost_usd, latency_ms: 10 });
  const line = (i: number) => ({ id: String(i), dataset: "d", query: "q".repeat(1 + (i % 7)), tiers: { small: outcome(i % 3 === 0 ? 0 : 1, knows && i % 3 === 0 ? 0.4 : 0.9, 0.001), medium: outcome(knows ? 1 : 1 - (i % 2), 0.9, 0.005), large: outcome(1, 1, 0.01) } });
  writeFileSync(file, Array.from({ length: rows }, (_, i) => JSON.stringify(line(i))).join("\n"));
  return file;
}
const GOOD = log("good.jsonl", 300, { knows: true });
const POOR = log("poor.jsonl", 40, { knows: false });

const inferctl = (args: readonly string[], url = server.url) => callInferctl(args, { NATS_URL: url, INFER_HOME: folder });
const train = (file: string, ...args: string[]) => inferctl(["train", "--train", file, "--tiers", "small,medium,large", ...args]);

it("activates a model whose floor was shown; one that promises nothing does not take its place, and is in --out", async () => {
  const published = await train(GOOD, "--publish", "--json");
  const good = RoutingModelFile.parse(JSON.parse(published.printed));
  expect([published.code, published.notes]).toEqual([0, expect.stringContaining(`model ${good.version} is active`) as string]);

  const out = join(folder, "poor.json");
  const refused = await train(POOR, "--publish", "--out", out, "--target", "1");
  expect([refused.code, refused.errors]).toEqual([1, expect.stringMatching(/is not published, and what was active stays: on 40 held-out rows no policy was shown to keep 100\.0 % of always-large; it is in .*poor\.json[^]*Next: Train on more rows, or promise less: a lower --target than 1 or a higher --risk than 0\.05/)]);
  expect(refused.printed).toContain("not shown: the tier file's thresholds decide");
  expect([(await store.active())?.version, await store.versions()]).toEqual([good.version, [good.version]]);

  const { version } = JSON.parse((await inferctl(["models", "import", out, "--json"])).printed) as { version: string };
  expect((await inferctl(["models", "activate", version])).printed).toBe(`model ${version} is active, but no policy's floor was shown to hold: the tier file's thresholds decide`);
});

it.each([
  ["NATS is down", () => inferctl(["train", "--train", GOOD, "--tiers", "small,medium,large", "--publish", "--out", join(folder, "down.json")], "nats://127.0.0.1:1"), /NATS cannot be reached/],
  ["models are mapped to each other's tiers", () => inferctl(["train", "--train", GOOD, "--tiers", "small,medium,large", "--map", "small=large", "--map", "large=small", "--publish"]), /does not fit: by its rows' costs large is cheaper than medium, .* is --map right\?/],
  ["the baseline is another", () => train(GOOD, "--baseline", "medium", "--publish"), /its baseline is medium, and the tier file's baseline_tier is large/],
])("fits nothing when %s", async (_name, run, message) => {
  const { code, printed, errors, notes } = await run();
  expect([code, printed, notes, errors]).toEqual([1, "", "", expect.stringMatching(message)]);
  expect(errors).toContain("Next: ");
  expect(existsSync(join(folder, "down.json"))).toBe(false);
});

/** `inferctl models` against a NATS server of its own. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import fixture from "#shared/contracts/fixtures/routing_model.v1.json" with { type: "json" };
import { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { ModelNotStored, openModelStore } from "#shared/messaging/modelStore.ts";
import { modelBucket, streamOfBucket } from "#shared/messaging/topology.ts";
import { modelVersion } from "#shared/runtime/readModel.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { callInferctl } from "../callInferctl.ts";

const named = (model: RoutingModelFile): RoutingModelFile => ({ ...model, version: modelVersion(model) });
const MODEL = RoutingModelFile.parse(fixture);
const SECOND = named({ ...MODEL, operating: { ...MODEL.operating, cascade_keep_from: 0.8 } });
const FOREIGN = named({ ...MODEL, tiers: ["tiny", "middle", "large"] });
const folder = mkdtempSync(join(tmpdir(), "infer-models-"));
let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection;
beforeAll(async () => {
  server = await startTestServer("nats");
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
});
afterAll(async () => {
  await nats.close();
  await server.remove();
  rmSync(folder, { recursive: true });
});

const models = (...args: string[]) => callInferctl(["models", ...args], { NATS_URL: server.url, INFER_HOME: folder });
function fileOf(name: string, content: unknown): string {
  const file = join(folder, name);
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

describe("inferctl models", () => {
  it("imports a file, says what to do next, and shows, activates, deactivates and rolls back", async () => {
    expect(await models("import", fileOf("model.json", fixture))).toEqual({ code: 0, printed: `model ${MODEL.version} is stored; put it to work with: inferctl models activate ${MODEL.version}`, errors: "", notes: "" });
    expect(JSON.parse((await models("import", fileOf("second.json", SECOND), "--json")).printed)).toEqual({ version: SECOND.version });
    expect((await models("show", SECOND.version)).printed).toMatch(/TIER +\.5 +\.7 .*\nsmall +\d+\.\d/);
    expect((await models("show", SECOND.version, "--classes")).printed).toMatch(/TIER +CLASS .*\nsmall +books +\d+\.\d/);
    expect(JSON.parse((await models("show", SECOND.version, "--json")).printed)).toEqual({ model: SECOND, floor: { not_watched: "the model is not active" } });
    await models("activate", MODEL.version);
    expect((await models("activate", SECOND.version)).printed).toBe(`model ${SECOND.version} is active`);
    expect((await models("deactivate")).printed).toBe(`no model is active: the tier file's thresholds decide; back to ${SECOND.version} with: inferctl models rollback`);
    expect((await models("list")).printed).toMatch(/\n\nno model is active: .*, since 2/);
    expect((await models("deactivate")).errors).toContain("no model is active");
    expect((await models("show")).errors).toContain("no model is named and none is active");
    expect((await models("rollback")).printed).toBe(`model ${SECOND.version} is active again`);
    expect((await models("rollback")).printed).toBe(`model ${MODEL.version} is active again`);
    expect((await models("rollback")).errors).toMatch(/there is nothing to go back to[^]*Next: .*inferctl models deactivate/);
    expect(JSON.parse((await models("deactivate", "--json")).printed)).toMatchObject({ version: null, previous: [MODEL.version] });
    await models("rollback");
  });

  const { levels: _levels, ...withoutLevels } = fixture;
  it.each<[string, string, unknown, RegExp]>([
    ["a truncated one", "truncated.json", JSON.stringify(fixture).slice(0, 5_000), /truncated\.json is no routing model that can be used: no whole JSON document/],
    ["one that lacks a part", "without.json", withoutLevels, /levels: /],
    ["an edited one", "edited.json", { ...fixture, target: 0.5 }, new RegExp(`${MODEL.version} no longer names its content; .* set version to 20261124-[0-9a-f]{8}`)],
    ["one whose parts do not fit", "misfit.json", { ...fixture, calibration: [] }, /calibration: 0 of them for 3 tiers/],
  ])("does not import %s, and says why", async (_what, name, content, message) => {
    const { code, printed, errors } = await models("import", fileOf(name, content));
    expect([code, printed, errors]).toEqual([1, "", expect.stringMatching(message)]);
    expect(errors).toContain(name === "edited.json" ? "Next: Write the version that is named into the file and import it again" : "Next: Take the file");
  });

  it.each<[string, string[], RegExp]>([
    ["no version", ["activate"], /say which version to activate[^]*Next: See: npx inferctl models list/],
    ["no file", ["import"], /say which file to import/],
    ["a file that is not there", ["import", "/no/such/file"], /cannot read \/no\/such\/file/],
    ["--classes elsewhere", ["list", "--classes"], /--classes goes with show alone/],
    ["another verb", ["delete"], /there is no "models delete"/],
  ])("refuses %s", async (_what, args, message) => {
    const { code, errors } = await models(...args);
    expect([code, errors]).toEqual([64, expect.stringMatching(message)]);
  });

  it("does not activate what was edited in the bucket, or fits other tiers, or cannot be read; what was active stays", async () => {
    const bucket = await new Kvm(nats).open(modelBucket("infer").name);
    await bucket.put("model.20261124-00000000", JSON.stringify({ ...MODEL, version: "20261124-00000000" }));
    await bucket.put("model.torn", '{"type":');
    expect((await models("import", fileOf("foreign.json", FOREIGN))).code).toBe(0);
    for (const [version, message] of [["20261124-00000000", /it was edited/], ["torn", /model\.torn cannot be read: SyntaxError/], [FOREIGN.version, /does not fit: it was trained for the tiers tiny/]] as const) {
      const { code, errors } = await models("activate", version);
      expect([code, errors]).toEqual([1, expect.stringMatching(message)]);
      expect(errors).toMatch(/Next: (Put the version there again|Train one)/);
      expect(errors).not.toContain("    at ");
    }
    expect((await models("show", "torn")).errors).toContain("Next: Put the version there again");
    expect(JSON.parse((await models("list", "--json")).printed)).toMatchObject({
      active: { version: MODEL.version },
      versions: expect.arrayContaining([{ version: MODEL.version, rows: 400, target: 0.97, sources: MODEL.data.sources }, { version: "torn", problem: expect.stringContaining("model.torn cannot be read") as string }]) as object[],
    });
    const { printed } = await models("list");
    expect(printed).toMatch(/^VERSION +SINCE +ROWS +TARGET +MADE FROM\n/);
    expect(printed).toMatch(new RegExp(`\n${MODEL.version} +active +2\\S+ +400 +0\\.97 +log\\.jsonl\n`));
    expect(printed).toMatch(/\ntorn +- +- +cannot be used; why: inferctl models show torn$/m);
  });

  it("stores what is larger than a message when it fits compressed, and else says how large it may be", async () => {
    const store = await openModelStore(nats, "infer");
    const random = seededRandom(1);
    const padded = (rows: number, name: () => string) => named({ ...MODEL, data: { ...MODEL.data, sources: Array.from({ length: rows }, () => ({ name: name(), rows: 1, sha256: "0".repeat(64) })) } });
    const large = padded(20_000, () => "log.jsonl");
    expect(JSON.stringify(large).length).toBeGreaterThan(nats.info?.max_payload ?? Infinity);
    await store.put(large);
    expect(await store.get(large.version)).toEqual(large);
    const error: unknown = await store.put(padded(60_000, () => `${random()}${random()}${random()}`)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ModelNotStored);
    expect(error).toMatchObject({ message: expect.stringMatching(/has \d{7} bytes, compressed, and the NATS server takes 1048064/) as string, remedy: expect.stringContaining("raise max_payload") as string });
  });

  it("says what to take out when the bucket is full", async () => {
    const { name } = modelBucket("infer");
    await (await jetstreamManager(nats)).streams.update(streamOfBucket(name), { max_bytes: 1 });
    const { code, errors } = await models("import", fileOf("third.json", named({ ...MODEL, target: 0.9 })));
    expect([code, errors]).toEqual([1, expect.stringMatching(/the bucket infer-models is full[^]*Next: .*nats kv del infer-models model\.<version>/)]);
  });
});

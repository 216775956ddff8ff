/** What each kind of backend connects to. The server is real and counts who came; only the names are resolved by the test. */
import { spawn } from "node:child_process";
import { lookup } from "node:dns";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo, LookupFunction } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { BackendConfig, TierFile } from "#shared/contracts/tiers.ts";
import type { Reach } from "#shared/reach/guardedAgent.ts";
import { allowanceOf } from "#shared/reach/target.ts";

import { makeBackend } from "./makeBackend.ts";
import { problemsOfTier } from "./reach.ts";

let connections = 0, requests = 0;
const server = createServer((_request, response) => { requests++; response.writeHead(404).end(); }).on("connection", () => { connections++; });
let port: number;
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ({ port } = server.address() as AddressInfo);
});
beforeEach(() => { connections = requests = 0; });
afterAll(() => server.close().closeAllConnections());

const resolvesTo = (...addresses: string[]): LookupFunction => (_name, _options, callback) => { callback(null, addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }))); };
const withKeys = (allow = "") => allowanceOf(allow, { isKeyless: false });
const PRIOR = { quality: 0.7, latency_p50_ms: 1, latency_p95_ms: 1 };

/** What came of a call. */
async function outcomeOf(kind: string, baseUrl: string, reach: Reach): Promise<unknown> {
  const isEmbedder = kind === "openai-embeddings";
  const backend = BackendConfig.parse({ kind, model: "m", base_url: baseUrl, api_key: { env: "KEY" }, ...(isEmbedder ? {} : { max_output_tokens: 8 }) });
  const made = await makeBackend({ backend, prior: PRIOR, apiKey: "sk-1", reach, localModelsDir: "", tiersDir: "" });
  const input = isEmbedder ? { kind: "embed" as const, texts: ["a"] } : "is this spam?";
  const options = { signal: AbortSignal.timeout(10_000), traceparent: "" };
  return made.call(input as never, options).then(() => "an answer", (error: unknown) => error).finally(() => made.close());
}

const KINDS = ["openai-compatible", "openai-embeddings", "anthropic", "gemini"];
const refusal = (why: string) => expect.objectContaining({ code: "backend_refused", isTransient: false, mayHaveCost: false, message: expect.stringContaining(why) as string }) as unknown;
const NOT_PUBLIC = "not a public address; INFER_BACKEND_ALLOW names what may be";

describe.each(KINDS)("%s", (kind) => {
  it.each<[string, (port: number) => string, Reach]>([
    ["a name that resolves to this machine", (at) => `https://models.example:${at}`, { allowance: withKeys(), lookup: resolvesTo("127.0.0.1") }],
    ["the same by the machine's own resolver", (at) => `http://localhost:${at}`, { allowance: withKeys(), lookup }],
    ["a name with one private address among public ones", (at) => `https://models.example:${at}`, { allowance: withKeys(), lookup: resolvesTo("93.184.216.34", "127.0.0.1") }],
    ["a mapped address behind a name", (at) => `https://models.example:${at}`, { allowance: withKeys(), lookup: resolvesTo("::ffff:127.0.0.1") }],
    ["an address of this machine", (at) => `https://127.0.0.1:${at}`, { allowance: withKeys(), lookup }],
    ["another private network than the allowed one", (at) => `http://models.example:${at}`, { allowance: withKeys("10.1.0.0/16"), lookup: resolvesTo("127.0.0.1") }],
    ["where clouds keep credentials, whatever its name is allowed", (at) => `http://models.example:${at}`, { allowance: withKeys("models.example"), lookup: resolvesTo("169.254.169.254") }],
  ])("does not connect to %s", async (_what, url, reach) => {
    expect(await outcomeOf(kind, url(port), reach)).toEqual(refusal(NOT_PUBLIC));
    expect([connections, requests]).toEqual([0, 0]);
  });

  it("does not show its key to a public server by plain http", async () => {
    expect(await outcomeOf(kind, "http://models.example", { allowance: withKeys(), lookup: resolvesTo("93.184.216.34") })).toEqual(refusal("must be https"));
  });

  it.each<[string, (port: number) => string, Reach]>([
    ["this machine, where there are no keys", (at) => `http://127.0.0.1:${at}`, { allowance: allowanceOf("", { isKeyless: true }), lookup }],
    ["a network that is allowed", (at) => `http://models.example:${at}`, { allowance: withKeys("127.0.0.0/8"), lookup: resolvesTo("127.0.0.1") }],
    ["an address that is allowed", (at) => `http://127.0.0.1:${at}`, { allowance: withKeys("127.0.0.1"), lookup }],
    ["a name that is allowed", (at) => `http://Models.example:${at}`, { allowance: withKeys("10.1.0.0/16, models.EXAMPLE"), lookup: resolvesTo("127.0.0.1") }],
  ])("connects to %s", async (_what, url, reach) => {
    expect(await outcomeOf(kind, url(port), reach)).toMatchObject({ message: expect.stringContaining("answered 404") as string });
    expect(requests).toBe(1);
  });
});

it("looks at each connection: a name that was fine a moment ago is refused", async () => {
  let address = "127.0.0.1";
  const reach: Reach = { allowance: withKeys("127.0.0.1"), lookup: (name, options, callback) => { resolvesTo(address)(name, options, callback); } };
  await outcomeOf("openai-compatible", `http://models.example:${port}`, reach);
  address = "10.0.0.1";
  expect(await outcomeOf("openai-compatible", `http://models.example:${port}`, reach)).toEqual(refusal(NOT_PUBLIC));
  expect(requests).toBe(1);
});

const [first] = tierFixture.tiers;
const fileWith = (base_url: string) => ({ ...tierFixture, tiers: [{ ...first, backend: { kind: "openai-compatible", model: "m", base_url, max_output_tokens: 8 } }, ...tierFixture.tiers.slice(1)] });

describe("a tier file", () => {
  it.each([
    ["file:///etc/passwd", "Invalid URL"], ["gopher://models.example:70/", "Invalid URL"], ["javascript:alert(1)", "Invalid URL"], ["models.example/v1", "Invalid URL"],
    ["https://user:pass@models.example/v1", "must not hold a user or password"], ["https://93.184.216.34@10.0.0.1/v1", "must not hold a user or password"],
    ["https://models.example./v1", "must not end its host name in a dot"], ["http://localhost./v1", "must not end its host name in a dot"],
  ])("is refused by all roles with %s", (url, reason) => {
    expect(TierFile.safeParse(fileWith(url)).error?.issues).toContainEqual(expect.objectContaining({ path: ["tiers", 0, "backend", "base_url"], message: expect.stringContaining(reason) as string }));
  });

  it.each([
    "https://127.0.0.1/v1", "https://127.1/v1", "https://2130706433/v1", "https://0x7f000001/v1", "https://0177.0.0.1/v1", "https://017700000001/v1", "https://①②⑦.0.0.1/v1", "https://0.0.0.0/v1", "https://10.0.0.1/v1", "https://192.168.1.1/v1",
    "http://169.254.169.254/latest", "https://[::1]/v1", "https://[::]/v1", "https://[::ffff:169.254.169.254]/v1", "https://[fd00:ec2::254]/v1", "https://[64:ff9b::a9fe:a9fe]/v1",
  ])("is refused by the worker with %s", (url) => {
    const [tier] = TierFile.parse(fileWith(url)).tiers;
    expect(problemsOfTier(tier as never, withKeys())).toEqual([`tier ${tier?.name ?? ""}, base_url: is not a public address; INFER_BACKEND_ALLOW names networks and hosts that models' servers may be at`]);
  });

  it("with its own machine in it ends a worker with keys at once, with a line that says what to do, and one without keys does not mind", { timeout: 90_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "infer-reach-"));
    try {
      const tiersFile = join(folder, "tiers.json");
      writeFileSync(tiersFile, JSON.stringify(fileWith("http://2130706433:11434/v1")));
      const run = async (variables: Record<string, string>) => {
        const env = { PATH: process.env["PATH"], INFER_TIERS_FILE: tiersFile, INFER_WORKER_TIER: String(first?.name), INFER_WORKER_PORT: String(port), NATS_URL: "nats://127.0.0.1:1", LOG_LEVEL: "silent", ...variables };
        const worker = spawn(process.execPath, ["--import", "tsx", join(import.meta.dirname, "../main.ts")], { env, stdio: ["ignore", "ignore", "pipe"], timeout: 80_000 });
        const [stderr, [status]] = await Promise.all([text(worker.stderr), once(worker, "exit") as Promise<[number | null]>]);
        return { status, stderr };
      };
      const asking = { INFER_AUTH: "keys", INFER_SECRET: "s".repeat(32) };
      const [refused, named, keyless] = await Promise.all([run(asking), run({ ...asking, INFER_BACKEND_ALLOW: "127.0.0.1" }), run({ INFER_AUTH: "keyless" })]);
      expect(refused).toEqual({ status: 78, stderr: `Invalid configuration in ${tiersFile}:\n  tier ${String(first?.name)}, base_url: is not a public address; INFER_BACKEND_ALLOW names networks and hosts that models' servers may be at\n` });
      expect([named.status, keyless.status]).toEqual([1, 1]); // their port is taken: by this test
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

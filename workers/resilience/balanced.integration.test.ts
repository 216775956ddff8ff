/** Three model servers of our own on loopback behind one tier: one as it should be, one slow, one that fails. */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { OWN_MACHINE } from "#infra/ownMachine.ts";
import { Chat, type Input } from "#shared/contracts/chat.ts";
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { replicasOf, type Tier, TierFile } from "#shared/contracts/tiers.ts";
import { makeBackend } from "#workers/backends/makeBackend.ts";
import { runAttempt } from "#workers/runAttempt.ts";

import { balanced } from "./balanced.ts";

const TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const SLOW_MS = 80;
type Name = "quick" | "slow" | "broken";
const NAMES: readonly Name[] = ["quick", "slow", "broken"];
const good = (response: ServerResponse, model: string) => void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ model, usage: { prompt_tokens: 50, completion_tokens: 1 }, choices: [{ finish_reason: "stop", message: { content: "spam" } }] }));
let status: number | "hangs";
const answer: Record<Name, (response: ServerResponse) => void> = {
  quick: (response) => { good(response, "quick"); },
  slow: (response) => void setTimeout(() => { good(response, "slow"); }, SLOW_MS),
  broken: (response) => { if (status === 200) good(response, "broken"); else if (status !== "hangs") response.writeHead(status, { "retry-after": "60" }).end("{}"); },
};
const servers: Server[] = [];
const urls = new Map<Name, string>();
beforeAll(async () => {
  for (const name of NAMES) {
    const server = createServer((request, response) => { request.resume().on("end", () => { answer[name](response); }); });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    urls.set(name, `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`);
    servers.push(server);
  }
});
afterAll(() => {
  for (const server of servers) server.close().closeAllConnections();
});

async function startTier(over: Partial<Tier> = {}) {
  const [small, ...others] = tierFixture.tiers;
  const replicas = NAMES.map((name, i) => ({
    name, backend: { kind: "openai-compatible", model: name, base_url: urls.get(name), max_output_tokens: 10, first_byte_timeout_ms: 1_000 },
    price: { usd_per_million_input_tokens: i + 1, usd_per_million_output_tokens: 1, source: "test", valid_from: "2026-11-01" },
  }));
  const [parsed] = TierFile.parse({ ...tierFixture, tiers: [{ ...small, backend: undefined, replicas, max_tries: 3, timeout_ms: 10_000, breaker: { failures_in_a_row: 3, open_for_ms: 100 } }, ...others] }).tiers;
  if (parsed === undefined) throw new Error("the file has a tier");
  const tier = { ...parsed, ...over };
  const made = await Promise.all(replicasOf(tier).map(async (replica) => ({ ...replica, server: await makeBackend({ backend: replica.backend, prior: tier.prior, apiKey: null, reach: OWN_MACHINE, localModelsDir: "", tiersDir: "" }) })));
  const calls = new Map<string, number>(), ejected: string[] = [];
  let seed = 42;
  const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
  const group = balanced(tier, made, { onChange: () => undefined, now: Date.now, random, observe: { called: (name) => void calls.set(name, (calls.get(name) ?? 0) + 1), ejected: (name) => void ejected.push(name) } });
  const lease = new AbortController().signal;
  const attempt = async (input: Input = "is this spam?") =>
    (await runAttempt({ tier, replicas: group, tracer: { span: (_name, { parent }, inside) => inside(parent ?? TRACE, () => undefined) }, now: Date.now, random }, { tenantId: "t1", input, attempt: 1, deadlineAtMs: Date.now() + 10_000, lease, traceparent: TRACE })).result;
  /** So many at once. */
  const attempts = async (count: number, lanes: number) => (await Promise.all(Array.from({ length: lanes }, async () => {
    const results = [];
    for (let i = 0; i < count / lanes; i++) results.push(await attempt());
    return results;
  }))).flat();
  return { group, calls, ejected, attempt, attempts };
}

it.each([500, 401, 429])("fails no attempt while one server is well, whatever another says (%d), and asks the slow one seldom", async (code) => {
  status = code;
  const { group, calls, ejected, attempts } = await startTier();
  const results = await attempts(400, 4);
  expect(results.filter(({ outcome }) => outcome.kind === "failed")).toEqual([]);
  const share = (name: Name) => results.filter(({ replica }) => replica === name).length / results.length;
  expect(share("quick")).toBeGreaterThan(0.6);
  expect([share("broken"), ejected.includes("broken")]).toEqual([0, true]);
  expect(calls.get("broken")).toBeLessThan(40);
  expect(results.reduce((sum, { tries }) => sum + tries, 0)).toBe([...calls.values()].reduce((sum, count) => sum + count, 0));
  expect(Math.max(...results.map(({ latency_ms }) => latency_ms))).toBeLessThan(5_000); // nobody waits for what the failing one asks for
  await group.close();
});

it("gives up one that hangs in time for another to answer, and leaves it out", async () => {
  status = "hangs";
  const { group, ejected, attempts } = await startTier();
  const results = await attempts(40, 8);
  expect(results.filter(({ outcome }) => outcome.kind === "failed")).toEqual([]);
  expect(ejected).toContain("broken");
  for (const { tries, cost_is_partial, latency_ms } of results) {
    expect(cost_is_partial).toBe(tries > 1);
    expect(latency_ms).toBeLessThan(5_000); // of the 10,000 that an attempt has
  }
  await group.close();
});

it("charges the price of the one that answered, and names it", async () => {
  status = 500;
  const { group, attempts } = await startTier();
  for (const { replica, model, cost_nano_usd } of await attempts(40, 4)) {
    expect([model, cost_nano_usd]).toEqual([replica, replica === "quick" ? 51_000 : 101_000]);
  }
  await group.close();
});

it("takes a server back that is well again", async () => {
  status = 500;
  const { group, ejected, attempts } = await startTier();
  await attempts(40, 4);
  expect(ejected).toContain("broken");
  status = 200;
  await vi.waitFor(async () => { expect((await attempts(12, 4)).map(({ replica }) => replica)).toContain("broken"); }, { timeout: 10_000, interval: 10 });
  await group.close();
});

it("keeps a conversation where it began, and spreads conversations", async () => {
  status = 200;
  const { group, attempt } = await startTier({ affinity_max_cost_ratio: 1_000 });
  const homes = new Set<string | undefined>();
  for (let i = 0; i < 12; i++) {
    const messages = [{ role: "user", content: `question ${i}` }];
    const first = (await attempt(Chat.parse({ messages }))).replica;
    const later = (await attempt(Chat.parse({ messages: [...messages, { role: "assistant", content: "spam" }, { role: "user", content: "sure?" }] }))).replica;
    expect(later).toBe(first);
    homes.add(first);
  }
  expect(homes.size).toBe(3);
  await group.close();
});

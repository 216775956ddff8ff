/** A model's server of our own answers each bad reply to each adapter; what counts is the attempt that goes into the audit. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { afterAll, afterEach, beforeAll, expect, it } from "vitest";

import { ofOneBackend } from "#infra/ofOneBackend.ts";
import { Attempt } from "#shared/contracts/events.ts";
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { type Tier, Tier as TierSchema } from "#shared/contracts/tiers.ts";
import type { Backend } from "#workers/backends/backend.ts";
import { makeBackend } from "#workers/backends/makeBackend.ts";
import { runAttempt } from "#workers/runAttempt.ts";

import { CANARY } from "./badInput.ts";
import { BACKEND_KEY, BAD_REPLIES, PROVIDER_KINDS, type ProviderKind, replyOf } from "./backendReplies.ts";

let reply: (response: ServerResponse) => void = () => undefined;
const server = createServer((request, response) => { request.resume().on("end", () => { reply(response); }); });
let baseUrl = "";
const tiers = new Map<ProviderKind, { tier: Tier; backend: Backend }>();
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const kind of PROVIDER_KINDS) {
    const config = { kind, model: "m", base_url: baseUrl, api_key: { env: "KEY" }, max_output_tokens: 32 };
    const tier = TierSchema.parse({ ...tierFixture.tiers.at(-1), backend: config, timeout_ms: 10_000, max_tries: 1, breaker: { failures_in_a_row: 1_000, open_for_ms: 100 } });
    if (tier.backend === undefined) throw new Error("the tier has no backend");
    tiers.set(kind, { tier, backend: await makeBackend({ backend: tier.backend, prior: tier.prior, apiKey: BACKEND_KEY, localModelsDir: "", tiersDir: "" }) });
  }
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  for (const { backend } of tiers.values()) await backend.close();
});

const MOST_NANO_USD = 1_000_000;
async function attempt(kind: ProviderKind, over: object = {}): Promise<Attempt> {
  const { tier, backend } = tiers.get(kind) ?? { tier: null, backend: null };
  if (tier === null) throw new Error(`no tier of ${kind}`);
  const { result } = await runAttempt(
    { tier, replicas: ofOneBackend(tier, backend), now: Date.now, random: () => 0, tracer: { span: (_name, _options, inside) => inside("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", () => undefined) } },
    { tenantId: "t1", input: { messages: [{ role: "user", content: "Say hello" }] }, attempt: 1, deadlineAtMs: Date.now() + 10_000, lease: new AbortController().signal, traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", mostNanoUsd: MOST_NANO_USD, ...over },
  );
  return Attempt.parse(result); // what an event can hold
}

afterEach(async () => { // the next good answer is taken
  for (const kind of PROVIDER_KINDS) {
    reply = (response) => void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(replyOf(kind)));
    expect((await attempt(kind)).outcome).toMatchObject({ kind: "answered", is_sound: true });
  }
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});

it.each(BAD_REPLIES.flatMap((bad) => (bad.kinds ?? PROVIDER_KINDS).map((kind) => ({ ...bad, kind }))))("$id $input, of $kind", async ({ kind, reply: answer, expected }) => {
  let calls = 0;
  reply = (response) => { calls += 1; answer(response, kind); };
  const { outcome, usage, model, cost_nano_usd, ...rest } = await attempt(kind);
  expect(calls).toBe(1);
  expect(cost_nano_usd).toBeLessThanOrEqual(MOST_NANO_USD);
  for (const secret of [BACKEND_KEY, CANARY]) expect(JSON.stringify([outcome, usage, model, rest])).not.toContain(secret);
  if (expected.kind === "failed") {
    expect(outcome).toMatchObject({ kind: "failed", code: expected.code, ...(expected.retryAfterMs === undefined ? {} : { retry_after_ms: expected.retryAfterMs }) });
    return;
  }
  expect(outcome).toMatchObject({ kind: "answered", is_sound: expected.isSound });
  if (expected.isClamped === true) expect(usage).toMatchObject({ is_clamped: true });
  if (expected.isEstimated === true) expect(usage).toMatchObject({ source: "estimated" });
  if (expected.model !== undefined) expect(model).toBe(expected.model);
  expect(usage?.output_tokens).toBeLessThanOrEqual(32 * 2);
});

/** What the span of a model's call says. */
import type { Attributes } from "@opentelemetry/api";
import { expect, it } from "vitest";

import type { Input } from "#shared/contracts/chat.ts";
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { replicasOf, type Tier, TierFile } from "#shared/contracts/tiers.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import type { Backend } from "./backends/backend.ts";
import { BackendError } from "./backends/backendError.ts";
import { callReplica, limitsOf } from "./callReplica.ts";

const LARGE = TierFile.parse(tierFixture).tiers.find(({ name }) => name === "large") as Tier;
const TAKEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const USAGE = { input_tokens: 10, output_tokens: 2, cached_input_tokens: 4, source: "reported" } as const;
const answers: Backend["call"] = async (_input, { onDelta }) => {
  onDelta?.({ text: "spam" });
  return { output: "spam CANARY", model: "l-1", usage: USAGE, is_sound: true, confidence: 0.9, confidence_source: "prior", message: { finish_reason: "length", refusal: null } };
};

async function spanOf(input: Input, { call = answers, streams = false, tracesContent = false, mayTraceContent = false }: { call?: Backend["call"]; streams?: boolean; tracesContent?: boolean; mayTraceContent?: boolean } = {}): Promise<{ name: string; known: Attributes }> {
  const found: { name: string; known: Attributes } = { name: "", known: {} };
  const tracer: Tracer = {
    tracesContent,
    span(name, { attributes = {} }, run) {
      Object.assign(found, { name, known: { ...(typeof attributes === "function" ? attributes() : attributes) } });
      return run(TAKEN, (more) => { Object.assign(found.known, more); });
    },
  };
  const limits = limitsOf({ deadlineAtMs: Date.now() + 60_000, lease: new AbortController().signal }, LARGE, Date.now());
  const replica = { ...replicasOf(LARGE)[0], server: { call, close: async () => undefined } };
  await callReplica({ tier: LARGE, tracer, limits, traceparent: TAKEN, mayTraceContent }, replica, input, streams ? { onDelta: () => undefined } : {}).catch(() => undefined);
  limits.end();
  return found;
}

it("has the conventions' attributes of what was asked for and given, and its cost", async () => {
  const { name, known } = await spanOf({ messages: [{ role: "user", content: "CANARY" }], temperature: 0.5, seed: 7, max_output_tokens: 3, stop: ["CANARY", "b"], response_format: { type: "json_object" } }, { streams: true });
  expect(name).toBe("chat l");
  expect(known).toMatchObject({
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai-compatible", "gen_ai.request.model": "l", "gen_ai.request.stream": true, "gen_ai.request.temperature": 0.5, "gen_ai.request.seed": 7, "gen_ai.request.max_tokens": 3, "gen_ai.output.type": "json",
    "gen_ai.response.model": "l-1", "gen_ai.response.finish_reasons": ["length"], "gen_ai.response.time_to_first_chunk": expect.any(Number) as number,
    "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2, "gen_ai.usage.cache_read.input_tokens": 4, "infer.cost_nano_usd": 145_000, "infer.request.stop_sequences": 2,
  });
  expect(known).not.toHaveProperty("gen_ai.request.top_p");
  expect(JSON.stringify(known)).not.toContain("CANARY");
});

it("of a call that failed says what it had cost", async () => {
  const call = () => Promise.reject(new BackendError("backend_unavailable", "broke off", { usage: USAGE }));
  expect((await spanOf("x", { call })).known).toMatchObject({ "gen_ai.usage.input_tokens": 10, "infer.cost_nano_usd": 145_000 });
});

it.each([[false, false, false], [true, false, false], [false, true, false], [true, true, true]])("has content where it is asked for (%s) and the tenant has it stored (%s): %s", async (tracesContent, mayTraceContent, expected) => {
  const { known } = await spanOf("what CANARY?", { tracesContent, mayTraceContent });
  expect(JSON.stringify(known).includes("CANARY")).toBe(expected);
  if (expected) expect(known).toMatchObject({ "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"what CANARY?"}]}]', "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"spam CANARY"}],"finish_reason":"length"}]' });
});

it("bounds content: the last messages of a conversation, and the beginning of each", async () => {
  const { known } = await spanOf({ messages: Array.from({ length: 20 }, (_, i) => ({ role: "user" as const, content: `${i} ${"x".repeat(10_000)}` })) }, { tracesContent: true, mayTraceContent: true });
  const told = JSON.parse(String(known["gen_ai.input.messages"])) as { parts: { content: string }[] }[];
  expect([told.length, told.at(-1)?.parts[0]?.content.slice(0, 4), told.every(({ parts }) => (parts[0]?.content.length ?? 0) <= 8_192)]).toEqual([8, "19 x", true]);
});

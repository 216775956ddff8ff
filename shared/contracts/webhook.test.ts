import { expect, it } from "vitest";

import { Completion } from "./events.ts";
import fixture from "./fixtures/completion.v1.json" with { type: "json" };
import { toReply } from "./reply.ts";
import { MAX_EVENT_BYTES, RequestCompleted, requestCompleted } from "./webhook.ts";

const COMPLETION = Completion.parse(fixture);
const eventOf = (over: Partial<Completion> = {}) => {
  const body = requestCompleted(toReply({ ...COMPLETION, ...over }), COMPLETION.completed_at_ms);
  return { bytes: Buffer.byteLength(body), ...RequestCompleted.parse(JSON.parse(body)) };
};

it("says what GET /requests/:id says, and nothing of what was asked", () => {
  const { timestamp, data } = eventOf({ input: "the prompt", input_sha256: "the hash" });
  expect(data).toEqual(JSON.parse(JSON.stringify(toReply(COMPLETION))));
  expect(timestamp).toBe("2026-01-01T00:00:01.620Z");
  expect(JSON.stringify(data)).not.toMatch(/the prompt|the hash/);
});

it.each([["an answer of ASCII", "x"], ["an answer of what JSON escapes", "\u0000"], ["an answer of four-byte signs", "🌍"]])("leaves out %s that is too long, and says where to read it", (_name, sign) => {
  const { bytes, data } = eventOf({ output: sign.repeat(MAX_EVENT_BYTES) });
  expect(bytes).toBeLessThanOrEqual(MAX_EVENT_BYTES);
  expect(data).toMatchObject({ output: null, left_out: ["output", "message"], read_at: "/requests/r-1?tenant_id=t1", tier: "large", cost_usd: 0.000_295 });
  expect(data.attempts).toHaveLength(3);
});

it("leaves out vectors with their message", () => {
  expect(eventOf({ message: { finish_reason: "stop", vectors: ["A".repeat(100_000)] } as unknown as NonNullable<Completion["message"]> }).data.message).toBeUndefined();
});

it("leaves out how it came about where that alone is too long", () => {
  const [attempt] = COMPLETION.attempts;
  const { bytes, data } = eventOf({ attempts: Array.from({ length: 99 }, () => ({ ...attempt, model: "m".repeat(1_000) }) as (typeof COMPLETION.attempts)[number]), decisions: [] });
  expect(bytes).toBeLessThanOrEqual(MAX_EVENT_BYTES);
  expect(data).toMatchObject({ attempts: [], left_out: ["output", "message", "attempts", "decision.steps"] });
});

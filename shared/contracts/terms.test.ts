import { expect, it } from "vitest";

import { Job } from "./events.ts";
import jobFixture from "./fixtures/job.v1.json" with { type: "json" };
import { InferenceRequest } from "./request.ts";
import { Terms, termsOf } from "./terms.ts";

const PLAIN = InferenceRequest.parse({ ...Job.parse(jobFixture).request, input: "Hi", deadline_at_ms: 2_000, min_quality: null, min_tier: null, max_tier: null });
it.each([
  ["nothing but the deadline of a plain request", {}, { deadline_at_ms: 2_000 }],
  ["what was wished for", { min_quality: 0, min_tier: "small", max_tier: "large", allowed_tiers: ["small"], priority: "batch" }, { deadline_at_ms: 2_000, min_quality: 0, min_tier: "small", max_tier: "large", allowed_tiers: ["small"], priority: "batch" }],
  ["nothing of a priority that is the default", { priority: "interactive" }, { deadline_at_ms: 2_000 }],
  ["what bounds the tokens of a conversation", { input: { messages: [{ role: "user", content: "Hi" }], max_output_tokens: 5, tools: [{ type: "function" }] } }, { deadline_at_ms: 2_000, asked: { kind: "chat", max_output_tokens: 5, has_tools: true } }],
  ["that texts were to be embedded", { input: { texts: ["Hi"] } }, { deadline_at_ms: 2_000, asked: { kind: "embed" } }],
])("say %s", (_what, over, expected) => {
  const terms = termsOf(InferenceRequest.parse({ ...PLAIN, ...over }));
  expect(terms).toEqual(expected);
  expect(Terms.parse(JSON.parse(JSON.stringify(terms)))).toEqual(terms);
});

/** What a model's server may answer that is no good answer, and what must become of the attempt. Each adapter is given each reply. */
import type { ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";

import { type BadInput, CANARY, test, type TestReference } from "./badInput.ts";

export type ProviderKind = "openai-compatible" | "anthropic" | "gemini";
export const PROVIDER_KINDS: readonly ProviderKind[] = ["openai-compatible", "anthropic", "gemini"];

/** What a test's tier sends as its key: nothing may repeat it. */
export const BACKEND_KEY = "sk-test-9d2f";

interface Said {
  readonly text?: string | null;
  readonly model?: string;
  readonly usage?: { readonly input: unknown; readonly output: unknown } | null;
  readonly finish?: string | null;
}
const STOP: Readonly<Record<ProviderKind, string>> = { "openai-compatible": "stop", anthropic: "end_turn", gemini: "STOP" };

/** A whole answer in the provider's own shape. */
export function replyOf(kind: ProviderKind, { text = "Hello!", model = "m-1", usage = { input: 12, output: 2 }, finish = STOP[kind] }: Said = {}): object {
  const used = (input: string, output: string) => (usage === null ? undefined : { [input]: usage.input, [output]: usage.output });
  switch (kind) {
    case "openai-compatible": return { model, choices: [{ index: 0, finish_reason: finish, message: { role: "assistant", content: text } }], usage: used("prompt_tokens", "completion_tokens") };
    case "anthropic": return { type: "message", role: "assistant", model, content: text === null ? [] : [{ type: "text", text }], stop_reason: finish, usage: used("input_tokens", "output_tokens") };
    case "gemini": return { candidates: [{ index: 0, content: { role: "model", parts: text === null ? [] : [{ text }] }, finishReason: finish }], usageMetadata: used("promptTokenCount", "candidatesTokenCount"), modelVersion: model };
  }
}

export type AttemptOutcome =
  | { readonly kind: "failed"; readonly code: string; readonly retryAfterMs?: number }
  | { readonly kind: "answered"; readonly isSound: boolean; readonly isClamped?: boolean; readonly isEstimated?: boolean; readonly model?: string };
export interface BadReply {
  readonly id: string;
  readonly input: string;
  readonly reply: (response: ServerResponse, kind: ProviderKind) => void;
  readonly expected: AttemptOutcome;
  /** Default: all. */
  readonly kinds?: readonly ProviderKind[];
  readonly note?: string;
}

const BAD = { kind: "failed", code: "backend_bad_response" } as const;
const REFUSED = { kind: "failed", code: "backend_refused" } as const;
const UNAVAILABLE = { kind: "failed", code: "backend_unavailable" } as const;
const JSON_TYPE = { "content-type": "application/json" };
const text = (body: string, headers: Readonly<Record<string, string>> = JSON_TYPE): BadReply["reply"] => (response) => void response.writeHead(200, headers).end(body);
const said = (over: Said): BadReply["reply"] => (response, kind) => void response.writeHead(200, JSON_TYPE).end(JSON.stringify(replyOf(kind, over)));
const status = (code: number, headers: Readonly<Record<string, string>> = {}): BadReply["reply"] => (response) => void response.writeHead(code, { ...JSON_TYPE, ...headers }).end(JSON.stringify({ error: { message: `Incorrect API key provided: ${BACKEND_KEY}, for: ${CANARY}`, type: "x", status: "x" } }));
const errorInside = text(JSON.stringify({ type: "error", error: { type: "overloaded_error", code: 429, message: `${CANARY} ${BACKEND_KEY}` } }));
const OPENAI = ["openai-compatible"] as const;

/** Nothing that is written is kept, and it goes on until the other side leaves. */
function endless(response: ServerResponse, headers: Readonly<Record<string, string>>, chunk: Buffer): void {
  response.writeHead(200, headers);
  const push = (): void => { while (!response.destroyed && response.write(chunk)); };
  response.on("drain", push);
  push();
}

export const BAD_REPLIES: readonly BadReply[] = [
  { id: "M-101", input: "200, empty", reply: text(""), expected: BAD },
  { id: "M-102", input: "200, HTML", reply: text(`<html>${CANARY}</html>`, { "content-type": "text/html" }), expected: BAD },
  { id: "M-103", input: "200, `{}`", reply: text("{}"), expected: BAD },
  { id: "M-104", input: "200, JSON of another shape", reply: text(JSON.stringify({ answer: CANARY })), expected: BAD },
  { id: "M-105", input: "200 with an error inside", reply: errorInside, kinds: ["openai-compatible", "anthropic"], expected: BAD, note: "Of a server that says 200 it is not known which errors it means. In a stream, an error is typed as its kind is." },
  { id: "M-105", input: "200 with an error of code 429 inside", reply: errorInside, kinds: ["gemini"], expected: UNAVAILABLE },
  { id: "M-106", input: "200, JSON that is cut", reply: (response, kind) => void response.writeHead(200, JSON_TYPE).end(JSON.stringify(replyOf(kind)).slice(0, -5)), expected: BAD },
  { id: "M-107", input: "no usage", reply: said({ usage: null }), expected: { kind: "answered", isSound: true, isEstimated: true } },
  { id: "M-108", input: "usage that is negative", reply: said({ usage: { input: -1, output: -7 } }), expected: { kind: "answered", isSound: true, isClamped: true } },
  { id: "M-108", input: "usage of 1e18 tokens", reply: said({ usage: { input: 1e18, output: 1e18 } }), expected: { kind: "answered", isSound: true, isClamped: true } },
  { id: "M-108", input: "usage as text", reply: said({ usage: { input: "12", output: "two" } }), expected: { kind: "answered", isSound: true, isClamped: true } },
  { id: "M-108", input: "usage of half tokens", reply: said({ usage: { input: 1.5, output: 2.5 } }), expected: { kind: "answered", isSound: true, isClamped: true } },
  { id: "M-109", input: "more output tokens than were asked for", reply: said({ usage: { input: 12, output: 5_000 } }), expected: { kind: "answered", isSound: true, isClamped: true } },
  { id: "M-110", input: "another model's name than was asked", reply: said({ model: "another-model" }), expected: { kind: "answered", isSound: true, model: "another-model" }, note: "The attempt says the model that the server names; the tier, beside it, which one was asked." },
  { id: "M-111", input: "no content", reply: said({ text: null }), expected: { kind: "answered", isSound: false }, kinds: ["openai-compatible", "gemini"], note: "An answer that is not sound is paid for and never kept while another tier can be asked." },
  { id: "M-111", input: "no content", reply: said({ text: null }), expected: { kind: "answered", isSound: false }, kinds: ["anthropic"] },
  { id: "M-112", input: "a body without end", reply: (response) => { endless(response, JSON_TYPE, Buffer.alloc(256 * 1024, 0x20)); }, expected: BAD },
  { id: "M-113", input: "a gzip bomb", reply: (response) => void response.writeHead(200, { ...JSON_TYPE, "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(64 * 1024 ** 2, 0x20))), expected: BAD, note: "Nothing asks for compressed replies, and none is inflated." },
  { id: "M-114", input: "1 MB of brackets", reply: text("[".repeat(1_000_000)), expected: BAD },
  { id: "M-114", input: "JSON 100,000 deep", reply: text(`${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`), expected: BAD },
  { id: "M-115", input: "the key `__proto__`", reply: (response, kind) => void response.writeHead(200, JSON_TYPE).end(`{"__proto__":{"polluted":true},${JSON.stringify(replyOf(kind)).slice(1)}`), expected: BAD },
  { id: "M-116", input: "a reason to end that nobody knows", reply: said({ finish: "a_reason_of_next_year" }), kinds: OPENAI, expected: { kind: "answered", isSound: false } },
  { id: "M-116", input: "a reason to end that nobody knows", reply: said({ finish: "a_reason_of_next_year" }), kinds: ["anthropic", "gemini"], expected: BAD },
  { id: "M-116", input: "`constructor` as the reason to end", reply: said({ finish: "constructor" }), kinds: OPENAI, expected: { kind: "answered", isSound: false } },
  { id: "M-116", input: "`constructor` as the reason to end", reply: said({ finish: "constructor" }), kinds: ["anthropic", "gemini"], expected: BAD },
  { id: "M-116", input: "the reason to end twice, `stop` and then `length`", reply: (response) => void response.writeHead(200, JSON_TYPE).end(JSON.stringify(replyOf("openai-compatible")).replace('"finish_reason":"stop"', '"finish_reason":"stop","finish_reason":"length"')), kinds: OPENAI, expected: { kind: "answered", isSound: false } },
  { id: "M-118", input: "302 to `http://169.254.169.254/`", reply: status(302, { location: "http://169.254.169.254/" }), expected: REFUSED },
  { id: "M-119", input: "429, `Retry-After` as a date", reply: status(429, { "retry-after": "Fri, 21 Oct 2101 07:28:00 GMT" }), expected: { ...UNAVAILABLE, retryAfterMs: 60_000 } },
  { id: "M-119", input: "429, `Retry-After` that says nothing", reply: status(429, { "retry-after": "soon" }), expected: UNAVAILABLE },
  { id: "M-119", input: "429, `Retry-After` of years", reply: status(429, { "retry-after": "999999999" }), expected: { ...UNAVAILABLE, retryAfterMs: 60_000 } },
  ...[401, 403].map((code): BadReply => ({ id: "M-120", input: String(code), reply: status(code), expected: REFUSED, note: "502 for the caller. It counts against the breaker, which takes the tier out and says so; nothing is switched off for good." })),
  { id: "M-121", input: "404, no such model", reply: status(404), expected: REFUSED },
  ...[400, 413, 422].map((code): BadReply => ({ id: "M-122", input: `${code}, as for a prompt that is too long`, reply: status(code), expected: REFUSED, note: "Not tried again on this tier, and no fault of the server's: others are served by it." })),
  { id: "M-123", input: "cookies, and 64 KB of headers", reply: (response, kind) => void response.writeHead(200, { ...JSON_TYPE, "set-cookie": CANARY, "x-big": "x".repeat(64 * 1024) }).end(JSON.stringify(replyOf(kind))), expected: { kind: "failed", code: "backend_unavailable" } },
  { id: "M-123", input: "cookies, and headers of our own names", reply: (response, kind) => void response.writeHead(200, { ...JSON_TYPE, "set-cookie": CANARY, "x-optimizer-tier": CANARY, "retry-after": "5" }).end(JSON.stringify(replyOf(kind))), expected: { kind: "answered", isSound: true }, note: "No header of a model's server is handed on." },
  { id: "M-124", input: "500 that repeats our API key", reply: status(500), expected: UNAVAILABLE },
];

const RUN = test("infra/badInputs/backendReplies.integration.test.ts", "BAD_REPLIES.flatMap");
const OPENAI_TEST = "workers/backends/openAiCompatible.integration.test.ts", STREAM_TEST = "workers/backends/openAiStream.integration.test.ts", PROVIDERS_TEST = "workers/backends/providers.integration.test.ts";
const MORE: Readonly<Record<string, readonly TestReference[]>> = {
  "M-105": [test("workers/backends/anthropicReply.test.ts", "overloaded_error")],
  "M-108": [test("workers/plausibleUsage.test.ts", "never costs more than the call was quoted at"), test("workers/runAttempt.test.ts", "is not charged: %s")],
  "M-109": [test("workers/runAttempt.test.ts", "more than its step was quoted at is not charged")],
  "M-112": [test(OPENAI_TEST, "that never ends is cut at the cap"), test(STREAM_TEST, "of %s without end is cut at a cap, and the server notices")],
  "M-119": [test("workers/resilience/retry.test.ts", "tells the longest wait that was asked for, whichever try it was")],
  "M-120": [test("infra/e2e/slowBackends.test.ts", "a tier that fails opens its breaker, the router goes round it, and it is used again once it works")],
  "M-122": [test("infra/e2e/badInputs.test.ts", "it.each(BAD_BODIES)")],
  "M-124": [test(OPENAI_TEST, "is a typed error that repeats nothing of the reply"), test(PROVIDERS_TEST, "for a typed error that repeats nothing, streamed or not")],
};
const ELSEWHERE: readonly BadInput[] = [
  { id: "M-117", input: "a stream that ends without a reason and without `[DONE]`", expected: "failed: `backend_bad_response`", tests: [test(STREAM_TEST, "that ends %s is an error, billed")], note: "With a reason to end, the answer is complete without `[DONE]`: not every server sends it." },
  { id: "M-117", input: "a stream that is cut within a character, has CRLF, or comments", expected: "the same answer", tests: [test(STREAM_TEST, "may come byte by byte"), test("workers/backends/serverSentEvents.test.ts", "are the same however the network cuts them"), test("shared/runtime/eventParser.test.ts", "it(")] },
  { id: "M-117", input: "a line of 1 MB, or one without end", expected: "failed: `backend_bad_response`", tests: [test(STREAM_TEST, "of %s without end is cut at a cap, and the server notices")] },
  { id: "M-117", input: "data after `[DONE]`", expected: "not looked at", tests: [test(STREAM_TEST, "is over with [DONE], whether or not the server ends it")] },
];

function told({ expected }: BadReply): string {
  if (expected.kind === "failed") return `failed: \`${expected.code}\`${expected.retryAfterMs === undefined ? "" : `, waits ${expected.retryAfterMs / 1_000} s at most`}`;
  return [`an answer that is ${expected.isSound ? "" : "not "}sound`, ...(expected.isClamped === true ? ["charged up to what was asked for, flagged"] : []), ...(expected.isEstimated === true ? ["charged by our own count, flagged"] : [])].join("; ");
}

export const listedReplies = (): BadInput[] => [
  ...BAD_REPLIES.map((reply) => ({
    id: reply.id, input: `${reply.input}${reply.kinds === undefined ? "" : ` (${reply.kinds.join(", ")})`}`, expected: told(reply), tests: [RUN, ...(MORE[reply.id] ?? [])], ...(reply.note === undefined ? {} : { note: reply.note }),
  })),
  ...ELSEWHERE,
];

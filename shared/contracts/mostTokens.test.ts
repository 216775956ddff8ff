import { describe, expect, it } from "vitest";

import type { Chat } from "./chat.ts";
import { mostTokensOf } from "./mostTokens.ts";
import { BackendConfig } from "./tiers.ts";

const HOSTED = BackendConfig.parse({ kind: "openai-compatible", model: "m", base_url: "http://127.0.0.1:1", max_output_tokens: 100, system: "Be brief." });
const LOCAL = BackendConfig.parse({ kind: "local", model: "mail-small" });
const VECTORS = BackendConfig.parse({ kind: "openai-embeddings", model: "m", base_url: "http://127.0.0.1:1" });
const chat = (over: Partial<Chat> = {}): Chat => ({ messages: [{ role: "user", content: "Hi 🌍" }], ...over });
const bytes = (...parts: unknown[]) => Buffer.byteLength(JSON.stringify(parts));

describe("the most tokens of a call", () => {
  it.each([
    ["a token for each byte of a text, of the system message, and for a template", HOSTED, "Hi 🌍", { input_tokens: 7 + 9 + 64, output_tokens: 100 }],
    ["a word of a classifier", LOCAL, "Hi", { input_tokens: 2 + 64, output_tokens: 1 }],
    ["no output of what makes vectors", VECTORS, { texts: ["Hi", [1, 2]] }, { input_tokens: 12 + 64, output_tokens: 0 }],
    ["all of a conversation, and no longer answer than it wants", HOSTED, chat({ max_output_tokens: 7 }), { input_tokens: bytes(chat().messages, null, null) + 9 + 64, output_tokens: 7 }],
    ["what a provider writes before tools", HOSTED, chat({ tools: [{ type: "function" }] }), { input_tokens: bytes(chat().messages, [{ type: "function" }], null) + 9 + 64 + 1_024, output_tokens: 100 }],
    ["nothing before no tools", HOSTED, chat({ tools: [] }), { input_tokens: bytes(chat().messages, [], null) + 9 + 64, output_tokens: 100 }],
  ])("counts %s", (_name, backend, input, expected) => {
    expect(mostTokensOf(backend, input)).toEqual(expected);
  });
});

import { describe, expect, it } from "vitest";

import type { Chat, Input } from "#shared/contracts/chat.ts";
import { TenantSettings } from "#shared/contracts/tenant.ts";

import { GUARD_VERSION, questionForm } from "./questionForm.ts";
import { inItsForm, isOutdated, semanticOf } from "./semanticKey.ts";

const ASKED = "What's the capital of Peru?";
const user = { role: "user" as const, content: ASKED };
const chat = (more: Partial<Chat> = {}): Chat => ({ messages: [user], temperature: 0, ...more });
const formOf = (input: Input, task: string | null = null) => inItsForm({ input, task });

describe("the question is in its form", () => {
  it("of a text, and of a chat's one message from the user, where all else stays as it is", () => {
    const form = questionForm(ASKED);
    expect(formOf(ASKED)).toBe(form);
    expect(formOf(chat())).toEqual({ messages: [{ role: "user", content: form }], temperature: 0 });
  });

  it.each<[string, Input]>([
    ["texts to embed", { texts: [ASKED] }],
    ["tools", chat({ tools: [{ type: "function" }] })],
    ["an image", chat({ messages: [{ role: "user", content: [{ type: "image_url" }] }] })],
    ["an earlier turn", chat({ messages: [user, { role: "assistant", content: "Lima" }, user] })],
    ["two messages from the user", chat({ messages: [user, user] })],
    ["an answer to be gone on with", chat({ messages: [user, { role: "assistant", content: "Li" }] })],
    ["a named user", chat({ messages: [{ ...user, name: "Ann" }] })],
    ["a system message", chat({ messages: [{ role: "system", content: "Count the letters." }, user] })],
    ["a message from the developer", chat({ messages: [{ role: "developer", content: "Be brief." }, user] })],
    ["a document", `${ASKED}\n${ASKED}`],
  ])("not with %s", (_name, input) => {
    expect(formOf(input)).toBeNull();
  });

  it("not for a task", () => {
    expect(formOf(ASKED, "spelling")).toBeNull();
  });
});

it.each([
  [{ mode: "all", semantic: { guard_version: GUARD_VERSION } }, true, false],
  [{ mode: "all", semantic: { guard_version: GUARD_VERSION - 1 } }, false, true],
  [{ mode: "all", semantic: {} }, false, true],
  [{ mode: "off", semantic: { guard_version: GUARD_VERSION } }, false, false],
  [{ mode: "all" }, false, false],
])("settings %j have it on: %j, and wait for an evaluation: %j", (cache, isOn, waits) => {
  const settings = TenantSettings.parse({ cache }).cache;
  expect([semanticOf(settings) !== null, isOutdated(settings)]).toEqual([isOn, waits]);
});

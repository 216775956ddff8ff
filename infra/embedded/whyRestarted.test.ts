import { expect, test } from "vitest";

import type { RoleProcess } from "./stateFile.ts";
import { forgottenSettings, reasonsToRestart, reasonToRestartNats } from "./whyRestarted.ts";

const role = (changes: Partial<RoleProcess> = {}): RoleProcess => ({
  name: "router", addresses: [{ role: "router", url: "http://127.0.0.1:8081" }], logFile: "/l", fingerprint: "before",
  startedWith: { "the build": "1", LOG_LEVEL: "a", INFER_SHADOW_SHARE: "b", MY_KEY: "d" }, process: { pid: 1, startedAt: "1" } as unknown as RoleProcess["process"], ...changes,
});
const now = { plans: [{ name: "router" }, { name: "gateway" }], fingerprints: new Map([["router", "now"], ["gateway", "now"]]), startedWith: { "the build": "2", LOG_LEVEL: "a", INFER_EXPLORE_SHARE: "c" } };

test("names what changed, once for all, and what is no longer set", () => {
  const outdated = [role(), role({ name: "gateway" })];
  expect(reasonsToRestart(outdated, now)).toEqual(["INFER_EXPLORE_SHARE was set", "INFER_SHADOW_SHARE is no longer set", "MY_KEY is no longer used", "the build changed"]);
  expect(forgottenSettings(outdated, now)).toEqual(["INFER_SHADOW_SHARE"]);
});

test.each([
  ["not ready", { fingerprint: "now" }],
  ["not part of this set-up", { name: "worker-gone" }],
  ["other build or settings", { startedWith: {} }],
])("%s", (reason, changes) => expect(reasonsToRestart([role(changes)], now)).toEqual([reason]));

test.each([
  [false, true, /INFER_AUTH is keys/],
  [true, false, /no longer keys/],
])("says why NATS is started again when it asked for users: %s, and shall: %s", (asks, shallAsk, reason) => expect(reasonToRestartNats(asks, shallAsk)).toMatch(reason));

test.each([true, false])("leaves NATS alone when it is as it shall be: %s", (asks) => expect(reasonToRestartNats(asks, asks)).toBeNull());
